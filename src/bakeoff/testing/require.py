"""Functions that all checks share."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from bakeoff.catalog.choices import Record, RegistryEntry

SettingsT = TypeVar("SettingsT", bound=Record)


def require(kept: object, message: str) -> None:
    """Raise an error with this message unless a rule is kept.

    Raises:
        AssertionError: it is not.
    """
    if not kept:
        raise AssertionError(message)


def make_settings(record: RegistryEntry[SettingsT], settings: SettingsT | None) -> SettingsT:
    """Check what lists and study files need from an entry; return its settings, by default the default ones."""
    require(record.summary and "\n" not in record.summary, f"{record.name}: the summary is one line")
    require(record.source, f"{record.name}: the source says where it was published")
    field: Any = record.settings.model_fields.get("name")
    require(field is not None and field.default == record.name, f"{record.name}: settings.name has it as its default")
    try:
        made = record.settings() if settings is None else settings
    except ValidationError as error:
        raise AssertionError(f"{record.name}: settings without a default: give the check some: {error}") from error
    again = record.settings.model_validate(made.model_dump(mode="json"))
    require(again == made, f"{record.name}: settings that were written out and read again are others")
    return made
