"""Faults that really happen: killed browsers, crashed and hung pages, dead and silent servers (see `faults`)."""

import asyncio
import os
import signal

import psutil
import pytest
import pytest_asyncio
from browser_pages import PageServer, Reply, act, page, script

from turnsmith.envs.browser import BrowserEnvironment, Limits, OpenWeb
from turnsmith.errors import InfraError

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = Limits(navigation=1.0, settle=0.5, restless=0.3, wait=0.2, step=4.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment():
    async with BrowserEnvironment(OpenWeb(), sessions=6, limits=LIMITS) as environment:
        yield environment


def browser_processes() -> list[psutil.Process]:
    """The main processes of the browsers that this process started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if any("--remote-debugging" in word for word in command) and not any("--type=" in word for word in command):
            found.append(process)
    return found


def kill_browser() -> None:
    processes = browser_processes()
    assert processes
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


async def kind_of_failure(work) -> str:
    with pytest.raises(InfraError) as caught:
        await work
    return caught.value.kind


async def test_a_killed_browser_fails_its_sessions_and_the_next_episodes_go_on(environment, pages):
    task = pages.put("<a href=/>alive</a>")
    gate = asyncio.Event()
    pages.pages["/hang"] = Reply(gate=gate)
    launches = environment.pool.launches

    async def idle(session, ready, killed):
        await session.reset(task, 0)
        ready.release()
        await killed.wait()
        return await kind_of_failure(session.step(act("click", mark=0)))

    async def busy(session, ready, killed):
        await session.reset(task, 0)
        await script(session, "document.querySelector('a').href = '/hang'")
        stepping = asyncio.ensure_future(session.step(act("click", mark=0)))
        await pages.asked("GET /hang")
        ready.release()
        return await kind_of_failure(stepping)

    async def play(work, ready, killed):
        async with environment.session() as session:
            first = await work(session, ready, killed)
            again = await kind_of_failure(session.step(act("click", mark=0)))  # until it is reset
            observation = await session.reset(task, 0)
            step = await session.step(act("click", mark=0))
            return first, again, observation.text, step.observation.text

    ready, killed = asyncio.Semaphore(0), asyncio.Event()
    playing = [asyncio.ensure_future(play(work, ready, killed)) for work in (idle, idle, busy, busy)]
    for _ in playing:
        await ready.acquire()
    kill_browser()
    killed.set()
    assert await asyncio.gather(*playing) == [("browser_died", "browser_died", '[0]: "alive";', '[0]: "alive";')] * 4
    assert environment.pool.launches == launches + 1
    gate.set()


async def test_a_browser_killed_between_episodes_is_replaced_unnoticed(environment, pages):
    task = pages.put("<a href=/>alive</a>")
    kill_browser()
    async with environment.session() as session:
        assert (await session.reset(task, 0)).text == '[0]: "alive";'


async def test_a_browser_killed_while_episodes_begin_loses_none_for_good(environment, pages):
    task = pages.put("<a href=/>alive</a>")

    async def play():
        async with environment.session() as session:
            for _ in range(3):
                try:
                    return (await session.reset(task, 0)).text
                except InfraError as error:
                    if error.kind != "browser_died":
                        raise
        return ""

    playing = [asyncio.ensure_future(play()) for _ in range(6)]
    await asyncio.sleep(0.05)
    kill_browser()
    assert await asyncio.gather(*playing) == ['[0]: "alive";'] * 6


async def test_the_death_of_playwrights_own_process_is_survived(pages):
    task = pages.put("<a href=/>alive</a>")
    before = {process.pid for process in psutil.Process().children()}
    async with BrowserEnvironment(OpenWeb(), limits=LIMITS) as environment, environment.session() as session:
        await session.reset(task, 0)
        (driver,) = [process for process in psutil.Process().children() if process.pid not in before]
        driver.kill()
        assert await kind_of_failure(session.step(act("click", mark=0))) == "browser_died"
        assert (await session.reset(task, 0)).text == '[0]: "alive";'


async def test_a_crashed_page_fails_alone(environment, pages):
    task = pages.put("<a href=/>alive</a>")
    async with environment.session() as session, environment.session() as other:
        await session.reset(task, 0)
        await other.reset(task, 0)
        crash = asyncio.ensure_future(session._tab.cdp.send("Page.crash"))
        assert await kind_of_failure(session.step(act("wait"))) == "page_crashed"
        assert (await other.step(act("click", mark=0))).observation.text == '[0]: "alive";'
        assert (await session.reset(task, 0)).text == '[0]: "alive";'
        crash.cancel()
        await asyncio.gather(crash, return_exceptions=True)


async def test_a_page_that_does_not_let_go_is_hung(environment, pages):
    task = pages.put('<button onclick="for (;;);">hang</button>')
    async with environment.session() as session:
        await session.reset(task, 0)
        assert await kind_of_failure(session.step(act("click", mark=0))) == "page_hung"
        assert (await session.reset(task, 0)).text == '[0]: <button> "hang";'


async def test_a_server_that_went_down_is_no_fault_of_the_agent(environment):
    server = PageServer()
    await server.start()
    task = server.put("<a href=/next>next</a>")
    async with environment.session() as session, environment.session() as other:
        await session.reset(task, 0)
        await server.stop()
        assert await kind_of_failure(session.step(act("click", mark=0))) == "server_down"
        assert await kind_of_failure(other.reset(task, 0)) == "server_down"
        await server.start(server.port)
        assert (await session.reset(task, 0)).text == '[0]: "next";'
    await server.stop()


async def test_a_server_that_does_not_answer_times_out(environment, pages):
    gate = asyncio.Event()
    pages.pages["/silent"] = Reply(gate=gate)
    async with environment.session() as session:
        await session.reset(pages.put("<a href=/silent>go</a>"), 0)
        assert await kind_of_failure(session.step(act("click", mark=0))) == "navigation_timeout"
        assert await kind_of_failure(session.reset(pages.task("/silent"), 0)) == "navigation_timeout"
    gate.set()


async def test_a_page_that_never_ends_loading_is_seen_as_far_as_it_came(environment, pages):
    gate = asyncio.Event()
    pages.pages["/silent"] = Reply(gate=gate)
    pages.put("<a href=/>seen</a><img src=/silent>", "/picture")
    pages.pages["/half"] = Reply(page("<a href=/>seen</a>" + " " * 8000), stall=True)
    async with environment.session() as session:
        for path in ("/picture", "/half"):
            assert (await session.reset(pages.task(path), 0)).text == '[0]: "seen";'
            assert (await session.step(act("scroll", direction="up", target="window"))).observation.error == ""
    gate.set()


async def test_a_page_that_never_rests_is_seen_as_it_is(environment, pages):
    html = """<a href=/>seen</a><p id=p></p><script>setInterval(() => p.textContent = Math.random(), 1);
      (function poll() { fetch('/poll').then(poll) })()</script>"""
    pages.pages["/poll"] = ""
    async with environment.session() as session:
        assert (await session.reset(pages.put(html), 0)).text.startswith('[0]: "seen";')


async def test_a_failing_navigation_is_a_step_error(environment, pages):
    pages.pages["/loop"] = Reply("", "302 Found", {"Location": "/loop"})
    pages.pages["/error"] = Reply(page("<a href=/>sorry</a>"), "500 Internal Server Error")
    async with environment.session() as session:
        await session.reset(pages.put("<a href=/loop>loop</a><a href=/error>error</a>"), 0)
        step = await session.step(act("click", mark=0))
        loop = pages.url("/loop")
        assert step.observation.error == f"The page {loop} could not be opened (net::ERR_TOO_MANY_REDIRECTS)."
        assert (await session.step(act("go_back"))).observation.info["url"] == pages.url("/")
        step = await session.step(act("click", mark=1))  # a page of the server's own, whatever its status
        assert (step.observation.text, step.observation.error) == ('[0]: "sorry";', "")


async def test_dialogs_are_dismissed_and_told(environment, pages):
    html = """<button onclick="document.title = [alert('hi'), confirm('sure?'), prompt('name?')].join()">ask</button>
      <a href=/next>leave</a><script>onbeforeunload = (e) => e.preventDefault()</script>"""
    pages.pages["/next"] = page("<script>alert('loading')</script><a href=/>next</a>")
    async with environment.session() as session:
        await session.reset(pages.put(html), 0)
        step = await session.step(act("click", mark=0))
        assert step.observation.info["title"] == ",false,"
        assert step.observation.info["notes"] == [
            "a dialog was dismissed (alert): hi",
            "a dialog was dismissed (confirm): sure?",
            "a dialog was dismissed (prompt): name?",
        ]
        assert step.observation.text.endswith("\nNote: a dialog was dismissed (prompt): name?")
        step = await session.step(act("click", mark=1))  # the question whether to leave is answered by leaving
        assert step.observation.text == '[0]: "next";\nNote: a dialog was dismissed (alert): loading'
        step = await session.step(act("wait"))
        assert step.observation.text == '[0]: "next";'


async def test_downloads_are_refused_and_told(environment, pages):
    disposition = {"Content-Disposition": "attachment; filename=data.csv"}
    pages.pages["/file"] = Reply("a,b", headers=disposition, media_type="text/csv")
    async with environment.session() as session:
        await session.reset(pages.put("<a href=/file>get</a>"), 0)
        step = await session.step(act("click", mark=0))
        assert step.observation.info["notes"] == ["a download was refused: data.csv"]
        assert step.observation.info["url"] == pages.url("/")
        assert step.observation.error == ""


async def test_pages_that_close_themselves_stay(environment, pages):
    async with environment.session() as session:
        await session.reset(pages.put("<button onclick='window.close()'>close</button>"), 0)
        step = await session.step(act("click", mark=0))
        assert step.observation.text == '[0]: <button> "close";'


async def test_leaving_the_environment_leaves_no_process_behind(pages):
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    async with BrowserEnvironment(OpenWeb(), limits=LIMITS) as environment, environment.session() as session:
        await session.reset(pages.put("<a href=/>x</a>"), 0)
    assert not {p.pid for p in psutil.Process().children(recursive=True) if p.status() != "zombie"} - before
