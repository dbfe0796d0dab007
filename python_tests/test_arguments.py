# SPDX-License-Identifier: MIT
"""Wrong input: an error of the fitting type that names the argument, before anything runs."""

from __future__ import annotations

import math

import pytest
import torch
from differential import Shape, make_problem

import yopo_ext
from yopo_ext.backends import torch_backend

GOOD = {"eps": 0.1, "alpha": 0.02, "steps": 2, "padding": 1, "activation": "relu"}


def tensors(**changed):
    problem = make_problem(Shape(2, 3, 8, 8, 4))
    named = {"x": problem.x, "eta": problem.eta, "p": problem.p, "weight": problem.weight, "bias": problem.bias}
    return {**named, **changed}


@pytest.mark.parametrize(
    ("error", "argument", "value"),
    [
        (ValueError, "eps", -0.1),
        (ValueError, "eps", math.nan),
        (ValueError, "eps", math.inf),
        (ValueError, "eps", [0.1, 0.2]),
        (ValueError, "eps", torch.tensor([0.1, -0.2, 0.1])),
        (TypeError, "eps", "0.1"),
        (TypeError, "eps", True),
        (ValueError, "alpha", math.nan),
        (ValueError, "alpha", -math.inf),
        (ValueError, "steps", -1),
        (TypeError, "steps", 1.5),
        (ValueError, "bounds", (1.0, 0.0)),
        (ValueError, "bounds", (0.0, math.nan)),
        (TypeError, "bounds", 1.0),
        (ValueError, "activation", "swish"),
        (TypeError, "activation", torch.nn.PReLU()),
        (ValueError, "norm", "l1"),
        (ValueError, "direction", "up"),
        (ValueError, "precision", "double"),
        (ValueError, "backend", "tpu"),
        (ValueError, "stride", 0),
        (TypeError, "stride", 1.0),
        (TypeError, "stride", (1, 1, 1)),
        (ValueError, "padding", -1),
        (ValueError, "dilation", (0, 1)),
        (ValueError, "weight", torch.zeros(4, 2, 3, 3)),
        (ValueError, "weight", torch.zeros(4, 3, 3)),
        (ValueError, "weight", torch.zeros(4, 3, 11, 3)),
        (TypeError, "weight", torch.zeros(4, 3, 3, 3).double()),
        (TypeError, "weight", None),
        (ValueError, "bias", torch.zeros(3)),
        (TypeError, "bias", torch.zeros(4).half()),
        (RuntimeError, "bias", torch.zeros(4, device="meta")),
        (ValueError, "eta", torch.zeros(2, 3, 8, 9)),
        (TypeError, "eta", torch.zeros(2, 3, 8, 8).double()),
        (TypeError, "eta", [0.0]),
        (ValueError, "p", torch.zeros(2, 4, 7, 8)),
        (ValueError, "p", torch.zeros(3, 4, 8, 8)),
        (TypeError, "p", torch.zeros(2, 4, 8, 8, dtype=torch.int32)),
        (RuntimeError, "p", torch.zeros(2, 4, 8, 8, device="meta")),
        (TypeError, "x", torch.zeros(2, 3, 8, 8, dtype=torch.uint8)),
        (ValueError, "x", torch.zeros(3, 8, 8)),
        (ValueError, "std", 0.0),
        (ValueError, "mean", math.nan),
        (ValueError, "mean", [0.0, 0.0]),
    ],
)
def test_wrong_input_is_named(error, argument, value, monkeypatch):
    monkeypatch.setattr(torch_backend, "inner_ascent", lambda call: pytest.fail("a kernel ran"))
    with pytest.raises(error, match=rf"^{argument}\b"):
        yopo_ext.inner_ascent(**{**tensors(), **GOOD, "backend": "torch", argument: value})


def test_messages_say_what_was_given_and_expected():
    with pytest.raises(ValueError, match=r"eps: got -0.1, expected finite values of at least 0"):
        yopo_ext.inner_ascent(**tensors(), **{**GOOD, "eps": -0.1})
    with pytest.raises(ValueError, match=r"p: got shape \(2, 4, 7, 8\), expected \(2, 4, 8, 8\)"):
        yopo_ext.inner_ascent(**tensors(p=torch.zeros(2, 4, 7, 8)), **GOOD)


def test_l2_takes_single_values():
    with pytest.raises(ValueError, match="eps"):
        yopo_ext.inner_ascent(**tensors(), **{**GOOD, "eps": [0.1, 0.1, 0.1]}, norm="l2")


def test_the_hamiltonian_checks_too():
    named = tensors()
    with pytest.raises(ValueError, match=r"^p: got shape"):
        yopo_ext.hamiltonian(named["x"], named["p"][:, :3], named["weight"], padding=1)
    with pytest.raises(TypeError, match=r"^u:"):
        yopo_ext.hamiltonian(named["x"].int(), named["p"], named["weight"], padding=1)


def test_the_operator_itself_checks_shapes():
    """Also for somebody who calls torch.ops directly: no kernel reads past a tensor."""
    named = tensors(p=torch.zeros(2, 4, 7, 8))
    layer = ([1, 1], [1, 1], [1, 1], "relu", [], [], None)
    with pytest.raises(ValueError, match=r"^p: got shape"):
        torch.ops.yopo_ext.hamiltonian(named["x"], named["p"], named["weight"], None, *layer, None, None)
