"""The web application: a few routes. All are read-only; one classifies a photo, which is not kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bakeoff.errors import BakeoffError
from bakeoff.report.figures.theme import MODES, make_template
from bakeoff.report.render.html import read_plotly
from bakeoff.report.text import show_text
from bakeoff.serve import pages
from bakeoff.serve.guard import Guard
from bakeoff.serve.try_photo import PhotoTrial, TooLargeError, read_photo
from bakeoff.serve.workspace import Seen, SeveralStudiesError, Workspace

ASSETS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "page.css": ("text/css", pages.read_report_style),
    "live.css": ("text/css", lambda: pages.read_asset("live.css")),
    "try.js": ("text/javascript", lambda: pages.read_asset("try.js")),
    "compare.js": ("text/javascript", lambda: pages.read_asset("compare.js")),
    "live.js": ("text/javascript", lambda: pages.read_asset("live.js")),
    "plotly.js": ("text/javascript", read_plotly),
}

_FASTEST_SECONDS = 1.0
_IDLE_SECONDS = 5.0
_TABLE_SECONDS = 3.0
"""Time in which the table of studies computes rows; it reloads itself until it has all."""
_REST_FACTOR = 10.0
"""A page polls at an interval of at least this times the response time, so that it uses at most a tenth of a core."""


def make_app(workspace: Path, host: str) -> ASGIApp:
    """Return the application for one workspace, protected against requests from other sites' pages.

    Args:
        workspace: folder; it need not exist yet.
        host: where it will listen.
    """
    site = _Pages(Workspace(workspace))
    routes = [
        Route("/", site.show_index),
        Route("/live", site.refresh_index),
        Route("/compare", site.show_comparison),
        Route("/study/{study_id}", site.show_study),
        Route("/study/{study_id}/live", site.refresh_study),
        Route("/study/{study_id}/report", site.show_report),
        Route("/study/{study_id}/try", site.show_try),
        Route("/study/{study_id}/classify", site.classify, methods=["POST"]),
        Route("/assets/{name}", _send_asset),
    ]
    handlers = {BakeoffError: _explain, SeveralStudiesError: _say_several, 404: _say_missing}
    application = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(application, host)


class _Pages:
    """The response of each route."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._photos = PhotoTrial(workspace.root)

    def show_index(self, request: Request) -> Response:
        folder = self._workspace.root.absolute().name
        return HTMLResponse(pages.write_index(folder, self._workspace.list_studies()))

    def refresh_index(self, request: Request) -> Response:
        started = time.perf_counter()
        found = self._workspace.list_studies()
        is_running = any(map(_is_running, found))
        return _answer(pages.show_studies(found), [], started, is_running)

    def show_comparison(self, request: Request) -> Response:
        folder = self._workspace.root.absolute().name
        return HTMLResponse(pages.write_comparison(folder, self._workspace.list_overviews(_TABLE_SECONDS)))

    def show_study(self, request: Request) -> Response:
        seen = self._find(request)
        return _say_missing() if seen is None else HTMLResponse(pages.write_study(seen))

    def refresh_study(self, request: Request) -> Response:
        started = time.perf_counter()
        seen = self._find(request)
        if seen is None:
            return _say_missing()
        progress = seen.progress
        block = _choose_block(progress.blocks, request.query_params.get("block", "0"))
        metrics = pages.list_metrics(progress)
        asked = request.query_params.get("metric", "")
        figures = self._workspace.draw(progress, block, asked if asked in metrics else metrics[0])
        drawn: list[dict[str, object]] = [
            {"title": show_text(each.title), "alt": each.alt, "data": each.data, "layout": each.layout}
            for each in figures
        ]
        return _answer(pages.show_progress(seen, block), drawn, started, _is_running(seen))

    def show_report(self, request: Request) -> Response:
        seen = self._find(request)
        if seen is None:
            return _say_missing()
        page = self._workspace.render_report(seen.progress.study_id)
        own = pages.read_policy(page) or "default-src 'none'"
        return HTMLResponse(page, headers={"Content-Security-Policy": f"{own}; frame-ancestors 'none'"})

    def show_try(self, request: Request) -> Response:
        seen = self._find(request)
        if seen is None:
            return _say_missing()
        try:
            lines = self._photos.describe(seen.progress.study_id)
        except BakeoffError as error:
            return HTMLResponse(pages.write_notice("No model to try yet", (str(error),)))
        return HTMLResponse(pages.write_try(seen, lines))

    async def classify(self, request: Request) -> Response:
        seen = await run_in_threadpool(self._find, request)
        if seen is None:
            return _say_missing()
        try:
            content = await read_photo(request)
            found = await run_in_threadpool(self._photos.classify, seen.progress.study_id, content)
        except BakeoffError as error:
            return JSONResponse(
                {"problem": show_text(str(error)), "code": error.code}, 413 if isinstance(error, TooLargeError) else 422
            )
        return JSONResponse(found)

    def _find(self, request: Request) -> Seen | None:
        return self._workspace.find_study(request.path_params["study_id"])


def _is_running(seen: Seen) -> bool:
    return seen.pace.is_growing and not seen.progress.is_ended


def _choose_block(blocks: tuple[str, ...], asked: str) -> str:
    """Return the block with the requested number, or the first."""
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 0
    return blocks[number] if number < len(blocks) else (blocks or ("",))[0]


def _answer(part: str, figures: list[dict[str, object]], started: float, is_running: bool) -> Response:
    pause = _REST_FACTOR * (time.perf_counter() - started)
    again = max(_FASTEST_SECONDS if is_running else _IDLE_SECONDS, pause)
    templates = {mode: make_template(mode) for mode in MODES} if figures else {}
    return JSONResponse({"part": part, "figures": figures, "templates": templates, "again_seconds": round(again, 2)})


def _send_asset(request: Request) -> Response:
    found = ASSETS.get(request.path_params["name"])
    if found is None:
        return _say_missing()
    kind, read = found
    return Response(read(), media_type=kind, headers={"Cache-Control": "private, max-age=600"})


def _explain(request: Request, error: Exception) -> Response:
    if request.url.path.endswith("/live"):
        code = error.code if isinstance(error, BakeoffError) else ""
        return JSONResponse({"problem": show_text(str(error)), "code": code, "again_seconds": _IDLE_SECONDS}, 503)
    lines = (str(error), "This page refreshes every few seconds.")
    return HTMLResponse(pages.write_notice("Nothing to show yet", lines, again=True))


def _say_several(request: Request, error: Exception) -> Response:
    return HTMLResponse(pages.write_notice("Several studies", (str(error),)), 404)


def _say_missing(request: Request | None = None, error: Exception | None = None) -> Response:
    lines = ("This page does not exist. The study may be in another workspace.",)
    return HTMLResponse(pages.write_notice("Not found", lines), 404)
