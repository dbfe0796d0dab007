# SPDX-License-Identifier: MIT
"""Weights that others have trained: plain state dicts, as most people publish them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from .file_normalisation import check_place, find_normalisation
from .normalize import Normalize
from .surplus_keys import few, ignored_keys, known_surplus, patterns_for
from .weight_files import WeightsError, WeightsWarning, read_state_dict

_COUNTER = "num_batches_tracked"
_HINTED = 4


def load_weights(model: nn.Module, path: Path, *, prefix: str = "", ignore: Sequence[str] = ()) -> None:
    """Fills ``model`` from a file written by ``torch.save``, which is read with ``weights_only=True``.

    The file holds a state dict, plain or under ``state_dict``, ``model_state_dict``, ``model`` or ``net``; the prefixes
    ``module.`` and ``_orig_mod.`` are taken off. With ``prefix`` only keys that begin with it are used, without it (of
    ``nn.Sequential(normalise, network)``: ``1.``). Counters of batches, which old files lack, may be missing.

    A normalisation in the file (``mu`` and ``sigma``, or ``mean`` and ``std``, also below another name and outside of
    the prefix) becomes the network's, its attribute ``normalize``. Keys that the network lacks are left out where they
    match a pattern of ``ignore``, as ``aux.*``, or are known to play no part. `WeightsWarning` says what was done.

    Raises `WeightsError` for a file that is missing, unreadable or no state dict, where the keys or shapes differ from
    the model's (what is missing, what is unexpected, and both shapes), for a pattern that matches nothing, and for a
    normalisation that is not the network's own. The model is then as it was.
    """
    fill(model, path, read_state_dict(path), prefix=prefix, ignore=ignore)


def fill(
    model: nn.Module, path: Path, state: dict[str, Tensor], *, prefix: str = "", ignore: Sequence[str] = ()
) -> None:
    """As `load_weights`, with the state dict of that file."""
    expected = model.state_dict()
    found, rest = _with_prefix(path, state, prefix)
    surplus = {key: value for key, value in (rest | found).items() if key not in expected}
    ignored = ignored_keys(path, surplus, ignore)
    surplus = {key: value for key, value in surplus.items() if key not in ignored}
    known = known_surplus((key for key in surplus if key in found), model)
    normalisation = find_normalisation(path, surplus, model)
    adds_normalisation = normalisation is not None and check_place(path, normalisation, model)
    used_up = {*ignored, *known, *(normalisation.keys if normalisation else ())}
    counters = {key: value for key, value in expected.items() if key.endswith(_COUNTER)}
    found = counters | {key: value for key, value in found.items() if key in expected or key not in used_up}
    complaints = _differences(expected, found)
    if complaints:
        raise WeightsError(f"{path}: does not fit the network: {'; '.join(complaints)}{_hint(expected, found)}")
    model.load_state_dict(found)
    if known:
        warnings.warn(f"{path}: left out {few(known)}, no part of the network", WeightsWarning, stacklevel=3)
    if normalisation is not None and adds_normalisation:
        model.normalize = Normalize(normalisation.mean, normalisation.std).to(next(model.parameters()).device)
        keys = " and ".join(normalisation.keys[:2])
        warnings.warn(f"{path}: {keys} normalise the images: {normalisation}", WeightsWarning, stacklevel=3)


def _with_prefix(path: Path, state: dict[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The keys that begin with it, without it, and the others."""
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not found:
        raise WeightsError(f"{path}: no key begins with the prefix {prefix!r}")
    return found, {key: value for key, value in state.items() if not key.startswith(prefix)}


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    missing = [key for key in expected if key not in found]
    shapes = [
        f"{key} is {_shape(found[key])} in the file and {_shape(expected[key])} in the network"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    named = (("missing", missing), ("unexpected", _unexpected(expected, found)), ("other shapes:", shapes))
    return [f"{name} {few(items)}" for name, items in named if items]


def _unexpected(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    return [key for key in found if key not in expected]


def _hint(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """The prefix that would make every key of the network known, or what to ignore, if one of these is all it takes."""
    first = next(iter(expected))
    for key in found:
        prefix = key.removesuffix(first)
        if key.endswith(first) and prefix and _all_there(prefix, expected, found):
            return f"; all are there under the prefix {prefix!r}: say so (--prefix, prefix=)"
    if all(key in found and found[key].shape == value.shape for key, value in expected.items()):
        patterns = patterns_for(_unexpected(expected, found))
        if len(patterns) <= _HINTED:  # more are another network
            return f"; if these play no part in it: --ignore-keys {' '.join(patterns)} (ignore=)"
    return ""


def _all_there(prefix: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> bool:
    return all(prefix + key in found for key in expected if not key.endswith(_COUNTER))


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single value"
