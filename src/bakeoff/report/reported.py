"""What every result offers, of a study or of runs that others trained: its analysis, figures and documents."""

from __future__ import annotations

from typing import Any

from bakeoff.report.document import ReportInput
from bakeoff.report.figures.methods import Plots
from bakeoff.report.render.json import build_document
from bakeoff.report.render.notebook import write_cell
from bakeoff.stats.prospects import Prospects
from bakeoff.stats.requirements import Finding, find_out
from bakeoff.stats.results import Summary


class Reported(Plots):
    """A result, from everything that its reports are made from."""

    report: ReportInput

    @property
    def summary(self) -> Summary:
        """Means, verdicts and answers."""
        return self.report.summary

    @property
    def prospects(self) -> Prospects:
        """What more replicates would show, from the spread of these runs."""
        found = self.report.facts.get("power")
        return found if isinstance(found, Prospects) else Prospects()

    @property
    def document(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return build_document(self.report)

    def check(self, *requirements: str) -> tuple[Finding, ...]:
        """Return whether requirements such as "new better-or-equivalent baseline" are met, block by block.

        A study that is unfinished or has failed trials meets none.

        Raises:
            RequirementError: a requirement cannot be read, or does not fit what was compared.
        """
        return find_out(requirements, self.summary, self._find_obstacle())

    def _find_obstacle(self) -> str:
        """Return why no verdict meets a requirement; empty if they count."""
        return ""

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return write_cell(self.report)
