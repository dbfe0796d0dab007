# SPDX-License-Identifier: MIT
"""Pickles that hold data and nothing else: a file that names anything but numpy's arrays and numbers is refused.

Nothing that a file names is called, not even numpy's own functions, which trust their arguments: arrays are put
together here from their bytes.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .errors import DataFileError

_NUMBERS = re.compile("[biuf][1248]")


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """The dict that the file holds: of None, numbers, strings, bytes, arrays of numbers, and lists of these.

    Keys are text; the strings of Python 2 come as bytes else. Raises `DataFileError` for a missing file, one that is no
    pickle of a dict, or one that holds anything else, of which nothing runs.
    """
    if not path.is_file():
        raise DataFileError(path, "no such file", "a pickled dict")
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
        if type(content) is not dict:
            raise pickle.UnpicklingError(f"a {type(content).__name__}")
        return {_text(key): _finished(value) for key, value in content.items()}
    except Exception as error:  # on arbitrary bytes the unpickler raises anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataFileError(path, f"no readable pickle ({reason})", "a dict of numbers, lists and arrays") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        function = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if function is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        # A new one each time, as a pickle may set attributes of what it is given.
        return lambda *arguments: function(*arguments)


class _Dtype:
    """A numpy number type; pickles give the byte order afterwards."""

    def __init__(self, code: str | bytes, *_: Any) -> None:
        code = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of {code!r}")
        self.numpy = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order: Any = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.numpy = self.numpy.newbyteorder(order)


class _Array:
    """An array that is still empty; pickles give shape, type and bytes afterwards."""

    def __init__(self, *_: Any, numpy: np.ndarray | None = None) -> None:
        self.numpy = numpy

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, content = state
        self.numpy = _array(content, dtype, shape, "F" if is_fortran else "C")


def _array(
    content: bytes | bytearray | str, dtype: _Dtype, shape: tuple[int, ...], order: Literal["C", "F"]
) -> np.ndarray:
    content = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(content, dtype.numpy).reshape(shape, order=order)


def _array_of_buffer(*arguments: Any) -> _Array:
    return _Array(numpy=_array(*arguments))


def _number(dtype: _Dtype, content: bytes | str) -> int | float | bool:
    return _array(content, dtype, (), "C").item()


def _bytes(text: str = "", encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


def _ndarray(*_: Any) -> _Array:
    raise pickle.UnpicklingError("it calls numpy.ndarray")


#: By what older and newer numpy and Python write; `numpy._core` is looked up as `numpy.core`.
_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy.core.numeric", "_frombuffer"): _array_of_buffer,
    ("numpy", "ndarray"): _ndarray,  # named as an argument of _reconstruct only
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _bytes,  # as Python 3 writes an empty one for Python 2
}


def _finished(value: Any, *, inside: bool = False) -> Any:
    """The value, its arrays complete. Lists are flat, so that small files cannot stand for endless ones."""
    if isinstance(value, _Array):
        if value.numpy is None:
            raise pickle.UnpicklingError("an array without content")
        return value.numpy
    if type(value) is list and not inside:
        return [_finished(item, inside=True) for item in value]
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    raise pickle.UnpicklingError(f"a {type(value).__name__}")


def _text(key: Any) -> str:
    if not isinstance(key, (str, bytes)):
        raise pickle.UnpicklingError(f"a key of type {type(key).__name__}")
    return key.decode("latin1") if isinstance(key, bytes) else key
