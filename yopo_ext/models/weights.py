# SPDX-License-Identifier: MIT
"""Weights that others have trained: plain state dicts, as most people publish them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# Under which key a checkpoint may hold its state dict.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
# What DataParallel and torch.compile put before every key.
_ADDED_PREFIXES = ("module.", "_orig_mod.")
_COUNTER = "num_batches_tracked"
_SHOWN = 4


class WeightsError(ValueError):
    """A file of weights cannot be used: the message names the file and says why."""


def load_weights(model: nn.Module, path: Path, *, prefix: str = "") -> None:
    """Fills ``model`` from a file written by ``torch.save``, which is read with ``weights_only=True``.

    The file holds a state dict, plain or under ``state_dict``, ``model_state_dict``, ``model`` or ``net``; the prefixes
    ``module.`` and ``_orig_mod.`` are taken off. With ``prefix`` only keys that begin with it are used, without it (of
    ``nn.Sequential(normalise, network)``: ``1.``). Counters of batches, which old files lack, may be missing.

    Raises `WeightsError` for a file that is missing, unreadable or no state dict, and where the keys or shapes differ
    from the model's: what is missing, what is unexpected, and both shapes.
    """
    found = read_state_dict(path)
    if prefix:
        found = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
        if not found:
            raise WeightsError(f"{path}: no key begins with the prefix {prefix!r}")
    expected = model.state_dict()
    counters = {key: value for key, value in expected.items() if key.endswith(_COUNTER)}
    found = {**counters, **found}
    complaints = _differences(expected, found)
    if complaints:
        raise WeightsError(f"{path}: does not fit the network: {'; '.join(complaints)}{_hint(expected, found)}")
    model.load_state_dict(found)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, as `load_weights` finds it, on the CPU."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on arbitrary bytes the unpickler raises anything
        # Its first sentence: torch goes on to advise loading the file unsafely.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise WeightsError(f"{path}: not readable as weights, corrupt or more than tensors ({reason})") from error
    state = _unwrap(content)
    if state is None:
        kind = f"a dict of {', '.join(map(str, list(content)[:_SHOWN]))}" if isinstance(content, dict) else "no dict"
        raise WeightsError(f"{path}: holds no state dict, plain or under {', '.join(_WRAPPERS)}, but {kind}")
    for prefix in _ADDED_PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _unwrap(content: Any) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping):
        return None
    wrapped = next((state for name in _WRAPPERS if (state := _unwrap(content.get(name)))), None)
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    return wrapped or tensors or None


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    shapes = [
        f"{key} is {_shape(found[key])} in the file and {_shape(expected[key])} in the network"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    named = (("missing", missing), ("unexpected", unexpected), ("other shapes:", shapes))
    return [f"{name} {_few(items)}" for name, items in named if items]


def _hint(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """The prefix that would make every key of the network known, if there is one."""
    first = next(iter(expected))
    for key in found:
        prefix = key.removesuffix(first)
        if key.endswith(first) and prefix and _all_there(prefix, expected, found):
            return f"; all are there under the prefix {prefix!r}: say so (--prefix, prefix=)"
    return ""


def _all_there(prefix: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> bool:
    return all(prefix + key in found for key in expected if not key.endswith(_COUNTER))


def _few(items: Collection[str]) -> str:
    rest = len(items) - _SHOWN
    return ", ".join(list(items)[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single value"
