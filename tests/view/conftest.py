"""What the viewer's tests share: real Chromium, a real server on loopback, and runs made by `view.sample`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from view_site import Site, serving

from turnsmith.errors import UserError
from turnsmith.view.sample import write_sample_run


@pytest.fixture(scope="session")
def sample_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same configuration but for the seed."""
    root = tmp_path_factory.mktemp("runs")
    for seed in range(2):
        write_sample_run(root / f"seed-{seed}", traces=60, turns=6, iterations=3, seed=seed, distinct=6)
    return root


@pytest.fixture(scope="session")
def site(sample_root: Path) -> Iterator[Site]:
    with serving(sample_root) as running:
        yield running


@pytest.fixture(scope="module")
def chromium():
    """One real headless Chromium for the tests of a file; skipped where there is none.

    Not for the session: while Playwright's event loop runs in this thread, no asynchronous test can start its own.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    from turnsmith.envs.browser.chromium import find_chromium

    try:
        path = find_chromium().path
    except UserError as error:
        pytest.skip(str(error))
    arguments = ["--disable-gpu"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(path), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A fresh page at desktop width; at the end, nothing may have failed or been refused in its console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # A page that outlives its server by a moment finds it gone: that is no fault of the page.
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.set_default_timeout(15_000)
    yield page
    context.close()
    assert [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text] == []
