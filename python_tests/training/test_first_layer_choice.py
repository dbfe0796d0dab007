# SPDX-License-Identifier: MIT
"""What a run takes as its first layer (`--first-layer`), which weights it starts from, and for how many classes."""

import batch_norm_net
import pytest
import torch
from same_runs import assert_equal, everything
from torch import nn

from yopo_ext.models import MODELS, Network, build_model
from yopo_ext.training import Run, change_config


class Foreign(nn.Module):
    """Names no first layer; conv, batch norm, ReLU, and a last layer."""

    def __init__(self, in_channels, num_classes, *, activation="relu", mean=None, std=None):
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(in_channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.fc = nn.Linear(4 * 36, num_classes)

    def forward(self, x):
        return self.fc(self.relu(self.bn1(self.conv1(x))).flatten(1))


class Functional(Foreign):
    """Computes something of its images first."""

    def forward(self, x):
        return super().forward(2 * x - 1)


@pytest.fixture(autouse=True)
def networks():
    entries = (Network("foreign", Foreign, "for tests"), Network("functional", Functional, "for tests"))
    for entry in entries:
        MODELS.add(entry)
    yield
    for entry in entries:
        MODELS.remove(entry.name)


def layer_of(run):
    return run.parts.crafting.first_layer.modules


def test_a_network_keeps_its_own_unless_another_is_asked_for(runs):
    own = runs.run("own")
    model = own.trainer.model
    assert layer_of(own) == model.first_layer == (model.features.conv1, model.features.relu1)
    named = runs.run("named", first_layer="features.conv1")
    assert layer_of(named) == (named.trainer.model.features.conv1,)
    found = runs.run("found", first_layer="auto")
    assert layer_of(found) == found.trainer.model.first_layer
    assert [len(group["params"]) for group in named.trainer.optimizer.param_groups] == [2, 8]


def test_a_network_that_names_none_is_looked_into_and_goes_on_bit_for_bit(runs):
    config = change_config(runs.config, model="foreign")
    whole = runs.run("whole", config)
    model = whole.trainer.model
    assert layer_of(whole) == (model.conv1, model.bn1, model.relu)
    assert [len(group["params"]) for group in whole.trainer.optimizer.param_groups] == [4, 2]
    whole.fit()
    runs.run("parts", config, epochs=1).fit()
    parts = runs.run("parts", config)
    parts.resume()
    parts.fit()
    one, other = (run.trainer.model.state_dict() for run in (whole, parts))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_normalisation_is_always_part_of_it(runs):
    run = runs.run("run", mean=(0.5,), std=(0.25,), first_layer="features.conv1,features.relu1")
    assert layer_of(run) == run.trainer.model.first_layer
    run.fit()


@pytest.mark.parametrize(
    "settings",
    [
        {"first_layer_grad": "both", "amp": "bf16"},
        {"first_layer_grad": "backprop", "bn_statistics": "batch"},
        {"method": "trades-yopo-2-2", "bn_mode": "train", "staleness_every": 2},
    ],
    ids=lambda settings: ", ".join(map(str, settings.values())),
)
def test_a_cut_reaches_deeper_and_goes_on_bit_for_bit(runs, settings):
    """Up to and with the second of two batch norms, in every kind of crafting."""
    config = change_config(runs.config, model=batch_norm_net.NAME, cut="bn2", **settings)
    whole = runs.run("whole", config)
    model = whole.trainer.model
    assert layer_of(whole) == (model.conv1, model.bn1, model.relu1, model.conv2, model.bn2)
    assert [len(group["params"]) for group in whole.trainer.optimizer.param_groups] == [8, 2]
    whole.fit()
    assert (
        model.bn2.num_batches_tracked == model.bn1.num_batches_tracked == 3 * 4 * (2 if "method" not in settings else 5)
    )
    runs.interrupted("parts", config, 7)
    parts = runs.run("parts", config)
    parts.resume()
    parts.fit()
    assert_equal(everything(parts.trainer), everything(whole.trainer))


def test_a_cut_that_is_none_is_refused_before_work_starts(runs):
    for settings, message in (
        (
            {"cut": "features.conv9"},
            "cut: got 'features.conv9', expected the name of a module of DigitsCNN, as features.conv3",
        ),
        ({"cut": "classifier.fc1"}, "cut: no chain of modules leads to classifier.fc1: the output of features.relu3"),
        ({"cut": "features.conv2", "first_layer": "auto"}, "cut: got 'features.conv2' beside first_layer 'auto'"),
        ({"cut": "features.conv2", "members": 2, "objective": "adp"}, "cut: got 'features.conv2' with 2 members"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            runs.run("run", **settings)
    assert not (runs.root / "run").exists()


def test_names_that_are_not_there(runs):
    for names, message in (
        ("features.con1", r"got 'features.con1', expected auto or names of modules of digits-cnn, as features.conv1"),
        ("features.conv1,", "got '', expected auto or names"),
    ):
        with pytest.raises(ValueError, match=f"^first_layer: {message}"):
            runs.run("run", first_layer=names)
    assert not (runs.root / "run").exists()


def test_a_wrong_name_is_found_on_the_first_batch(runs):
    with pytest.raises(RuntimeError, match=r"receives shape .*whatever the model applies before it"):
        runs.run("run", first_layer="features.conv2").fit()


@pytest.mark.parametrize(
    "method", ["yopo-1-1", "trades-yopo-1-1", "yopo-attack-1-1", "free-yopo-1-1", "pgd-1", "natural", "free-2"]
)
def test_where_there_is_none_only_those_complain_that_want_one(runs, method):
    config = change_config(runs.config, model="functional", method=method, epochs=1, milestones=())
    if "yopo" in method:
        with pytest.raises(
            ValueError, match=r"^first_layer: model: got one without a first layer: no module is called"
        ):
            runs.run("run", config)
        return
    runs.run("run", config).fit()
    with pytest.raises(ValueError, match=r"^first_layer: model: got one without"):
        runs.run("other", config, first_layer_milestones=(1,))


@pytest.mark.parametrize("settings", [{"model": "foreign"}, {"first_layer": "auto"}])
def test_what_is_compiled_follows_the_networks_own(runs, settings):
    with pytest.raises(ValueError, match=r"^compile: got (model foreign, which has no method tail|first_layer 'auto')"):
        runs.run("run", compile=True, **settings)


def test_a_compiled_tail_is_divided_where_it_says_of_what_it_is_made(runs):
    with pytest.raises(ValueError, match=r"^compile: got a first layer that reaches into the tail of BatchNormNet"):
        runs.run("run", model=batch_norm_net.NAME, cut="bn2", compile=True)


def test_classes_are_those_of_the_data(runs):
    assert runs.run("right", num_classes=10).trainer.model.classifier.fc2.out_features == 10
    with pytest.raises(ValueError, match=r"^num_classes: got 12, expected 10, those of digits$"):
        runs.run("wrong", num_classes=12)


def weights(tmp_path, classes=10, **changes):
    torch.manual_seed(1)
    state = build_model("digits-cnn", in_channels=1, num_classes=classes).state_dict() | changes
    torch.save(state, tmp_path / "weights.pt")
    return state, str(tmp_path / "weights.pt")


def test_a_run_starts_from_a_file_and_does_not_need_it_to_go_on(runs, tmp_path):
    state, file = weights(tmp_path)
    config = change_config(runs.config, init_weights=file)
    whole = runs.run("whole", config)
    assert all(torch.equal(value, state[key]) for key, value in whole.trainer.model.state_dict().items())
    whole.fit()
    runs.run("parts", config, epochs=1).fit()
    (tmp_path / "weights.pt").unlink()
    parts = runs.run("parts", config)
    parts.resume()
    parts.fit()
    one, other = (run.trainer.model.state_dict() for run in (whole, parts))
    assert all(torch.equal(one[key], other[key]) for key in one)
    with pytest.raises(ValueError, match="no such file"):
        runs.run("new", config)


def test_a_last_layer_for_other_classes_stays_fresh_and_it_is_said(runs, tmp_path, capsys):
    state, file = weights(tmp_path, classes=37)
    plain = runs.run("plain").trainer.model.state_dict()
    config = change_config(runs.config, init_weights=file)
    found = Run(config, tmp_path / "run", runs.data(config)).trainer.model.state_dict()
    head = ["classifier.fc2.weight", "classifier.fc2.bias"]
    assert "classifier.fc2.weight, classifier.fc2.bias stay fresh, for 10 classes; the file's are for 37" in (
        capsys.readouterr().out
    )
    for key, value in found.items():
        assert torch.equal(value, plain[key] if key in head else state[key]), key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features.conv1.weight": torch.zeros(32, 3, 3, 3)}, "conv1.weight is 32x3x3x3 in the file and 32x1x3x3"),
        ({"classifier.fc2.weight": torch.zeros(7, 128)}, "classifier.fc2.weight is 7x128 in the file and 10x128"),
        ({"more": torch.zeros(3)}, "unexpected more"),
        ({"mean": torch.tensor([0.5]), "std": torch.tensor([0.25])}, r"--mean 0.5 --std 0.25$"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::yopo_ext.models.WeightsWarning")
def test_a_file_that_does_not_fit_is_refused(runs, tmp_path, changes, message):
    _, file = weights(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        runs.run("run", init_weights=file)
    assert not (runs.root / "run").exists()
