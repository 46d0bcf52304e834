"""Somebody's own site: nothing but reading gets through, logins stay out of traces, a state is put back."""

import json
import socket
import threading
import time
from urllib.parse import parse_qs

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from turnsmith.envs.browser import BrowserEnvironment
from turnsmith.envs.browser.guarded import GuardedWeb, log_in, put_back
from turnsmith.envs.browser.redacted import HIDDEN, Redacted
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.codec import trace_to_json
from turnsmith.trace.types import Action, Call, Task, Trace, Turn

PAGE = """<!doctype html><title>Notes | Own</title><h1>Notes</h1>
<form method="post" action="/save"><input aria-label="Note" name="note"><button>Save</button></form>
<form method="get" action="/find"><input aria-label="Word" name="q"><button>Find</button></form>
<button onclick="fetch('/save', {method: 'PUT', body: 'fetch'})">Put</button>
<button onclick="navigator.sendBeacon('/save', 'beacon')">Beacon</button>
<button onclick="fetch('/save', {method: 'DELETE', keepalive: true})">Delete</button>
<button onclick="const f = document.createElement('iframe'); f.name = 'f'; document.body.append(f);
  const g = document.querySelector('form'); g.target = 'f'; g.submit();">Frame</button>
<button onclick="window.worker = new Worker('/worker.js')">Worker</button>
<button onclick="const w = new WebSocket('ws://' + location.host + '/live');
  w.onopen = () => w.send('socket')">Socket</button>
<a href="/far">Far</a>"""


class Site:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.url = ""

    async def home(self, request: Request) -> Response:
        if request.cookies.get("who") == "ada.lovelace":
            return HTMLResponse("<title>In</title><p><a href='/'>Signed in as ada.lovelace</a></p>" + PAGE)
        return HTMLResponse(PAGE)

    async def find(self, request: Request) -> Response:
        return HTMLResponse(f"<title>Found</title><ul><li>Found {request.query_params['q']}</li></ul>")

    async def save(self, request: Request) -> Response:
        self.writes.append(request.method)
        return RedirectResponse("/", 303)

    async def login(self, request: Request) -> Response:
        fields = parse_qs((await request.body()).decode())
        if fields.get("pass") == ["correct horse"]:
            answer = RedirectResponse("/", 303)
            answer.set_cookie("who", fields["name"][0])
            return answer
        return HTMLResponse(
            "<form method=post><input name=name><input type=password name=pass><button>Go</button></form>"
        )

    async def worker(self, request: Request) -> Response:
        return Response("fetch('/save', {method: 'POST', body: 'worker'})", media_type="text/javascript")

    async def live(self, socket: WebSocket) -> None:
        await socket.accept()
        self.writes.append("SOCKET " + await socket.receive_text())


@pytest.fixture(scope="module")
def site():
    own = Site()
    app = Starlette(
        routes=[
            Route("/", own.home),
            Route("/find", own.find),
            Route("/worker.js", own.worker),
            Route("/save", own.save, methods=["POST", "PUT", "DELETE", "PATCH"]),
            Route("/login", own.login, methods=["GET", "POST"]),
            WebSocketRoute("/live", own.live),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    own.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield own
    server.should_exit = True
    thread.join(5)


def task(url: str) -> Task:
    return Task("own", "Look around.", "browser", {"start_url": url})


def press(observation, text: str) -> Action:
    mark = next(e["mark"] for e in observation.info["elements"] if text in (e["text"], e["aria"]))
    return Action("x", Call("click", {"mark": mark}))


@pytest.mark.parametrize("button", ["Save", "Put", "Beacon", "Delete", "Frame", "Worker", "Socket"])
async def test_whatever_would_change_the_site_is_refused_and_said(site, button):
    site.writes.clear()
    async with BrowserEnvironment(GuardedWeb(), 1) as environment, environment.session() as session:
        seen = await session.reset(task(site.url), 0)
        step = await session.step(press(seen, button))
        notes = list(step.observation.info["notes"])
        for _ in range(8):  # a worker takes its time
            if notes:
                break
            notes += (await session.step(Action("x", Call("wait")))).observation.info["notes"]
    assert site.writes == []
    assert any("was refused" in note for note in notes)
    assert step.observation.info["title"] == "Notes | Own"  # the page stays


async def test_reading_goes_on_and_writes_get_through_where_they_are_allowed(site):
    site.writes.clear()
    async with BrowserEnvironment(GuardedWeb(), 1) as environment, environment.session() as session:
        seen = await session.reset(task(site.url), 0)
        word = next(e["mark"] for e in seen.info["elements"] if e["aria"] == "Word")
        step = await session.step(Action("x", Call("type", {"mark": word, "text": "lamp"})))
        assert "Found lamp" in step.observation.text
    async with BrowserEnvironment(GuardedWeb(allow_writes=True), 1) as environment, environment.session() as session:
        seen = await session.reset(task(site.url), 0)
        await session.step(press(seen, "Save"))
    assert site.writes == ["POST"]


async def test_a_login_is_used_and_neither_it_nor_its_words_are_in_a_trace(site):
    user, password = "ada.lovelace", "correct horse"
    state = await log_in(f"{site.url}/login", user, password)
    environment = Redacted(BrowserEnvironment(GuardedWeb(state=state), 1), [user, password])
    async with environment, environment.session() as session:
        seen = await session.reset(task(site.url), 0)
        step = await session.step(press(seen, "Find"))
    assert f"Signed in as {HIDDEN}" in seen.text  # the site knows who it is, the trace does not
    trace = Trace("t", task(site.url), (Turn(seen, Action("x"), info=step.info),), final=step.observation)
    written = json.dumps(trace_to_json(trace))
    assert user not in written
    assert password not in written


async def test_a_login_that_does_not_work_is_said_without_its_words(site):
    with pytest.raises(UserError, match="still asks for a password") as wrong:
        await log_in(f"{site.url}/login", "ada.lovelace", "wrong horse")
    assert "wrong horse" not in str(wrong.value)
    with pytest.raises(UserError, match="no visible field for a password"):
        await log_in(site.url, "a", "b")


async def test_a_reset_by_address_or_command_has_to_succeed(site, tmp_path):
    site.writes.clear()
    await put_back(f"{site.url}/save")
    assert site.writes == ["POST"]
    await put_back(f"touch {tmp_path}/reset")
    assert (tmp_path / "reset").exists()
    with pytest.raises(InfraError, match="reset_failed: the command ended with 3: no backup"):
        await put_back("echo no backup; exit 3")
    with pytest.raises(InfraError, match="answered 405"):
        await put_back(f"{site.url}/find")
