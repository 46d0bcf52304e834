"""MiniWoB++ tasks with their instructions.

A page writes its instruction when an episode starts. So each task is made by starting its episode once, in a browser of
its own, and reading what the page asks: from then on the instruction belongs to the task, as everywhere else, and
policies, judges and reports read it there.
"""

import random
from collections.abc import Sequence

from turnsmith.envs.browser.chromium import find_chromium, launch_arguments
from turnsmith.errors import UserError, require
from turnsmith.trace.types import Task
from turnsmith.worlds.miniwob.host import FLIGHT_VIEWPORT, VIEWPORT, known_page, start_episode
from turnsmith.worlds.miniwob.pages import PageServer, page_path

_LAST_DIGITS = {"train": (0, 1, 2, 3, 4, 5, 6, 7), "validation": (8,), "test": (9,)}


def page_seeds(page: str, split: str, count: int, seed: int = 0) -> list[int]:
    """Seeds of `count` different episodes of a page.

    The last digit tells the split (9 test, 8 validation, else train), so no two splits share an episode, whatever the
    `seed` that they were drawn with.

    Raises:
        UserError: if there is no such split.
    """
    if split not in _LAST_DIGITS:
        raise UserError(f"there is no MiniWoB split {split!r}. Take one of: {', '.join(_LAST_DIGITS)}.")
    rng = random.Random(f"{page}/{split}/{seed}")
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn[10 * rng.randrange(10_000_000) + rng.choice(_LAST_DIGITS[split])] = None
    return list(drawn)


async def miniwob_tasks(pages: Sequence[str], split: str = "train", count: int = 1, seed: int = 0) -> list[Task]:
    """`count` tasks of each page, in the order of `pages`, with the instructions that the pages give.

    Tasks of the split "test" put the page in its test mode, which makes a difference on a few: more boxes to tick on
    click-checkboxes-transfer, other sentences and data on some email and flight pages.

    Raises:
        UserError: if a page or the split does not exist, or miniwob or Chromium is missing.
        InfraError: if a page could not be started.
    """
    for page in pages:
        known_page(page, "miniwob_tasks")
    mode = "test" if split == "test" else "train"
    drawn = [(page, page_seed) for page in pages for page_seed in page_seeds(page, split, count, seed)]
    instructions = await miniwob_instructions([(page, page_seed, mode) for page, page_seed in drawn])
    return [
        Task(
            id=f"miniwob/{page}/{page_seed}",
            instruction=instruction,
            environment="browser",
            params={"site": "miniwob", "page": page, "seed": page_seed, "mode": mode},
            split=split,
            provenance={"source": "miniwob", "template": page, "seed": page_seed},
        )
        for (page, page_seed), instruction in zip(drawn, instructions, strict=True)
    ]


async def miniwob_instructions(episodes: Sequence[tuple[str, int, str]]) -> list[str]:
    """The instruction of each (page, seed, mode), from a freshly loaded page each; raises as `miniwob_tasks`."""
    require("playwright", "browser")
    from playwright.async_api import async_playwright

    server = PageServer()
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=str(find_chromium().path), args=launch_arguments()
            )
            context = await browser.new_context(locale="en-US", timezone_id="UTC")  # as in episodes
            tab = await context.new_page()
            said = []
            for page, seed, mode in episodes:
                width, height = FLIGHT_VIEWPORT if page.startswith("flight.") else VIEWPORT
                await tab.set_viewport_size({"width": width, "height": height})
                await tab.goto(server.origin + page_path(page))
                said.append(await start_episode(tab, seed, mode))
            await browser.close()
            return said
    finally:
        server.close()
