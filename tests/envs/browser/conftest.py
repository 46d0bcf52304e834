"""One page server and one browser for each test module."""

import pytest_asyncio
from browser_pages import PageServer

from turnsmith.envs.browser import BrowserEnvironment, Limits, ObservationConfig, OpenWeb


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages():
    server = PageServer()
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(pages):
    async with BrowserEnvironment(
        OpenWeb(),
        sessions=4,
        observation=ObservationConfig(page_text=False),
        limits=Limits(wait=0.2, navigation=5, settle=1),
    ) as environment:
        yield environment


@pytest_asyncio.fixture(loop_scope="module")
async def session(environment):
    async with environment.session() as session:
        yield session
