# SPDX-License-Identifier: MIT


import batch_norm_net
import pytest
import torch
from same_runs import everything

from yopo_ext.training import change_config


def counted_backend(graphs):
    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    return backend


@pytest.mark.parametrize(
    ("method", "model"),
    [
        ("yopo", "digits-cnn"),
        ("trades-yopo", "digits-cnn"),
        ("free", "digits-cnn"),
        ("n-fgsm", "digits-cnn"),
        ("pgd-2", "digits-cnn, features.maxpool"),
        ("yopo", "digits-cnn, features.maxpool"),
        ("yopo", batch_norm_net.NAME),
        ("yopo-attack", batch_norm_net.NAME),
    ],
)
def test_the_tail_is_compiled_and_nothing_changes(runs, monkeypatch, method, model):
    model, _, cut = model.partition(", ")
    config = change_config(runs.config, method=method, model=model, cut=cut or None, epochs=2, limit_train=48)
    eager = everything(runs.finished("eager", config))
    graphs = []
    compile = torch.compile
    # The graph is captured, traced and differentiated as ever, and run without generated code: exactly comparable.
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: compile(function, backend=counted_backend(graphs), **options)
    )
    torch._dynamo.reset()
    trainer = runs.finished("compiled", change_config(config, compile=True))
    assert graphs
    found = everything(trainer)
    for name, value in eager["model"].items():
        assert torch.equal(found["model"][name], value), name
    assert list(trainer.model.state_dict()) == list(eager["model"])
    assert [line["units"] for line in found["log"]] == [line["units"] for line in eager["log"]]
