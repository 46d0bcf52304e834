"""Browsing traces without a browser: observations as the browser environment would make them."""

from typing import Any

from turnsmith.trace.types import Action, Call, Observation, Task, Trace, Turn


def look(title: str, path: str, *elements: tuple[str, str] | dict[str, Any], error: str = "") -> Observation:
    """An observation; an element is (tag, text) or a whole row. Table cells stand two in a row."""
    rows: list[dict[str, Any]] = []
    cells = 0
    for mark, element in enumerate(elements):
        row: dict[str, Any] = {"text": "", "aria": ""}
        row |= {"tag": element[0], "text": element[1]} if isinstance(element, tuple) else element
        top = 40 * (cells // 2) if row["tag"] == "td" else 0
        cells += row["tag"] == "td"
        rows.append({"mark": mark, "box": [0, top, 10, 10], **row})
    text = "\t".join(f"[{row['mark']}]: {row['text']}" for row in rows)
    info = {"url": f"http://shop.localhost:8000{path}", "title": f"{title} | Crestbay", "elements": rows}
    return Observation(text=text, error=error, info=info)


def mark_of(observation: Observation, text: str) -> int:
    """The mark of the element with this text or label."""
    return next(e["mark"] for e in observation.info["elements"] if text in (e["text"], e["aria"]))


def walk(name: str, *steps: tuple[Observation, Call | None], task: Task | None = None) -> Trace:
    """A trace of (what was seen, what was done); the last look has no call."""
    *done, (final, _) = steps
    turns = tuple(Turn(seen, Action(f"Thought: secret thought {name}", call)) for seen, call in done)
    task = task or Task("t", "a secret instruction", "browser", {"site": "shop", "world": 3}, hidden={"goal": {"a": 1}})
    return Trace(name, task, turns, final=final)


def click(observation: Observation, text: str) -> Call:
    """A click on the element with this text."""
    return Call("click", {"mark": mark_of(observation, text)})
