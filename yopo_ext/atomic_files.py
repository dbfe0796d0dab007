# SPDX-License-Identifier: MIT
"""Writing files so that a crash or a full disk leaves the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

_REASONS = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up"}


class WriteError(OSError):
    """A file could not be written: the message names it and says why."""


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, new: bool = False) -> None:
    """Lets ``write`` fill a temporary file beside ``path``, forces it to disk, then renames it over ``path``.

    Whatever ``write`` raises is raised again after the temporary file is gone; ``path`` is then untouched.

    Args:
        new: there must be none yet: of several who write it at the same time one does.

    Raises:
        FileExistsError: where it is to be new, and is there.
        WriteError: the system refused, whatever ``write`` made of that.
    """
    # Not by the process's number: two machines that share the folder may have the same.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    raw: _RawFile | None = None
    try:
        raw = _RawFile(temporary, "w")
        with io.BufferedWriter(raw) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if new:
            _place_new(temporary, path)
        else:
            os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        failure = raw.failure if raw is not None and raw.failure is not None else error
        if isinstance(failure, OSError) and not (new and isinstance(failure, FileExistsError)):
            raise WriteError(write_failure(path, failure)) from error
        raise
    if os.name == "posix":
        _make_durable(path)


def write_text_atomically(path: Path, text: str, *, new: bool = False) -> None:
    """`write_atomically` for UTF-8 text."""
    write_atomically(path, lambda file: file.write(text.encode()), new=new)


def remove_leftovers(folder: Path) -> None:
    """Removes what processes that were killed while they wrote left in the folder."""
    for path in folder.glob(".*.tmp"):
        if re.search(r"\.[0-9a-f]{16}\.tmp$", path.name):
            path.unlink(missing_ok=True)


def _place_new(temporary: Path, path: Path) -> None:
    """Renames it if nobody has the name: in one step where the file system can link."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        path.touch(exist_ok=False)
        os.replace(temporary, path)
    else:
        temporary.unlink()


def _make_durable(path: Path) -> None:
    """The rename itself, by forcing the folder to disk. Some file systems know nothing of the kind."""
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise WriteError(write_failure(path, error)) from error


def write_failure(path: Path, error: OSError) -> str:
    """What could not be written, and why."""
    reason = error.strerror or str(error)
    known = None if error.errno is None else _REASONS.get(error.errno)
    return f"{path} cannot be written: {reason if known is None else f'{known} ({reason})'}"


class _RawFile(io.FileIO):
    """Keeps the system's error: torch.save raises one of its own that does not say what went wrong."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._system_write(data)
        except OSError as error:
            self.failure = error
            raise

    def _system_write(self, data: Any) -> int:
        return super().write(data)
