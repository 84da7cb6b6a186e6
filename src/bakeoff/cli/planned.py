"""The output of `bakeoff plan`: a study's blocks, arms and trials, the estimate, and the files it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.driver.estimate import Estimate
from bakeoff.driver.reads import Read, list_reads
from bakeoff.report.text import count, duration_range
from bakeoff.stats.prospects import MAX_BLOCKS_IN_FULL, Prospects, describe_prospect, group_blocks, list_detectable
from bakeoff.study.about import About
from bakeoff.study.axes import list_templates
from bakeoff.study.plan import Plan, get_about
from bakeoff.study.settings import Race


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A planned study, ready to be printed.

    Attributes:
        estimate: the plan and its cost.
        about: the study's notes.
        templates: cases that are not arms or blocks themselves.
        reads: files and folders that the study reads.
    """

    estimate: Estimate
    about: About
    templates: list[str]
    reads: tuple[Read, ...]

    @classmethod
    def of(cls, estimate: Estimate, data_dir: Path | None, *, is_changed: bool) -> Planned:
        """Add the rest of the output to an estimate; `is_changed`: whether overrides changed the study."""
        study = estimate.plan.study
        return cls(
            estimate=estimate,
            about=get_about(study, is_changed=is_changed),
            templates=list_templates((*study.blocks, *study.arms)),
            reads=list_reads(estimate.plan, data_dir),
        )

    @property
    def _plan(self) -> Plan:
        return self.estimate.plan

    @property
    def _blocks(self) -> list[str]:
        return [block.label for block in self._plan.blocks]

    @property
    def _notes(self) -> list[str]:
        return [*self._plan.notes, *self.estimate.notes]

    def document(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        study, estimate = self._plan.study, self.estimate
        return {
            "study": study.name,
            "question": study.question,
            "about": self.about.model_dump(),
            "quick_of": study.quick_of,
            "blocks": self._blocks,
            "arms": list(self._plan.arms),
            "templates": self.templates,
            "replicates": study.model_dump(mode="json")["replicates"],
            "trials": self._plan.most_trials,
            "cohorts": estimate.num_cohorts or None,
            "workers": estimate.num_workers,
            "seconds": list(estimate.range_seconds) if estimate.seconds else None,
            "measured": estimate.is_measured,
            "power": self.estimate.prospects.dump(),
            "reads": [vars(read) for read in self.reads],
            "notes": self._notes,
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield a name and a text for every line in the terminal."""
        study, estimate, blocks, arms = self._plan.study, self.estimate, self._blocks, self._plan.arms
        yield "question", study.question
        yield "blocks", f"{len(blocks)}: {', '.join(blocks)}"
        yield "arms", f"{len(arms)}: {', '.join(arms)}"
        if self.templates:
            yield "templates", f"{', '.join(self.templates)} (not arms or blocks themselves)"
        yield "replicates", _format_replicates(study.replicates)
        yield "trials", self._format_trials()
        if estimate.seconds:
            yield "time", self._format_time()
        if len(arms) > 1 or estimate.prospects.blocks:  # of a single arm a note says all
            yield from list_power_rows(estimate.prospects)
        for read in self.reads:
            yield "reads", read.text
        yield from (row for row in self.about.rows() if row[0] in ("cost", "known", "source"))
        for note in self._notes:
            yield "note", note

    def _format_trials(self) -> str:
        num_trials = f"{self._plan.most_trials:,}"
        if self.estimate.num_cohorts:
            return f"{num_trials} in {count(self.estimate.num_cohorts, 'cohort')}"
        return f"at most {num_trials}" if self._plan.study.search else num_trials

    def _format_time(self) -> str:
        estimate = self.estimate
        basis = "from steps timed here" if estimate.is_measured else "largely a guess"
        return f"about {duration_range(*estimate.range_seconds)} on {count(estimate.num_workers, 'worker')}, {basis}"


def _format_replicates(replicates: int | Race) -> str:
    if isinstance(replicates, int):
        return str(replicates)
    return f"{replicates.at_least} to {replicates.at_most}, until the question is settled"


def list_power_rows(prospects: Prospects) -> Iterator[tuple[str, str]]:
    """Yield what a study can show: of many blocks that of the least and the most, in two columns."""
    if prospects.reason:
        yield "power", f"{prospects.reason}."
    shown = group_blocks(prospects.blocks)
    for label, prospect in shown:
        for text in describe_prospect(prospect):
            yield "power", f"{label}{text}."
        detectable = list_detectable(prospect)
        if detectable:
            yield "detectable", f"{label}by replicates, {detectable}"
    if len(shown) > 1 and len(prospects.blocks) > MAX_BLOCKS_IN_FULL:
        yield "power", f"{len(prospects.blocks)} blocks differ in this: all are in the document of --json."
    if prospects.warning:
        yield "warning", prospects.warning
