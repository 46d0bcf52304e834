"""What the agent sees: the element list with set-of-marks, screenshots, and the accessibility tree, each optional.

The rules of the set-of-marks list are those of WebVoyager (arXiv 2401.13919), which PAE and TTI share; observe.js holds
them. The list is one line, its entries joined by tabs:

    [0]: "Home";	[1]: <input> "Search products";	[2]: <button> "Add to cart";

`[mark]`, the tag (only of buttons, inputs and text areas), the text, and the accessible name where it says more. An
entry without any text is left out, unless it is a field or a button; so is one whose text has 200 characters or more
(it keeps its mark). docs/browser.md lists what fields say and every place where we differ from the authors' code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from turnsmith.envs.browser.scripts import DocumentReplaced
from turnsmith.envs.browser.tab import Tab
from turnsmith.envs.browser.tree import read_tree
from turnsmith.trace.types import ImageRef, Observation

MAX_TEXT = 200
_TAGGED = ("button", "input", "textarea")


@dataclass(frozen=True, slots=True)
class ObservationConfig:
    """What an observation holds.

    Attributes:
        elements: the element list is part of the text. (Elements are found and numbered in any case.)
        page_text: what else the page says in view is part of the text, a line a block, unless the tree has it. (The
            papers' agents, which see a picture, have the list alone.)
        tree: the accessibility tree is part of the text: "viewport" (WebArena's pruning) or "rich" (TTI's).
        screenshot: "plain", "marked" (the set-of-marks picture) or None.
        jpeg_quality: 1 to 100.
    """

    elements: bool = True
    page_text: bool = True
    tree: Literal["viewport", "rich", False] = False
    screenshot: Literal["plain", "marked"] | None = None
    jpeg_quality: int = 70


def element_list(elements: Sequence[Mapping[str, Any]]) -> str:
    """The official text of the set-of-marks list."""
    return "\t".join(line for element in elements if (line := _entry(element)))


def _entry(element: Mapping[str, Any]) -> str:
    """One entry, or "" where the element is left out."""
    text, aria = element["text"], element["aria"]
    tagged = element["tag"] in _TAGGED
    if len(text) >= MAX_TEXT or not (text or aria or tagged):
        return ""
    tag = f"<{element['tag']}> " if tagged else ""
    said = f'"{text}", "{aria}"' if text and aria else f'"{text or aria}"'
    return f"[{element['mark']}]: {tag}{said};"


async def observe(tab: Tab, config: ObservationConfig) -> tuple[Observation, dict[int, int]]:
    """Look at the page as it is.

    Returns:
        The observation (without `error`; `info` as in docs/browser.md), and the backend node ids behind marks that only
        the accessibility tree shows.
    """
    while True:
        try:
            return await _observe(tab, config)
        except DocumentReplaced:  # the page went on by itself while it was looked at
            await tab.settle()


async def _observe(tab: Tab, config: ObservationConfig) -> tuple[Observation, dict[int, int]]:
    marked = config.screenshot == "marked"
    page = await tab.call("observe", marked, config.page_text and not config.tree)  # type: ignore[arg-type]
    page_text = page.pop("text", "")
    images = ()
    if config.screenshot is not None:
        images = (ImageRef.of(await tab.screenshot(config.jpeg_quality)),)
        if marked:
            await tab.ask("__turnsmith__.unmark()")
    if not page.pop("complete", True):
        tab.notes.append(
            f"the page has more elements than there was time for; the first {len(page['elements'])} are shown"
        )
    texts = [element_list(page["elements"])] if config.elements else []
    if page_text:
        texts.append(f"Text:\n{page_text}")
    nodes: dict[int, int] = {}
    if config.tree:
        tree, nodes = await read_tree(tab, page, rich=config.tree == "rich")
        texts.append(tree)
    texts += [f"Note: {note}" for note in tab.notes]
    info = {**page, "blocked": len(tab.wall.blocked), "notes": tab.notes[:]}
    tab.notes.clear()
    return Observation(text="\n".join(texts), images=images, info=info), nodes
