"""Commands on datasets."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from bakeoff.cli.options import (
    AsJson,
    DataDir,
    OptionalSource,
    SourceArgument,
    Workspace,
    make_console,
    print_line,
    print_rows,
)
from bakeoff.errors import OptionError, UnwritableError

if TYPE_CHECKING:
    from bakeoff.data.audit.findings import Finding

GroupRule: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="REGEX", help="Which images of a folder belong together, as data.group; or parent."
    ),
]

app = typer.Typer(help="Get, verify and describe datasets.", no_args_is_help=True)


@app.command("get")
def data_get(name: SourceArgument, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Find a dataset, a folder or a manifest; download a dataset's missing files."""
    from bakeoff.data import manage

    obtained = manage.get(name, data_dir)
    if as_json:
        files = [{"file": str(path), "downloaded": path in obtained.downloaded} for path in obtained.files]
        folder = None if obtained.folder is None else str(obtained.folder)
        print(json.dumps({"name": name, "folder": folder, "files": files}, indent=2))
        return
    if obtained.folder is None:
        print(f"{name}: part of an installed package, nothing to download")
        return
    for path in obtained.files or (obtained.folder,):
        print(f"{'downloaded' if path in obtained.downloaded else 'found'} {path}")


@app.command("verify")
def data_verify(name: SourceArgument, data_dir: DataDir = None, as_json: AsJson = False) -> int:
    """Verify every file of a dataset, or every image of a folder or manifest; exit status 2 if one is damaged."""
    from bakeoff.data import manage
    from bakeoff.data.progress import watch_reading
    from bakeoff.report.text import show_text

    with watch_reading(_print_note):
        checks = manage.verify(name, data_dir)
    if as_json:
        rows = [{"file": str(check.file), "ok": check.ok, "detail": check.detail} for check in checks]
        print(json.dumps({"name": name, "ok": all(check.ok for check in checks), "files": rows}, indent=2))
    for check in () if as_json else checks:
        if check.ok:
            print_line(f"ok  {check.file}: {check.detail}")
        else:
            print(f"error: {show_text(f'{check.file}: {check.detail}')}", file=sys.stderr)
    return 0 if all(check.ok for check in checks) else 2


@app.command("check")
def data_check(
    name: OptionalSource = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the findings as CSV.")] = None,
    study: Annotated[
        str | None, typer.Option("--study", metavar="NAME", help="List the labels to check by the models of a study.")
    ] = None,
    workspace: Workspace = Path("runs"),
) -> int:
    """Find duplicates, contradictory labels, rare classes and empty images; exit status 1 if there are any.

    With --study NAME: the labels that its models, which did not train on these images, are sure to be wrong.
    """
    if study is not None and name is None:
        return _check_labels(study, workspace, csv_file, as_json=as_json)
    if name is None or study is not None:
        raise OptionError("Give a dataset, folder or manifest, or --study NAME of a study that was run.")
    from bakeoff.data import manage
    from bakeoff.data.audit.findings import count_findings
    from bakeoff.data.audited import find_findings
    from bakeoff.report.text import show_text

    audited = find_findings(
        manage.find_source(name, data_dir), data_dir, lambda text: print(show_text(text), file=sys.stderr)
    )
    findings = audited.findings
    if csv_file is not None:
        _write_findings(csv_file, findings)
    if as_json:
        found = {"name": name, "num_images": len(audited.audit.names), "counts": count_findings(findings)}
        print(json.dumps({**found, "findings": [each.dump() for each in findings]}, indent=2))
        return 1 if findings else 0
    print_line(f"{name}: {len(audited.audit.names):,} images, {len(findings):,} findings")
    for note in audited.notes:
        print_line(note)
    for finding in findings[:_MOST_FINDINGS]:
        names = ", ".join(finding.images[:4]) + (", ..." if len(finding.images) > 4 else "")
        facts = "; ".join(filter(None, (finding.detail, "across splits" if finding.is_across else "")))
        about = names or ", ".join(finding.classes)
        print_line(f"  {finding.kind}: {about}{f' ({facts})' if facts else ''}")
    if len(findings) > _MOST_FINDINGS:
        print_line(f"  and {len(findings) - _MOST_FINDINGS:,} more: --csv FILE writes all of them")
    return 1 if findings else 0


_MOST_FINDINGS = 20


def _check_labels(study: str, workspace: Path, csv_file: Path | None, *, as_json: bool) -> int:
    """Print the labels to check by the models of a study; return 1 if there are any."""
    from bakeoff import api

    lines = list(api.load(study, workspace).iterate_csv("label_issues"))
    if csv_file is not None:
        try:
            csv_file.write_text("".join(lines), encoding="utf-8", newline="")
        except OSError as error:
            raise UnwritableError(f"{csv_file}: cannot be written ({error.strerror or error}).") from error
    rows = list(csv.DictReader(line.rstrip("\r\n") for line in lines))
    if as_json:
        print(json.dumps({"study": study, "labels": rows}, indent=2))
        return 1 if rows else 0
    print_line(f"{study}: {len(rows):,} labels to check")
    for row in rows[:_MOST_FINDINGS]:
        image = row["file"] or f"image {row['image']}"
        sure = float(row["suggested_probability"])
        print_line(f"  {row['block']}, {row['images']}: {image}: {row['label']}, or {row['suggested']} ({sure:.0%})?")
    if len(rows) > _MOST_FINDINGS:
        print_line(f"  and {len(rows) - _MOST_FINDINGS:,} more: --csv FILE writes all of them")
    return 1 if rows else 0


def _write_findings(path: Path, findings: Sequence[Finding]) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("kind", "detail", "splits", "classes", "num_images", "images"))
            for each in findings:
                joined = (" ".join(each.parts), "; ".join(each.classes), each.num_images, "; ".join(each.images))
                writer.writerow((each.kind, each.detail, *joined))
    except OSError as error:
        raise UnwritableError(f"{path}: cannot be written ({error.strerror or error}).") from error


@app.command("show")
def data_show(name: SourceArgument, data_dir: DataDir = None, group: GroupRule = None, as_json: AsJson = False) -> None:
    """Describe a dataset, an image folder or a manifest, without opening its test split."""
    from bakeoff.data import manage
    from bakeoff.data.progress import watch_reading

    with watch_reading(_print_note):
        facts = manage.show(name, data_dir, group)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print_rows(make_console(), list(_list_rows(facts)))


def _list_rows(facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield names and values; of images that were not decoded only what is known."""
    sizes = facts.get("sizes")
    for key, value in facts.items():
        if key != "sizes" and (value is not None or sizes is None):
            yield key, _format_fact(value)
    if isinstance(sizes, Mapping):
        for key, value in sizes.items():
            if key.endswith("_HW"):
                yield f"{key.removesuffix('_HW')}_size", f"{value[1]}x{value[0]} (width x height)"
            elif key == "aspect_ratios":
                yield key, f"width / height {value[0]:.2f} to {value[2]:.2f}, median {value[1]:.2f}"
            else:
                yield key, _format_fact(value)


def _print_note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _format_fact(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part:,}" for key, part in value.items())
    if isinstance(value, tuple | list):
        return " ".join(f"{part:.4f}" if isinstance(part, float) else str(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else str(value)
