"""The live pages as HTML: all user-supplied names are escaped and shown on one line."""

from __future__ import annotations

import html
import re
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bakeoff.ledger.live import StudyProgress
from bakeoff.report.overview import Overview
from bakeoff.report.overview_table import describe_best
from bakeoff.report.render.html import make_environment
from bakeoff.serve import wording
from bakeoff.serve.workspace import Seen

if TYPE_CHECKING:
    from jinja2 import Environment

METRICS = ("loss", "accuracy")


def show_studies(found: tuple[Seen, ...]) -> str:
    """Return the part of the first page that lists the studies and is refreshed."""
    return _render("studies.html", cards=[_describe_card(seen) for seen in found])


def show_progress(seen: Seen, block: str) -> str:
    """Return the part of a study's page that shows its progress, or its verdict, and is refreshed."""
    progress, judged = seen.progress, wording.find_verdict(seen)
    list_rows = wording.list_rows if judged is None else partial(wording.list_judged, judged)
    rows, num_hidden = list_rows(progress, block)
    return _render(
        "progress.html",
        progress=progress,
        state=wording.describe_state(progress, seen.pace),
        last_ended=progress.last_ended_at,
        rows=rows,
        num_hidden=num_hidden,
        measure=wording.label_score(progress, judged),
        sentences=() if judged is None else judged.sentences,
        split="" if judged is None else judged.split,
        block=block,
    )


def write_index(folder: str, found: tuple[Seen, ...]) -> str:
    """Return the first page: every study of the workspace."""
    return _render("index.html", title="Studies", folder=folder, part=_as_markup(show_studies(found)), live="/live")


def write_comparison(folder: str, rows: tuple[Overview, ...]) -> str:
    """Return the page with the table of studies."""
    table = [{"row": row, **wording.describe_overview(row)} for row in rows]
    num_unread = sum(row.state == "unread" for row in rows)
    return _render("compare.html", title="Compare studies", folder=folder, table=table, num_unread=num_unread)


def write_study(seen: Seen) -> str:
    """Return a study's page."""
    progress = seen.progress
    block = choose_block(progress)
    return _render(
        "study.html",
        title=progress.question or progress.name,
        progress=progress,
        chosen=block,
        metrics=list_metrics(progress),
        part=_as_markup(show_progress(seen, block)),
        live=f"/study/{progress.study_id}/live",
    )


def write_try(seen: Seen, lines: tuple[str, ...]) -> str:
    """Return the page on which a photo can be tried; `lines` describe the model."""
    progress = seen.progress
    return _render(
        "try.html", title="Try a photo", progress=progress, lines=lines, action=f"/study/{progress.study_id}/classify"
    )


def write_notice(title: str, lines: tuple[str, ...], *, again: bool = False) -> str:
    """Return a page that says why there is nothing to show; with `again` it refreshes itself."""
    return _render("notice.html", title=title, lines=lines, again=again)


def choose_block(progress: StudyProgress) -> str:
    """Return the block to show first: the first in training, else the first."""
    training = [arm.block for arm in progress.arms if arm.num_started]
    return next(iter((*training, *progress.blocks)), "")


def list_metrics(progress: StudyProgress) -> tuple[str, ...]:
    """Return the metrics whose curves can be selected."""
    return tuple(dict.fromkeys((*METRICS, progress.metric)))


def read_policy(page: str) -> str | None:
    """Return the Content Security Policy in a report's head; None without one."""
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page[:20_000])
    return None if found is None else html.unescape(found[1])


def read_asset(name: str) -> str:
    """Return a static file of the pages: live.css or live.js."""
    return (files("bakeoff.serve") / "templates" / name).read_text("utf-8")


def read_report_style() -> str:
    """Return the stylesheet of `report.html`, which the live pages share."""
    return (files("bakeoff.report.render") / "templates" / "page.css").read_text("utf-8")


def _describe_card(seen: Seen) -> dict[str, Any]:
    leaders, num_more = wording.list_leaders(seen.progress)
    state = wording.describe_state(seen.progress, seen.pace)
    judged = wording.find_verdict(seen)
    tags = () if seen.overview is None else seen.overview.tags
    return {
        "progress": seen.progress,
        "state": state,
        "leaders": leaders,
        "num_more": num_more,
        "verdict": "" if judged is None else judged.verdict,
        "best": "" if judged is None or not judged.best else describe_best(judged),
        "tags": tags,
    }


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def _as_markup(text: str) -> object:
    from markupsafe import Markup

    return Markup(text)


@cache
def _environment() -> Environment:
    environment = make_environment(read_asset)
    environment.filters["time"] = wording.format_time
    return environment
