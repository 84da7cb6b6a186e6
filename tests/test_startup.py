"""What commands import, which is most of their start-up time: counted, never timed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bakeoff.ledger.store import Ledger
from bakeoff.workspace import Folders


def list_imported(code: str) -> set[str]:
    """Return the modules that a new process has imported after some code."""
    check = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", check], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_status_of_a_named_study_reads_the_ledger_alone(folders: Folders, ledger: Ledger) -> None:
    ledger.register_study(
        "s" * 64, name="mine", document={}, placements=[], numeric="float32", command="", facts={}, asking=False
    )
    code = f"from bakeoff.report.status import list_status; list_status({str(folders.root)!r}, 'mine')"
    heavy = {"pydantic", "scipy", "optuna", "plotly", "jinja2", "rich", "yaml", "bakeoff.study.load"}
    assert not list_imported(code) & heavy


@pytest.mark.parametrize("module", ["bakeoff.api", "bakeoff.report.gather", "bakeoff.stats.effects"])
def test_packages_that_few_reports_need_are_imported_late(module: str) -> None:
    assert not list_imported(f"import {module}") & {"scipy", "optuna", "plotly", "jinja2", "torch", "sklearn"}


def test_statistics_do_without_the_slow_parts_of_scipy() -> None:
    code = (
        "from bakeoff.stats.effects import find_root\nfrom bakeoff.stats.power import find_shift\n"
        "from bakeoff.report.figures.shared import interval_of_mean\n"
        "find_shift(2.0, 4.0, 0.5); interval_of_mean([0.5, 0.6], 0.95)"
    )
    assert not list_imported(code) & {"scipy.optimize", "scipy.stats"}


def test_records_are_built_only_when_they_are_used() -> None:
    code = (
        "from bakeoff.catalog.optimizers import OPTIMIZERS\n"
        "built = [e.name for e in OPTIMIZERS.own if e.settings.__pydantic_complete__]\n"
        "assert built in ([], ['adam']), built  # Adam is a default"
    )
    assert "bakeoff.catalog.optimizers" in list_imported(code)
