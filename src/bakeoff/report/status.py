"""How far the studies of a workspace are. Imports little: `bakeoff status` is asked often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bakeoff.ledger.given import read_name
from bakeoff.ledger.read import list_studies, match_studies, open_reading, read_study, shorten_ids
from bakeoff.report.text import times
from bakeoff.workspace import Folders, check_workspace


@dataclass(frozen=True, kw_only=True)
class Status:
    """The progress of one study.

    Attributes:
        id: the shortest unique prefix of `study_id`, at least eight characters; commands accept it instead of the name.
        num_started: unfinished trials that have finished an epoch.
        num_candidates: candidates its search has tried so far, which are not among the trials above.
        is_searching: whether the search will try more.
    """

    id: str
    study_id: str
    name: str
    question: str
    created_at: str
    num_planned: int
    num_done: int
    num_failed: int
    num_started: int
    num_final_tests: int
    num_candidates: int = 0
    is_searching: bool = False

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from bakeoff.study.notebook import write_rows

        failed = f", {self.num_failed:,} failed" if self.num_failed else ""
        started = f", {self.num_started:,} started" if self.num_started else ""
        opened = f"opened {times(self.num_final_tests)}" if self.num_final_tests else "closed"
        return write_rows(
            [
                ("study", f"{self.name} ({self.id})"),
                ("question", self.question),
                ("trials", f"{self.num_done:,} of {self.num_planned:,} done{failed}{started}"),
                ("test split", opened),
            ]
        )


def list_status(workspace: str | Path = "runs", name: str | None = None) -> tuple[Status, ...]:
    """Return the progress of the studies in a workspace, newest first.

    Args:
        workspace: the folder of the ledger.
        name: only studies of this name, or the one with this id prefix or study file.

    Raises:
        WorkspaceError: there is no ledger, or no such study.
    """
    with open_reading(Folders(check_workspace(workspace))) as connection:
        listed = list_studies(connection)
        chosen = listed if name is None else match_studies(listed, read_name(connection, name))
        records = [read_study(connection, study.study_id) for study in chosen]
    short = shorten_ids([study.study_id for study in listed])
    return tuple(
        Status(
            id=short[record.study_id],
            study_id=record.study_id,
            name=record.name,
            question=str(record.document.get("question", "")),
            created_at=record.created_at,
            num_planned=record.num_planned,
            num_done=sum(result.state == "done" for result in record.results),
            num_failed=sum(result.state == "failed" for result in record.results),
            num_started=record.num_started,
            num_final_tests=len(record.final_tests),
            num_candidates=len(record.candidates),
            is_searching=record.asking,
        )
        for record in records
    )
