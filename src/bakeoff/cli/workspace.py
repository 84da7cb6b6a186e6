"""Commands on a workspace: serve, doctor, gc."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, Workspace, print_line
from bakeoff.errors import MissingPackageError
from bakeoff.extras import how_to_install

app = typer.Typer()


@app.command()
def serve(
    workspace: Workspace = Path("runs"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free port.")] = 8000,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. Anything but loopback lets other machines read.")
    ] = "127.0.0.1",
) -> None:
    """Show studies, live progress and reports in the browser; read-only, until Ctrl-C."""
    try:
        from bakeoff.serve import server
    except ImportError as error:
        raise MissingPackageError(f"serve needs starlette and uvicorn: {how_to_install('serve')}") from error

    def say(text: str) -> None:
        print(text, file=sys.stderr if text.startswith("warning") else sys.stdout, flush=True)

    with suppress(KeyboardInterrupt):  # the normal way to stop it; nothing is lost
        server.serve(workspace, host, port, say)


@app.command()
def doctor(workspace: Workspace = Path("runs"), as_json: AsJson = False) -> int:
    """Check a workspace and explain any problems; exit status 1 if there are some."""
    from bakeoff.driver.doctor import examine

    findings = []
    for finding in examine(workspace):
        findings.append(finding)
        if not as_json:
            print_line(f"{finding.level:<8} {finding.text}")
    if as_json:
        print(json.dumps([vars(finding) for finding in findings], indent=2))
    return 1 if any(finding.level == "problem" for finding in findings) else 0


@app.command()
def gc(
    workspace: Workspace = Path("runs"),
    cache_days: Annotated[
        float | None,
        typer.Option("--cache-days", min=0, help="Also delete cache entries not used for this many days."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete unused files: partial files, checkpoints of ended trials, files of trials that belong to no study."""
    from bakeoff.driver import gc as collector

    found = list(collector.collect_workspace(workspace, delete=not dry_run))
    if cache_days is not None:
        found += collector.collect_cache(cache_days, delete=not dry_run)
    if as_json:
        rows = [{"path": str(each.path), "why": each.why, "num_bytes": each.num_bytes} for each in found]
        print(json.dumps(rows, indent=2))
        return
    for each in found:
        print_line(f"{each.num_bytes / 2**20:>10.1f} MiB  {each.path}: {each.why}")
    size = sum(each.num_bytes for each in found) / 2**20
    print(f"{'to free' if dry_run else 'freed'}: {size:.1f} MiB in {len(found):,} places")
