"""One server for the local sites, and visitors that speak HTTP to it without a browser."""

import httpx
import pytest_asyncio

from turnsmith.trace.types import Task
from turnsmith.worlds.sites.server import COOKIE, LocalSites, SiteVisit


class Visitor:
    """A visit with an HTTP client that carries its cookie; redirects are followed."""

    def __init__(self, visit: SiteVisit) -> None:
        self.visit = visit
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{visit.host.port}",
            headers={"host": f"{visit.site}.localhost:{visit.host.port}"},
            cookies={COOKIE: visit.token},
            follow_redirects=True,
        )

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def post(self, path: str, **fields: str) -> httpx.Response:
        return await self.client.post(path, data=fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sites():
    host = LocalSites()
    await host.start()
    yield host
    await host.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def enter(sites):
    """`await enter(site, world)` or `await enter(task)` lets somebody in."""
    visitors = []

    async def let_in(site: str | Task, world: int = 0) -> Visitor:
        task = site if isinstance(site, Task) else Task("t", "x", "browser", {"site": site, "world": world})
        visitor = Visitor(await sites.visit(task, 0))
        visitors.append(visitor)
        return visitor

    yield let_in
    for visitor in visitors:
        await visitor.client.aclose()
        await visitor.visit.close()
