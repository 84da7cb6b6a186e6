"""The check of a report's section: it is written for a small study in every output."""

from __future__ import annotations

import io
import json
import tempfile
from contextlib import closing
from pathlib import Path

from rich.console import Console

from bakeoff.api import Result, load
from bakeoff.ledger.store import Ledger, Placement
from bakeoff.messages import TrialDone
from bakeoff.report.parts import Part, Section
from bakeoff.report.render.csv import write_csv
from bakeoff.report.render.html import write_html
from bakeoff.report.render.markdown import write_markdown
from bakeoff.report.render.terminal import print_verdict
from bakeoff.report.sections import SECTIONS
from bakeoff.study.schema import Study
from bakeoff.testing.require import name_entry, require, require_registered
from bakeoff.workspace import Folders

_SCORES = {"adam": (0.9, 0.92, 0.91), "sgd": (0.7, 0.74, 0.71)}


def check_section(section: Section) -> None:
    """Check that a section can be written in every output, of a study that is finished and of one that is not.

    It must be registered, for example as an entry point of an installed package.

    Raises:
        AssertionError: a rule is violated; the message names it.
    """
    require(section.title and "\n" not in section.title, f"{section.name}: the title must be one line")
    require_registered(SECTIONS, section)
    for is_trained in (True, False):
        with tempfile.TemporaryDirectory() as folder, name_entry(section, "gather"):
            result = _make_result(Path(folder), is_trained=is_trained)
            _check_outputs(section, result)


def _check_outputs(section: Section, result: Result) -> None:
    report = result.report
    with name_entry(section, "write"):
        parts = list(section.write(report))
    require(all(isinstance(part, Part) for part in parts), f"{section.name}: write must yield parts (report.parts)")
    with name_entry(section, "dump"):
        json.dumps(dict(section.dump(report)), allow_nan=False)
    for name, tabulate in section.tables.items():
        with name_entry(section, f"tables[{name!r}]"):
            list(write_csv(tabulate(report)))
    with name_entry(section, "write"):
        print_verdict(Console(file=io.StringIO(), width=80), report)
        write_markdown(report)
        write_html(report)
        result.to_latex()


def _make_result(folder: Path, *, is_trained: bool) -> Result:
    """Return the result of two arms on digits, from a ledger that is made up."""
    arms = list(_SCORES)
    study = Study(
        name="made-up", question="Which?", recipe={"network": "mlp"}, arms=[{"optimizer": arms}], replicates=3
    )
    trials = {(arm, replicate): f"{number:032x}" for number, (arm, replicate) in enumerate(_pair_up(arms))}
    with closing(Ledger(Folders(folder))) as ledger:
        ledger.register_study(
            "ab" * 32,
            name=study.name,
            document=study.model_dump(mode="json"),
            placements=[Placement(trial_id, "digits", arm, n) for (arm, n), trial_id in trials.items()],
            numeric="float32",
            command="",
        )
        for (arm, replicate), trial_id in trials.items() if is_trained else ():
            values = {"accuracy": _SCORES[arm][replicate], "loss": 1 - _SCORES[arm][replicate]}
            event = TrialDone(
                trial_id=trial_id,
                num_epochs=5,
                best_epoch=5,
                stop="epochs",
                seconds=1.0,
                num_parameters=10,
                metrics={"train": values, "validation": values},
            )
            ledger.record_done(event, {"recipe": {}}, "c", "{}")
    return load(study.name, folder)


def _pair_up(arms: list[str]) -> list[tuple[str, int]]:
    return [(arm, replicate) for arm in arms for replicate in range(3)]
