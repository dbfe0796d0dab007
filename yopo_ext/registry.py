# SPDX-License-Identifier: MIT
"""Things that declare themselves: one file in a room, or one entry point of another package, is all it takes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """What a registry holds: any object with a `name`."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """All declarations of one kind, by name, in the order of their files.

    A declaration is a module-level object of the kind's class, or a tuple of them, in a module of the kind's room. The
    room is imported when the registry is first asked. Other packages add theirs by entry points, each of which names
    such an object or tuple::

        [project.entry-points."yopo_ext.methods"]
        noise = "my_package.noise:METHOD"

    Args:
        kind: for error texts, as "method".
        room: the package whose modules declare, as "yopo_ext.adversaries".
        declares: the class of the declarations, or several.
        group: of the entry points, as "yopo_ext.methods".
    """

    def __init__(self, kind: str, room: str, declares: type[T] | tuple[type, ...], group: str) -> None:
        self.kind, self.room, self.group = kind, room, group
        self.declares = declares if isinstance(declares, tuple) else (declares,)
        self._entries: dict[str, T] | None = None

    def __getitem__(self, name: str) -> T:
        """The declaration of that name.

        Raises:
            ValueError: there is none; lists the names that there are.
        """
        if name not in self.entries:
            raise ValueError(f"{self.kind}: got {name!r}, expected one of {', '.join(self.entries)}")
        return self.entries[name]

    def __iter__(self) -> Iterator[T]:
        return iter(self.entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def add(self, entry: T) -> None:
        """One more, for this process.

        Raises:
            ValueError: there is one of that name.
        """
        if entry.name in self.entries:
            raise ValueError(f"{self.kind} {entry.name!r}: declared already")
        self.entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """One less, for this process. Raises as `__getitem__`."""
        del self.entries[self[name].name]

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(self.entries)

    @property
    def entries(self) -> dict[str, T]:
        """The declarations by name.

        Raises:
            ValueError: two of one name, or an entry point that names something else; says where.
        """
        if self._entries is None:
            found: dict[str, T] = {}
            for where, value in [*self._of_the_room(), *self._of_other_packages()]:
                for entry in value if isinstance(value, tuple) else (value,):
                    if found.get(entry.name, entry) is not entry:  # a module may import another's
                        raise ValueError(f"{self.kind} {entry.name!r}: declared a second time, in {where}")
                    found[entry.name] = entry
            self._entries = found
        return self._entries

    def _of_the_room(self) -> Iterator[tuple[str, T | tuple[T, ...]]]:
        package = import_module(self.room)
        for module in sorted(iter_modules(package.__path__), key=lambda module: module.name):
            where = f"{self.room}.{module.name}"
            for value in vars(import_module(where)).values():
                if self._is_declaration(value):
                    yield where, value

    def _of_other_packages(self) -> Iterator[tuple[str, T | tuple[T, ...]]]:
        for point in entry_points(group=self.group):
            value = point.load()
            if not self._is_declaration(value):
                expected = " or ".join(one.__name__ for one in self.declares)
                raise ValueError(
                    f"{self.group}: entry point {point.name!r} = {point.value!r} is a {type(value).__name__}, "
                    f"expected a {expected} or a tuple of them"
                )
            yield point.value, value

    def _is_declaration(self, value: object) -> bool:
        if isinstance(value, tuple):
            return len(value) > 0 and all(isinstance(item, self.declares) for item in value)
        return isinstance(value, self.declares)
