# SPDX-License-Identifier: MIT
"""Weights to start from, as for fine-tuning: those of a file, but for a last layer that was for other classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from .heads.centre_scores import CENTRES_KEY
from .surplus_keys import few
from .weight_files import WeightsError, read_state_dict
from .weights import fill


def start_from(model: nn.Module, path: Path, outputs: int) -> str:
    """Fills ``model``, whose last layer has that many ``outputs``, from a file as `load_weights` reads it.

    Its last layer stays as it is where the file's has another number of them, as for other classes. Centres of classes
    (`CentreScores`) stay in any case: those of the file are not read.

    Returns:
        A sentence that says what stayed fresh; empty where nothing did.

    Raises:
        WeightsError: as `load_weights`, also for a file that brings a normalisation, which the network has to be given.
    """
    state, normalised = _without_centres(read_state_dict(path)), getattr(model, "normalize", None)
    expected = model.state_dict()
    layers = _without_centres(expected)
    fresh, centres = _of_other_classes(layers, state, outputs), expected.keys() - layers.keys()
    fill(model, path, {**state, **{key: expected[key] for key in (*fresh, *centres)}})
    added = getattr(model, "normalize", None)
    if added is not None and added is not normalised:
        mean, std = (" ".join(f"{value:.6g}" for value in values.tolist()) for values in (added.mean, added.std))
        raise WeightsError(
            f"{path}: normalises the images itself, which is the configuration's to say: --mean {mean} --std {std}"
        )
    if not fresh:
        return ""
    classes = state[fresh[0]].shape[0]
    what = "features" if centres else "classes"
    return f"{path}: {few(fresh)} stay fresh, for {outputs} {what}; the file's are for {classes}"


def _without_centres(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != CENTRES_KEY}


def _of_other_classes(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], outputs: int) -> list[str]:
    """Keys of a last layer with other outputs: in all of it the first size differs, and nowhere else does any."""
    others = {key: found[key].shape for key, own in expected.items() if key in found and found[key].shape != own.shape}
    sizes = {shape[:1] for shape in others.values()}
    modules = {key.rpartition(".")[0] for key in others}
    whole = {key for key in expected if key.rpartition(".")[0] in modules} == set(others)
    alike = all(shape and expected[key].shape == (outputs, *shape[1:]) for key, shape in others.items())
    return list(others) if whole and alike and len(sizes) == 1 else []
