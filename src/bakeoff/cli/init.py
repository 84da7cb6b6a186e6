"""The command that writes a first study file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.complete import complete_shipped
from bakeoff.cli.options import make_console, print_aside, print_rows
from bakeoff.errors import BakeoffError, OptionError, UnknownNameError, UnwritableError

if TYPE_CHECKING:
    from bakeoff.data.survey import Survey

app = typer.Typer()


@app.command()
def init(
    images: Annotated[
        str | None,
        typer.Argument(metavar="[FOLDER|MANIFEST]", help="A folder or archive of images, a CSV or Parquet file."),
    ] = None,
    shipped: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Copy a shipped study instead (bakeoff list studies).",
            autocompletion=complete_shipped,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The study file.")] = Path("study.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Look at a folder of images and write a commented study file for it; train nothing."""
    if (images is None) == (shipped is None):
        raise OptionError("init: name a folder of images or a manifest, or a shipped study with --from NAME.")
    if out.exists() and not force:
        raise OptionError(f"{out}: this file exists. Choose another with --out, or replace it with --force.")
    rows: list[tuple[str, str]] = []
    if shipped is not None:
        text = _copy_shipped(shipped)
    else:
        text, found = _survey(str(images), out)
        rows += _list_rows(found)
    schema = out.with_name(f"{out.stem}.schema.json")
    _write(out, f"# yaml-language-server: $schema={schema.name}\n{text}")
    try:
        _check(out)
    except BakeoffError:
        out.unlink(missing_ok=True)
        raise
    if not schema.exists() or force:
        from bakeoff.study.editor import schema_json

        _write(schema, json.dumps(schema_json(), indent=2) + "\n")
    rows += [("wrote", f"{out}, and {schema.name} beside it, for your editor"), ("next", f"bakeoff plan {out}")]
    print_rows(make_console(), rows)


def _copy_shipped(name: str) -> str:
    from bakeoff.errors import nearest
    from bakeoff.study.load import list_shipped

    texts = {each.name: each.text for each in list_shipped()}
    if name not in texts:
        raise UnknownNameError(f"init: no shipped study '{name}'. Allowed: {', '.join(texts)}.{nearest(name, texts)}")
    return texts[name]


def _survey(given: str, out: Path) -> tuple[str, Survey]:
    """Return the text of a study file for images, and what is known of them."""
    from bakeoff.data import manage
    from bakeoff.data.files import locate_path
    from bakeoff.data.progress import watch_reading
    from bakeoff.data.survey import survey
    from bakeoff.study.starter import write_starter

    source = manage.find_source(given)
    if source.path is None:
        raise OptionError(f"init: {given} is a dataset. Name a folder or a manifest, or copy a study with --from NAME.")
    with watch_reading(print_aside):
        found = survey(source, print_aside)
    path = locate_path(source).absolute()
    try:
        shown = Path(os.path.relpath(path, out.absolute().parent)).as_posix()
    except ValueError:  # on another drive
        shown = path.as_posix()
    return write_starter(found, source.kind, shown, path.name), found


def _check(out: Path) -> None:
    """Plan the study, without the probe.

    Raises:
        BakeoffError: it cannot run on these images, as when a class has a single one.
    """
    from bakeoff import api

    api.plan(out)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UnwritableError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _list_rows(found: Survey) -> Iterator[tuple[str, str]]:
    counts = found.class_counts
    own = found.num_own_validation
    first = (
        f"{found.num_train - own:,} to train, {own:,} to validate"
        if own
        else f"{found.num_train:,} to train and validate"
    )
    yield "images", f"{first}, {found.num_test:,} to test, in {len(counts)} classes"
    if found.sizes.num_unreadable:
        yield "skipped", f"{found.sizes.num_unreadable:,} that cannot be read (bakeoff data verify names them)"
    if found.findings:
        yield "audit", ", ".join(f"{kind} {number:,}" for kind, number in found.findings.items())
