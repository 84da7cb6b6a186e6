"""Commands that list what a study file can name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bakeoff.cli.complete import complete_entry, complete_kind
from bakeoff.cli.options import AsJson, make_console, print_line, print_rows
from bakeoff.errors import OptionError, UnknownNameError, nearest

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

app = typer.Typer()

MOST_SHOWN = 5
"""Names of each kind that `bakeoff list` shows."""


class Listing(StrEnum):
    """What `bakeoff list` can list."""

    studies = "studies"
    networks = "networks"
    initializers = "initializers"
    optimizers = "optimizers"
    schedules = "schedules"
    losses = "losses"
    augmentations = "augmentations"
    mixes = "mixes"
    averagings = "averagings"
    datasets = "datasets"
    strategies = "strategies"
    searches = "searches"
    metrics = "metrics"
    observers = "observers"


@app.command(name="list")
def list_names(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help=f"One of {', '.join(Listing)}.", show_default=False, autocompletion=complete_kind
        ),
    ] = "",
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="One of these: list its settings.",
            show_default=False,
            autocompletion=complete_entry,
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List what a study file can name: the kinds, the names of a kind, or the settings of one name."""
    if kind and kind not in set(Listing):
        raise UnknownNameError(f"list: unknown kind '{kind}'. Allowed: {', '.join(Listing)}.{nearest(kind, Listing)}")
    what = Listing(kind) if kind else None
    if what is None:
        rows = [(each.value, _shorten(list_entries(each))) for each in Listing]
    else:
        rows = list(_list_settings(what, name) if name else _list_rows(what))
    if as_json:
        more = _describe_studies() if what is Listing.studies and not name else {}
        print(
            json.dumps([{"name": name, "summary": summary, **more.get(name, {})} for name, summary in rows], indent=2)
        )
    elif name and not rows:
        print_line(f"{name} has no settings.")
    else:
        print_rows(make_console(), rows)


@app.command()
def schema(
    result: Annotated[bool, typer.Option("--result", help="That of the document that --json prints.")] = False,
) -> None:
    """Print the study file's JSON Schema, for editors; with --result that of results, for programs."""
    if result:
        from bakeoff.report.result_schema import result_schema

        print(json.dumps(result_schema(), indent=2))
        return
    from bakeoff.study.editor import schema_json

    print(json.dumps(schema_json(), indent=2))


def _format_default(info: FieldInfo) -> str:
    """Return a setting's default as a study file would spell it."""
    from pydantic import BaseModel

    default = info.get_default(call_default_factory=True, validated_data={})
    plain = default.model_dump(mode="json") if isinstance(default, BaseModel) else default
    return json.dumps(plain, default=str).strip('"')


_REGISTRIES: Mapping[Listing, tuple[tuple[str, str], ...]] = {
    Listing.networks: (("bakeoff.catalog.networks.named", "NETWORKS"), ("bakeoff.catalog.networks.outside", "OUTSIDE")),
    Listing.initializers: (("bakeoff.catalog.initializers", "INITIALIZERS"),),
    Listing.optimizers: (("bakeoff.catalog.optimizers", "OPTIMIZERS"),),
    Listing.schedules: (("bakeoff.catalog.schedules", "SCHEDULES"),),
    Listing.losses: (("bakeoff.catalog.losses", "LOSSES"),),
    Listing.augmentations: (("bakeoff.catalog.augmentation.records", "AUGMENTATIONS"),),
    Listing.mixes: (("bakeoff.catalog.mixing", "MIXES"),),
    Listing.averagings: (("bakeoff.catalog.averaging", "AVERAGINGS"),),
    Listing.datasets: (("bakeoff.data.registry", "DATASETS"),),
    Listing.strategies: (("bakeoff.search.registry", "list_strategies"),),
    Listing.searches: (("bakeoff.study.search", "SEARCHES"),),
    Listing.observers: (("bakeoff.driver.observer", "OBSERVERS"),),
    Listing.metrics: (("bakeoff.stats.metrics", "METRICS"),),
}
"""Module and name of each listing's entries; imported on demand."""


def _shorten(names: Sequence[str]) -> str:
    shown = names[:MOST_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def _describe_studies() -> dict[str, dict[str, object]]:
    from bakeoff.study.load import list_shipped

    return {
        shipped.name: {"question": shipped.question, "about": shipped.about.model_dump()} for shipped in list_shipped()
    }


def _list_rows(what: Listing) -> Iterator[tuple[str, str]]:
    if what is Listing.studies:
        from bakeoff.study.load import list_shipped

        for shipped in list_shipped():
            about = [f"Trials: {shipped.about.trials}."] if shipped.about.trials else []
            about += [f"Takes {shipped.about.cost}."] if shipped.about.cost else []
            about += ["Has a quick version."] if shipped.quick is not None else []
            yield shipped.name, " ".join([shipped.question, *about])
        return
    for record in list_records(what):
        yield record.name, record.summary


def list_records(what: Listing) -> Iterator[Any]:
    """Yield the registry's entries of a kind; none for studies, which are files."""
    for module, registry in _REGISTRIES.get(what, ()):
        records = getattr(import_module(module), registry)
        yield from records() if callable(records) else records


def list_entries(what: Listing) -> list[str]:
    """Return the names that `bakeoff list` lists of a kind."""
    return [name for name, _ in _list_rows(what)]


def _list_settings(what: Listing, name: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of one entry, each with its description and default."""
    from bakeoff.catalog.networks.named import OutsideNetwork

    settings = {record.name: record.settings for record in list_records(what) if hasattr(record, "settings")}
    if what is Listing.networks and ":" in name:
        settings[name] = OutsideNetwork
    if not settings:
        raise OptionError(f"list {what} {name}: {what} have no settings of their own.")
    if name not in settings:
        allowed = f"Allowed: {', '.join(settings)}.{nearest(name, settings)}"
        raise UnknownNameError(f"list {what} {name}: nothing of this name. {allowed}")
    for field, info in settings[name].model_fields.items():
        if field != "name":
            default = "required" if info.is_required() else f"default {_format_default(info)}"
            yield field, f"{info.description or ''} ({default})".lstrip()
