"""The accessibility tree as text, pruned as WebArena (viewport mode) and TTI (rich mode) do.

Both read `Accessibility.getFullAXTree` and drop nodes that lie less than 60 % inside the viewport, empty generic
nodes, and properties that say nothing; the children of a dropped node move up to its parent. A line is
`[id] role 'name' props`. Ids: an element with a mark has its mark; the others get fresh numbers after the last mark, in
order of the tree, so that every line can be aimed at and the same page reads the same every time.

Boxes come from one `DOMSnapshot` (border boxes), where the authors ask for the box model of every node.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from turnsmith.envs.browser.scripts import DocumentReplaced
from turnsmith.text import well_formed

if TYPE_CHECKING:
    from turnsmith.envs.browser.tab import Tab

T = TypeVar("T")
R = TypeVar("R")

IN_VIEWPORT = 0.6
IGNORED_PROPERTIES = {
    "focusable", "editable", "readonly", "level", "settable", "multiline", "invalid", "url",
}  # fmt: skip
EMPTY_GENERICS = {
    "generic", "img", "image", "list", "strong", "paragraph", "banner", "navigation", "Section", "LabelText", "Legend",
    "listitem", "none",
}  # fmt: skip
INTERACTIVE = ("button", "input", "textarea", "link", "listbox", "menu", "option", "box")
MAX_NAME = 500
MAX_WHOLE_PAGE = 12_000
MAX_GROWTH = 5


@dataclass(slots=True)
class Node:
    """A node of the tree that is left after pruning."""

    backend: int
    role: str
    name: str
    props: str
    box: tuple[float, float, float, float] | None
    inside: float
    children: list["Node"] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """A node that says nothing: its children move up."""
        if not self.role:
            return True
        return not self.name and (
            (self.role in EMPTY_GENERICS and not self.props) or self.role in ("listitem", "StaticText", "none")
        )


async def read_tree(tab: "Tab", page: dict[str, Any], rich: bool) -> tuple[str, dict[int, int]]:
    """The tree's text, and the backend node id behind each number that is not a mark.

    Args:
        tab: the page.
        page: what `observe` of observe.js returned for it just now.
        rich: TTI's mode: entries joined by ";\\t", the whole page where it is not much longer than what is in view,
            else a hint to scroll; names of at most 500 characters.
    """
    marked, answer, snapshot = await asyncio.gather(
        _backends_of_marks(tab, len(page["elements"])),
        tab.cdp.send("Accessibility.getFullAXTree"),
        tab.cdp.send("DOMSnapshot.captureSnapshot", {"computedStyles": [], "includeDOMRects": False}),
    )
    boxes = _boxes(snapshot)
    width, height = page["viewport"]
    root = _build(answer["nodes"], boxes, (width, height))
    if root is None:
        return "", {}
    writer = _Writer(marked, len(page["elements"]))
    if not rich:
        return "\n".join(writer.lines(_prune(root))), writer.fresh
    visible = _prune(root)
    text = ";\t".join(writer.rich(visible))
    whole = _Writer(marked, len(page["elements"]))
    everything = ";\t".join(whole.rich(root))
    if len(everything) <= MAX_GROWTH * len(text) and len(everything) < MAX_WHOLE_PAGE:
        return everything, whole.fresh
    return text + _hint(page["scroll"]), writer.fresh


async def raw_page(tab: "Tab", count: int) -> tuple[dict[str, Any], dict[str, Any], int | None]:
    """DOM snapshot, accessibility tree and focused mark, as they are; `count` is how many marks there are.

    Nodes of the tree that belong to a marked element carry its mark as a text, under "browsergym_id".
    """
    while True:
        try:
            marked, dom, tree, focused = await asyncio.gather(
                _backends_of_marks(tab, count),
                tab.send("DOMSnapshot.captureSnapshot", {"computedStyles": [], "includeDOMRects": True}),
                tab.send("Accessibility.getFullAXTree", {}),
                tab.ask(
                    f"[...Array({count}).keys()].find(n => __turnsmith__.element(n) === document.activeElement) ?? null"
                ),
            )
            break
        except DocumentReplaced:  # the page went on by itself: its marks are gone with it
            await tab.settle()
            count = 0
    for node in tree["nodes"]:
        mark = marked.get(node.get("backendDOMNodeId", -1))
        if mark is not None:
            node["browsergym_id"] = str(mark)
    return dom, tree, focused


def _hint(scroll: list[int]) -> str:
    """TTI's words for where the rest is."""
    above, below = scroll[0] > 0, scroll[0] < scroll[1]
    if above and below:
        return "\nYou can scroll up or down to see more."
    if below:
        return "\nYou can scroll down to see more. Page has not yet reached the bottom."
    return "\nYou can scroll up to see more." if above else ""


async def _backends_of_marks(tab: "Tab", count: int) -> dict[int, int]:
    """Backend node id -> mark."""
    if count == 0:
        return {}
    handles = await asyncio.gather(*(tab.handle(f"__turnsmith__.element({mark})") for mark in range(count)))
    if not all(handles):
        raise DocumentReplaced  # the marks were those of the document before
    nodes = await asyncio.gather(*(tab.send("DOM.describeNode", {"objectId": handle}) for handle in handles))
    return {node["node"]["backendNodeId"]: mark for mark, node in enumerate(nodes)}


def _boxes(snapshot: dict[str, Any]) -> dict[int, tuple[float, float, float, float]]:
    """Backend node id -> (x, y, width, height) in the viewport, for every node of the main document that has a box."""
    document = snapshot["documents"][0]
    backends = document["nodes"]["backendNodeId"]
    left, top = document.get("scrollOffsetX", 0.0), document.get("scrollOffsetY", 0.0)
    layout = document["layout"]
    boxes = {}
    for index, (x, y, width, height) in zip(layout["nodeIndex"], layout["bounds"], strict=True):
        boxes.setdefault(backends[index], (x - left, y - top, width, height))
    return boxes


def _build(
    rows: list[dict[str, Any]], boxes: dict[int, tuple[float, float, float, float]], size: tuple[int, int]
) -> Node | None:
    """The tree without ignored, empty and inline-text-box nodes; None for an empty page."""
    by_id = {row["nodeId"]: row for row in rows}

    def below(row: dict[str, Any]) -> list[dict[str, Any]]:
        return [by_id[child] for child in row.get("childIds", ()) if child in by_id]

    def build(row: dict[str, Any], built: list[list[Node]]) -> list[Node]:
        children = [node for nodes in built for node in nodes]
        role = row.get("role", {}).get("value", "")
        if row.get("ignored") or role == "InlineTextBox":
            return children
        # Without outer spaces: whether a label keeps them depends on the version of Chromium.
        name = well_formed(str(row.get("name", {}).get("value", ""))).strip()
        name = name[:MAX_NAME] + "..." if len(name) > MAX_NAME else name
        backend = row.get("backendDOMNodeId", 0)
        box = boxes.get(backend)
        inside = 1.0 if role == "RootWebArea" else _inside(box, size)
        node = Node(backend, role, name, _props(row), box, inside, children)
        return children if node.empty else [node]

    roots = [row for row in rows if "parentId" not in row]
    built = _fold(roots[0], below, build) if roots else []
    if len(built) == 1:
        return built[0]
    return Node(0, "RootWebArea", "", "", None, 1.0, built) if built else None


def _fold(root: T, below: Callable[[T], Sequence[T]], made: Callable[[T, list[R]], R]) -> R:
    """What `made` makes of a node and of what it made of those below, from the leaves up; pages nest thousands deep."""
    order, open_nodes = [], [root]
    while open_nodes:
        node = open_nodes.pop()
        order.append((node, below(node)))
        open_nodes += order[-1][1]
    results: dict[int, R] = {}
    for node, children in reversed(order):
        results[id(node)] = made(node, [results[id(child)] for child in children])
    return results[id(root)]


def _walk(root: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth, a node before those below it, in the order of the page."""
    open_nodes = [(root, 0)]
    while open_nodes:
        node, depth = open_nodes.pop()
        yield node, depth
        open_nodes += [(child, depth + 1) for child in reversed(node.children)]


def _inside(box: tuple[float, float, float, float] | None, size: tuple[int, int]) -> float:
    """Which part of a box lies in the viewport; 0 for a node without area."""
    if box is None or box[2] <= 0 or box[3] <= 0:
        return 0.0
    x, y, width, height = box
    across = max(0.0, min(x + width, size[0]) - max(x, 0.0))
    down = max(0.0, min(y + height, size[1]) - max(y, 0.0))
    return across * down / (width * height)


def _props(row: dict[str, Any]) -> str:
    shown = []
    for property in row.get("properties", ()):
        value = property.get("value", {}).get("value")
        if property["name"] in IGNORED_PROPERTIES or value is None:
            continue
        text = well_formed(str(value))
        shown.append(f"{property['name']}: {text[:MAX_NAME] + '...' if len(text) > MAX_NAME else text}")
    return " ".join(shown)


def _prune(node: Node) -> Node:
    """The tree without what lies less than 60 % in view; children of a dropped node move up."""

    def kept(child: Node, below: list[list[Node]]) -> list[Node]:
        children = [grandchild for nodes in below for grandchild in nodes]
        if child.inside < IN_VIEWPORT and child is not node:
            return children
        return [replace(child, children=children)]

    return _fold(node, lambda child: child.children, kept)[0]


class _Writer:
    """Numbers nodes and writes lines. Marks keep their number, other nodes count on after the last mark."""

    def __init__(self, marked: dict[int, int], count: int) -> None:
        self.marked = marked
        self.fresh: dict[int, int] = {}
        self._next = count

    def _number(self, node: Node) -> int:
        if node.backend in self.marked:
            return self.marked[node.backend]
        number = self._next
        self._next += 1
        self.fresh[number] = node.backend
        return number

    def lines(self, root: Node) -> list[str]:
        """WebArena's lines: a tab for each level; a StaticText that one of the last three lines said is left out."""
        lines: list[str] = []

        for node, depth in _walk(root):
            repeated = node.role == "StaticText" and any(node.name in line for line in lines[-3:])
            if not repeated:
                props = f" {node.props}" if node.props else ""
                lines.append("\t" * depth + f"[{self._number(node)}] {node.role} {node.name!r}{props}")
        return lines

    def rich(self, root: Node) -> list[str]:
        """TTI's entries: unmarked nodes that repeat the entry before them, or say nothing, are left out."""
        entries: list[str] = []
        last = ""

        for node, _ in _walk(root):
            marked = node.backend in self.marked
            plain = not any(word in f"{node.role} {node.name}" for word in INTERACTIVE) and node.role != "RootWebArea"
            silent = not node.name and node.role not in ("RootWebArea", "listbox", "option")
            if marked or not (silent or (plain and node.name in last)):
                last = node.name
                props = f" {node.props}" if node.props else ""
                name = re.sub(r"[ \f\r\v\xa0]+", " ", re.sub("[\ue000-\uf8ff]", "", node.name))
                entries.append(f"[{self._number(node)}]: {node.role} {name!r}{props}")
        return entries
