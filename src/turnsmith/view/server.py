"""The viewer's server: the page, and the data it asks for, over any number of runs.

Everything is read-only, straight from the run folders, also while they are written to; the one exception is a label,
which is stored through a connection of its own. Requests name runs, traces and images by keys that are looked up, never
by paths. Who may ask is the business of `security`.
"""

import secrets
import sqlite3
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from turnsmith.errors import UserError
from turnsmith.evaluate.claims import read_claims
from turnsmith.jsonl import parse_json
from turnsmith.trace.store import Store
from turnsmith.trace.types import Label
from turnsmith.view.compare import compare
from turnsmith.view.folder import inside
from turnsmith.view.judging import judge_scores
from turnsmith.view.rows import disagrees
from turnsmith.view.run import Run
from turnsmith.view.runs import Runs
from turnsmith.view.security import HEADERS, Guard
from turnsmith.view.shape import row_json, to_json
from turnsmith.view.tasks import list_tasks
from turnsmith.view.thumbs import IMAGE_TYPES, data_url, thumbnail

_STATIC = Path(__file__).parent / "static"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Turnsmith</title>
<link rel="stylesheet" href="/viewer.css">
<link rel="icon" href="/icon.svg">
<script src="/viewer.js" defer></script>
</head>
<body>
<div id="app"></div>
<noscript><p>The viewer needs JavaScript; it loads nothing from the network.</p></noscript>
</body>
</html>
"""
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_LABEL_BYTES = 64 * 1024
_MOST_THUMBS = 16


def make_app(runs: Runs, token: str | None = None, results: Path = Path("results")) -> Starlette:
    """The viewer as an ASGI application.

    Args:
        runs: what it shows; closed at the end.
        token: the secret that every request for data must carry; made up when None.
        results: the folder of recorded claims.

    Returns:
        The application; `app.state.token` is the secret.
    """
    pages = _Pages(runs, results)

    @asynccontextmanager
    async def lifespan(_: Starlette):
        yield
        runs.close()

    app = Starlette(
        routes=[
            Route("/", lambda _: Response(_PAGE, media_type="text/html")),
            Route("/viewer.js", lambda _: _static("viewer.js", "text/javascript")),
            Route("/viewer.css", lambda _: _static("viewer.css", "text/css")),
            Route("/icon.svg", lambda _: _static("icon.svg", "image/svg+xml")),
            Route("/api/pulse", _json(pages.pulse)),
            Route("/api/runs", _json(pages.runs_page)),
            Route("/api/overview", _json(pages.overview)),
            Route("/api/traces", _json(pages.traces)),
            Route("/api/trace", _json(pages.trace)),
            Route("/api/image", pages.image),
            Route("/api/thumbs", pages.thumbs),
            Route("/api/tasks", _json(pages.tasks)),
            Route("/api/labels", _json(pages.labels)),
            Route("/api/label", pages.add_label, methods=["POST"]),
            Route("/api/compare", _json(pages.compare)),
            Route("/api/results", _json(pages.results)),
        ],
        exception_handlers={HTTPException: _refusal, Exception: _failure},
        lifespan=lifespan,
    )
    app.state.token = token or secrets.token_urlsafe(32)
    app.add_middleware(Guard, token=app.state.token)
    return app


def _static(name: str, media_type: str) -> Response:
    return Response((_STATIC / name).read_bytes(), media_type=media_type, headers={"Cache-Control": "no-cache"})


def _json(page: Callable[[Request], Any]) -> Callable[[Request], Response]:
    """An endpoint (run in a thread) from a function that gives JSON values."""

    def endpoint(request: Request) -> Response:
        return Response(to_json(page(request)), media_type="application/json")

    return endpoint


def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Response(to_json({"error": error.detail}), status_code=error.status_code, media_type="application/json")


def _failure(_: Request, error: Exception) -> Response:
    text = f"The viewer failed on this ({type(error).__name__}); the terminal says more."
    # Starlette answers with this outside of all middleware, so the headers are put on here.
    return Response(to_json({"error": text}), status_code=500, media_type="application/json", headers=HEADERS)


class _Pages:
    """What the API answers, a method a route."""

    def __init__(self, runs: Runs, results: Path) -> None:
        self.shown, self.results_folder = runs, results

    def _run(self, request: Request) -> Run:
        run = self.shown.get(request.query_params.get("run", ""))
        if run is None:
            raise HTTPException(404, "There is no such run here.")
        return run

    def pulse(self, _: Request) -> dict[str, str]:
        return {name: run.stamp() for name, run in self.shown.all().items()}

    def runs_page(self, _: Request) -> dict[str, Any]:
        rows = [run.row() for run in self.shown.all().values()]
        rows.sort(key=lambda row: (row["status"] != "running", -row["updated"]))
        return {"root": "" if self.shown.root is None else str(self.shown.root), "runs": rows}

    def overview(self, request: Request) -> dict[str, Any]:
        run = self._run(request)
        return {**run.overview(), "picks": [row_json(row) for row in run.rows.all()[:-11:-1]]}

    def traces(self, request: Request) -> dict[str, Any]:
        found = self._run(request).rows.select(request.query_params)
        return {**found, "rows": [row_json(row) for row in found["rows"]]}

    def trace(self, request: Request) -> dict[str, Any]:
        try:
            page = self._run(request).trace(request.query_params.get("id", ""))
        except sqlite3.Error as error:
            raise HTTPException(404, f"This trace cannot be read ({error}).") from error
        if page is None:
            raise HTTPException(404, "There is no such trace in this run.")
        return page

    def image(self, request: Request) -> Response:
        found = self._run(request).database.image(request.query_params.get("digest", ""))
        if found is None:
            raise HTTPException(404, "This image is missing or not readable.")
        media_type, data = found
        kind = media_type if media_type in IMAGE_TYPES else "application/octet-stream"
        return Response(data, media_type=kind, headers=_FOREVER)

    def thumbs(self, request: Request) -> Response:
        """Small copies of several images in one answer: a strip of thirty turns asks three times, not thirty."""
        run = self._run(request)
        urls: dict[str, str] = {}
        for digest in request.query_params.getlist("digest")[:_MOST_THUMBS]:
            found = run.database.image(digest)
            if found is not None and found[0] in IMAGE_TYPES:
                urls[digest] = data_url(*thumbnail(*found))
        complete = len(urls) == len(set(request.query_params.getlist("digest")))
        return Response(to_json(urls), media_type="application/json", headers=_FOREVER if complete else None)

    def tasks(self, request: Request) -> dict[str, Any]:
        return list_tasks(self._run(request), request.query_params)

    def labels(self, request: Request) -> dict[str, Any]:
        run = self._run(request)
        rows = run.rows.all()
        open_cases = [row_json(row) for row in reversed(rows) if not row.labels and disagrees(row)]
        return {
            "labels": run.database.labels(),
            "scores": judge_scores(rows, run.database),
            "suggestions": open_cases[:25],
        }

    def compare(self, request: Request) -> dict[str, Any]:
        names = dict.fromkeys(request.query_params.getlist("run"))
        runs = [run for name in names if (run := self.shown.get(name)) is not None]
        if len(runs) < 2:
            raise HTTPException(404, "Choose at least two runs that are here.")
        return compare(runs)

    def results(self, _: Request) -> dict[str, Any]:
        files = []
        for path in sorted(self.results_folder.glob("*.json")):
            try:
                files.append({"name": path.stem, "claims": read_claims(path), "problem": ""})
            except (UserError, OSError) as error:
                files.append({"name": path.stem, "claims": [], "problem": str(error)})
        return {"folder": str(self.results_folder), "files": files}

    async def add_label(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LABEL_BYTES:
                raise HTTPException(413, f"A label may have up to {_LABEL_BYTES >> 10} KiB.")
        label = _label(body)
        labels = await run_in_threadpool(self._store_label, self._run(request), label)
        return Response(to_json(labels), media_type="application/json")

    def _store_label(self, run: Run, label: Label) -> list[dict[str, Any]]:
        path = inside(run.path, "run.db")
        if path is None:
            raise HTTPException(409, "This run has no run.db to store a label in.")
        try:
            with Store(path) as store:
                store.add_label(label)
        except UserError as error:
            raise HTTPException(409, f"The label was not stored. {error}") from error
        return run.database.labels(label.trace_id)


def _label(body: bytes) -> Label:
    try:
        fields = parse_json(body)
        trace_id, correct, turn, note = fields["trace_id"], fields["correct"], fields["turn"], fields["note"]
    except (ValueError, TypeError, KeyError) as error:
        raise HTTPException(400, "A label is an object with trace_id, correct, turn and note.") from error
    is_index = type(turn) is int and 0 <= turn < 2**31
    if not (isinstance(trace_id, str) and isinstance(correct, bool) and isinstance(note, str)):
        raise HTTPException(400, "trace_id and note are texts, and correct is true or false.")
    if turn is not None and not is_index:
        raise HTTPException(400, "turn is the index of a turn, or null for the whole trace.")
    return Label(trace_id, correct, turn, note, created_at=time.time())
