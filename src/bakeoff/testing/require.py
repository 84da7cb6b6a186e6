"""Functions shared by all checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import ValidationError

from bakeoff.catalog.choices import Record, RegistryEntry
from bakeoff.registry import Named, Registry

SettingsT = TypeVar("SettingsT", bound=Record)


def require(kept: object, message: str) -> None:
    """Raise an AssertionError with this message unless a rule is kept."""
    if not kept:
        raise AssertionError(message)


def require_registered(registry: Registry[Any], record: Named) -> None:
    """Require that the registry has this entry, since the engine finds entries by name."""
    require(registry.get(record.name) is record, f"{record.name}: it is not registered; is its package installed?")


@contextmanager
def name_entry(record: Named, attribute: str) -> Iterator[None]:
    """Turn an exception of the entry's own code into an AssertionError that names the entry."""
    try:
        yield
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise AssertionError(f"{record.name}: {attribute} cannot be called: {said}") from error


def make_settings(record: RegistryEntry[SettingsT], settings: SettingsT | None) -> SettingsT:
    """Check that lists and study files can use an entry; return `settings`, or the default ones."""
    require(record.summary and "\n" not in record.summary, f"{record.name}: the summary must be one line")
    require(record.source, f"{record.name}: source must say where it was published")
    field: Any = record.settings.model_fields.get("name")
    require(
        field is not None and field.default == record.name, f"{record.name}: it must be the default of settings.name"
    )
    try:
        made = record.settings() if settings is None else settings
    except ValidationError as error:
        raise AssertionError(
            f"{record.name}: some settings have no default, so pass settings to the check: {error}"
        ) from error
    again = record.settings.model_validate(made.model_dump(mode="json"))
    require(again == made, f"{record.name}: settings change when they are dumped to JSON and read again")
    return made
