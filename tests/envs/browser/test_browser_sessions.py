"""The environment's contract: visits, isolation of episodes, more sessions than contexts, and what leaks nowhere."""

import asyncio

import pytest
from browser_pages import PageServer, Reply, act, page, script, until

from turnsmith.envs.browser import BrowserEnvironment, Limits, ObservationConfig, OpenWeb
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import Task, Verdict

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Game:
    """A host whose pages count clicks: three end the episode."""

    def __init__(self, pages: PageServer) -> None:
        self.pages = pages
        self.viewport = (400, 300)
        self.events: list[str] = []

    async def start(self):
        self.events.append("start")

    async def stop(self):
        self.events.append("stop")

    async def visit(self, task, seed):
        if "url" not in task.params:
            raise UserError("no url")
        if task.params["url"] == "infra":
            raise InfraError("server_down")
        return Played(self, task.params["url"], seed)


class Played:
    def __init__(self, game, url, seed) -> None:
        self.game, self.start_url, self.seed = game, url, seed
        self.hosts = frozenset({"127.0.0.1"})
        self.cookies = [{"name": "seed", "value": str(seed), "url": url}]

    async def ready(self, page):
        await page.evaluate("window.clicks = 0; document.title = document.cookie")
        self.game.events.append("ready")

    async def after_step(self, page):
        clicks = await page.evaluate("window.clicks")
        return float(clicks), clicks >= 3

    async def grade(self, page, answer):
        return Verdict("oracle", float(answer == "right"), f"{answer} at {page.url.rsplit('/')[-1]}")

    async def close(self):
        self.game.events.append("close")


async def test_a_visit_is_set_up_asked_and_closed_in_order(pages):
    pages.pages["/game"] = page("<button onclick='window.clicks++'>b</button>")
    game = Game(pages)
    task = Task("t", "", "game", {"url": pages.url("/game")})
    async with BrowserEnvironment(game, name="game", limits=Limits(settle=1)) as environment:
        assert (environment.name, game.events) == ("game", ["start"])
        async with environment.session() as session:
            assert await session.grade() is None
            observation = await session.reset(task, seed=7)
            assert observation.info["title"] == "seed=7"
            assert observation.info["viewport"] == [400, 300]
            steps = [await session.step(act("click", mark=0)) for _ in range(3)]
            assert [(step.reward, step.done) for step in steps] == [(1.0, False), (2.0, False), (3.0, True)]
            assert (await session.grade()) == Verdict("oracle", 0.0, "None at game")
            assert game.events == ["start", "ready"]
            await session.reset(task, seed=8)
            assert game.events == ["start", "ready", "close", "ready"]
            step = await session.step(act("answer", text="right"))
            assert step.done
            assert (await session.grade()) == Verdict("oracle", 1.0, "right at game")
            with pytest.raises(UserError):
                await session.reset(Task("t", "", "game"), 0)
            with pytest.raises(InfraError, match="server_down"):
                await session.reset(Task("t", "", "game", {"url": "infra"}), 0)
            with pytest.raises(InfraError, match="server_down"):
                await session.step(act("wait"))
    assert game.events == ["start", "ready", "close", "ready", "close", "stop"]


async def test_a_step_before_any_episode_is_a_bug_of_the_caller(session):
    with pytest.raises(RuntimeError, match="reset"):
        await session.step(act("wait"))


async def test_nothing_of_an_episode_reaches_the_next(session, pages):
    html = """<script>
      const seen = [document.cookie, localStorage.length, sessionStorage.length, history.length, document.referrer];
      document.cookie = 'a=1; max-age=1000'; localStorage.a = sessionStorage.a = 1;
      const ready = (async () => {
        seen.push((await indexedDB.databases()).length, (await caches.keys().catch(() => [])).length);
        indexedDB.open('a'); try { (await caches.open('a')).put('/x', new Response('x')) } catch {}
        document.body.innerHTML = `<a href=/again>${seen.join('|')}</a>`; })();
      </script>"""
    task = pages.put(html)
    found = []
    for _ in range(2):
        await session.reset(task, 0)
        await script(session, "ready")
        step = await session.step(act("scroll", direction="up", target="window"))
        found.append(step.observation.text)
        assert (await session.step(act("click", mark=0))).observation.info["url"] == pages.url("/again")
    assert found[0].startswith('[0]: "|0|0|')
    assert found[1] == found[0]


async def test_sessions_see_only_their_own_state(environment, pages):
    pages.put(
        "<script>document.cookie ||= 'owner=' + location.search; document.title = document.cookie</script>", "/own"
    )
    async with environment.session() as one, environment.session() as other:
        await one.reset(pages.task("/own?1"), 0)
        observation = await other.reset(pages.task("/own?2"), 0)
        assert observation.info["title"] == "owner=?2"


async def test_64_logical_sessions_share_a_bounded_number_of_contexts(environment, pages):
    pages.pages["/number"] = lambda head: page(f"<a href=/>{head.split(' ')[1]}</a>")
    open_now = most = 0

    async def play(number):
        nonlocal open_now, most
        async with environment.session() as session:
            open_now += 1
            most = max(most, open_now)
            text = (await session.reset(pages.task(f"/number?{number}"), number)).text
            open_now -= 1
            return text

    texts = await asyncio.gather(*(play(number) for number in range(64)))
    assert most == 4
    assert texts == [f'[0]: "/number?{number}";' for number in range(64)]
    browser = await environment.pool.browser()
    await until(lambda: len(browser.contexts) == 1)  # what is given back is closed; one waits for the next episode


async def test_a_cancelled_step_leaves_a_session_that_can_be_reset(environment, pages):
    gate = asyncio.Event()
    pages.pages["/hang"] = Reply(page(""), gate=gate)
    async with environment.session() as session:
        await session.reset(pages.put("<a href=/hang>hang</a>"), 0)
        stepping = asyncio.ensure_future(session.step(act("click", mark=0)))
        await pages.asked("GET /hang")
        stepping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stepping
        assert (await session.reset(pages.put("<a href=/>x</a>"), 0)).text == '[0]: "x";'
    gate.set()


async def test_the_observation_is_what_was_asked_for():
    assert BrowserEnvironment(OpenWeb()).observation == ObservationConfig(elements=True, tree=False, screenshot=None)
    with pytest.raises(ValueError, match="at least 1"):
        BrowserEnvironment(OpenWeb(), sessions=0)
