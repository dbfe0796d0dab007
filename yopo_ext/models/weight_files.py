# SPDX-License-Identifier: MIT
"""Files of weights, in the forms in which people publish them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Under which key a checkpoint may hold its state dict.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
# What DataParallel, AveragedModel and torch.compile put before every key.
_ADDED_PREFIXES = ("module.", "_orig_mod.")
#: What a run's average has before every key.
_OF_AVERAGE = "module."
#: The one key of torch.optim.swa_utils.AveragedModel that does not get its prefix.
AVERAGED = "n_averaged"
_SHOWN = 4


class WeightsError(ValueError):
    """A file of weights cannot be used: the message names the file and says why."""


class WeightsWarning(UserWarning):
    """Something in a file of weights was left out, or is more than weights."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, as `load_weights` finds it, on the CPU.

    Of a run's checkpoint it is the average of the weights where there is one, as wherever a run is measured.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on arbitrary bytes the unpickler raises anything
        # Its first sentence: torch goes on to advise loading the file unsafely.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise WeightsError(f"{path}: not readable as weights, corrupt or more than tensors ({reason})") from error
    average = _average_in(content)
    if average is not None:
        told = f"{path}: a run's checkpoint, of which the average of the weights is taken, not the last ones"
        warnings.warn(told, WeightsWarning, stacklevel=2)
    state = average or _unwrap(content)
    if state is None:
        kind = f"a dict of {', '.join(map(str, list(content)[:_SHOWN]))}" if isinstance(content, dict) else "no dict"
        raise WeightsError(f"{path}: holds no state dict, plain or under {', '.join(_WRAPPERS)}, but {kind}")
    for prefix in _ADDED_PREFIXES:
        if all(key.startswith(prefix) or key == AVERAGED for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _average_in(content: Any) -> dict[str, Tensor] | None:
    """Of a checkpoint of `yopo train`, where the run keeps an average."""
    for name in ("events", "averaging"):
        content = content.get(name) if isinstance(content, Mapping) else None
    return _unwrap({key: value for key, value in content.items() if key.startswith(_OF_AVERAGE)}) if content else None


def _unwrap(content: Any) -> dict[str, Tensor] | None:
    if not isinstance(content, Mapping):
        return None
    wrapped = next((state for name in _WRAPPERS if (state := _unwrap(content.get(name)))), None)
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    return wrapped or tensors or None
