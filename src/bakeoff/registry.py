"""Registries: all choices of one kind, ours and those of installed packages. No torch, no pydantic.

A package adds a choice by an entry point of the kind's group whose value is the entry, under the entry's own name:

    [project.entry-points."bakeoff.optimizers"]
    my_sgd = "my_package.optimizers:MY_SGD"

examples/plugin is a package with one of each kind.

Entry points are read when a kind is first used, never when a module is imported: what a package defines may import
anything from bakeoff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, get_args

from bakeoff.errors import BakeoffError, UnknownNameError, nearest


class PluginError(BakeoffError, code="BK507"):
    """An installed package adds a choice that cannot be used."""


class Named(Protocol):
    """An entry of a registry."""

    @property
    def name(self) -> str:
        """Its name in a study file."""


EntryT = TypeVar("EntryT", bound=Named)

Implementation: TypeAlias = str | Callable[..., Any]
"""The implementation of an entry: `package.module:attribute`, or a callable that imports torch inside, if at all."""


@dataclass(frozen=True)
class Origin:
    """The installed distribution that an entry comes from."""

    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


class Registry(Sequence[EntryT], Generic[EntryT]):
    """All choices of one kind: ours in order, then those of installed packages by name.

    Args:
        kind: what is chosen, in the singular, for messages.
        own: ours, at least one; those of packages have the same class.
        group: the group of entry points that add others; None if packages cannot.

    Raises:
        ValueError: two of ours share a name.
    """

    def __init__(self, kind: str, own: Sequence[EntryT], group: str | None = None) -> None:
        self.kind, self.group, self.own = kind, group, tuple(own)
        names = [entry.name for entry in self.own]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"these names are registered more than once: {', '.join(repeated)}")
        self._own = {entry.name: entry for entry in self.own}
        self._entries: dict[str, EntryT] | None = None
        self._origins: dict[str, Origin] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Their names in a study."""
        return tuple(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def __iter__(self) -> Iterator[EntryT]:
        return iter(self._load().values())

    def __getitem__(self, index: Any) -> Any:
        return tuple(self._load().values())[index]

    def get(self, name: object) -> EntryT | None:
        """Return the entry of this name, or None."""
        if not isinstance(name, str):
            return None
        # Ours are found without reading packages: defaults are checked while modules are still being imported.
        return self._own.get(name) or self._load().get(name)

    def find(self, name: str, error: type[UnknownNameError] = UnknownNameError) -> EntryT:
        """Return the entry of this name.

        Raises:
            error: there is none; lists the names and the nearest one.
        """
        entry = self.get(name)
        if entry is None:
            allowed = ", ".join(self.names)
            raise error(f"unknown {self.kind} '{name}'. Allowed: {allowed}.{nearest(name, self.names)}")
        return entry

    def find_origin(self, name: object) -> Origin | None:
        """Return the distribution that the entry of this name comes from; None for ours."""
        if not isinstance(name, str) or name in self._own:
            return None
        self._load()
        return self._origins.get(name)

    def _load(self) -> dict[str, EntryT]:
        """Return all entries by name, with those of installed packages from the first call on.

        Raises:
            PluginError: a package's entry cannot be loaded, is not of this kind, or has the name of another.
        """
        if self._entries is None:
            entries = dict(self._own)
            for point in list_entry_points(self.group):
                origin = read_origin(point)
                if point.name in entries:
                    other = self._origins.get(point.name, "bakeoff itself")
                    raise PluginError(f"{self._blame(point)} adds '{point.name}', a name that {other} has already.")
                entries[point.name] = self._load_entry(point)
                self._origins[point.name] = origin
            self._entries = entries
        return self._entries

    def _load_entry(self, point: EntryPoint) -> EntryT:
        try:
            entry: Any = point.load()
        except Exception as error:  # a package's code can raise anything; the user gets one line
            said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise PluginError(f"{self._blame(point)} cannot be loaded: {said}") from error
        kinds = tuple({type(known) for known in self.own})
        if kinds and not isinstance(entry, kinds):
            wanted = " or ".join(sorted(kind.__name__ for kind in kinds))
            raise PluginError(f"{self._blame(point)}: {point.value} is of type {type(entry).__name__}, not {wanted}.")
        if entry.name != point.name:
            raise PluginError(
                f"{self._blame(point)}: the entry point '{point.name}' is an entry named '{entry.name}': "
                "give both the same name."
            )
        settings = getattr(entry, "settings", None)
        if settings is not None and get_args(settings.model_fields["name"].annotation) != (entry.name,):
            raise PluginError(
                f"{self._blame(point)}: {settings.__name__} is told by its name: write "
                f'name: Literal["{entry.name}"] = "{entry.name}".'
            )
        return entry  # type: ignore[no-any-return]  # checked above as far as it can be

    def _blame(self, point: EntryPoint) -> str:
        return f"the installed package {read_origin(point)} ({self.group})"


def list_entry_points(group: str | None) -> list[EntryPoint]:
    """Return what installed packages add to a group, sorted by name."""
    points = () if group is None else _read_entry_points().select(group=group)
    return sorted(points, key=lambda point: (point.name, str(read_origin(point))))


@cache
def _read_entry_points() -> Any:
    """Return all entry points, read once. `Any`, because Python 3.11 and 3.12 name their class differently."""
    return entry_points()


def read_origin(point: EntryPoint) -> Origin:
    """Return the distribution that declares an entry point."""
    if point.dist is None:
        return Origin("of unknown name", "")
    return Origin(point.dist.name, point.dist.version)


def bind(implementation: Implementation) -> Any:
    """Return the implementation of an entry, imported when first needed.

    Raises:
        PluginError: there is no such module or attribute.
    """
    if not isinstance(implementation, str):
        return implementation
    module, _, attribute = implementation.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise PluginError(f"{implementation} cannot be imported: {type(error).__name__}: {error}") from error
