"""A running viewer for the tests of the pages and of the server."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from turnsmith.view.runs import Runs
from turnsmith.view.serve import settings
from turnsmith.view.server import make_app

TOKEN = "a-token-for-tests"


@dataclass(frozen=True)
class Site:
    """A running viewer."""

    port: int
    root: Path

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        return f"{self.origin}/#token={TOKEN}"


@contextmanager
def serving(root: Path, results: Path | None = None) -> Iterator[Site]:
    """The viewer over all runs below `root`, on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = make_app(Runs(root, []), TOKEN, results or root / "results")
    server = uvicorn.Server(settings(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Site(listener.getsockname()[1], root)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def edit(folder: Path, statement: str, *values: object) -> None:
    """Change a run's database behind the store's back."""
    db = sqlite3.connect(folder / "run.db")
    db.execute(statement, values)
    db.commit()
    db.close()


def until(page, expression: str, seconds: float = 15.0) -> None:
    """Wait until a JavaScript expression holds. (`page.wait_for_function` evaluates text, which the policy forbids.)"""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for: {expression}"
        time.sleep(0.03)
