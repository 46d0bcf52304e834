"""From a context to a prompt: one compact text for the small models, chat messages for all others.

`compact` spends 150 to 400 tokens on a page. Lines of it:

    goal: Add the Velta Kettle in blue to the cart.
    did: search Velta Kettle | open Velta Kettle          (earlier thoughts, oldest first)
    error: there is no element 40                         (of the last action)
    page: Velta Kettle /shop/velta-kettle more below
    button Add to cart [4]                                (every element: text first, mark last)

The mark stands after the text because a model that copies finds a thing by what stands before it; with the mark first,
a small model did not learn to click at all (docs/models.md).

`webvoyager` and `tti` are chats after the agents of PAE (arXiv 2412.13194) and TTI (arXiv 2506.07976), in our words:
instructions with the action grammar, then the episode as turns of user and assistant. Screenshots of the last few
observations are shown; older observations are replaced by a placeholder.

A context has no hidden fields, and nothing here could show them.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from turnsmith.agents.base import Context
from turnsmith.agents.grammar import ACTION_FORMS, Dialect, split_response
from turnsmith.trace.types import ImageRef, Observation, Turn

Message = dict[str, Any]
"""`{"role": "system" | "user" | "assistant", "content": [part, …]}`; a part is `{"type": "text", "text": str}` or
`{"type": "image", "image": ImageRef}`."""

Rendering = Literal["compact", "webvoyager", "tti", "turnsmith"]


def dialect_of(rendering: Rendering) -> Dialect:
    """The action grammar that goes with a rendering where nobody says otherwise."""
    return "webvoyager" if rendering == "compact" else rendering


# -- compact ----------------------------------------------------------------------------------------------------------

_PAGE_CHARACTERS = 2000
_TEXT_CAPS = (96, 64, 40, 24, 12)
_HISTORY = 12
_THOUGHT_CHARACTERS = 80
_GOAL_CHARACTERS = 400
_TAG_WORDS = {"button": "button", "input": "field", "textarea": "field", "select": "menu", "option": "option"}


def compact(context: Context) -> str:
    """The prompt of the small models: a text that ends where the response begins.

    At most about 3,500 characters: texts of elements are shortened, all of them by the same cap, until the page has
    2,000; every mark stays. The last 12 thoughts are shown.
    """
    observation = context.observation
    info = observation.info
    lines = [f"goal: {cut(one_line(context.task.instruction), _GOAL_CHARACTERS)}"]
    if context.turns:
        lines.append("did: " + " | ".join(_did(turn) for turn in context.turns[-_HISTORY:]))
    if observation.error:
        lines.append(f"error: {cut(one_line(observation.error), 120)}")
    lines += [f"note: {cut(one_line(str(note)), 120)}" for note in info.get("notes", ())]
    if "elements" in info:
        lines.append("page: " + _page_line(info))
        lines += _element_lines(info["elements"])
    elif observation.text:
        lines.append(cut(observation.text, _PAGE_CHARACTERS))
    return "\n".join(lines) + "\n"


def compact_response(text: str) -> str:
    """A response as the small models write it: the thought ends with the mark that the action uses.

    `Thought: open Velta Kettle [13]` and then `Action: Click [13]`. A thought that names its element is followed by
    the mark just as the element is on the page, which makes the mark a matter of copying on. For scripted and imported
    responses; one without a mark, or that is not in the grammar's form, comes back as it is.
    """
    thought, action = split_response(text)
    mark = re.match(r"(?:Click|Type|Scroll) (\[\d+\])", action)
    if not mark or not thought or thought.endswith(mark[1]):
        return text
    return f"Thought: {thought} {mark[1]}\nAction: {action}"


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def cut(text: str, longest: int) -> str:
    """The text in at most `longest` characters, an ellipsis at its end where something is missing."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _did(turn: Turn) -> str:
    thought = one_line(split_response(turn.action.text)[0])
    # Marks of an earlier page mean nothing on this one.
    said = cut(re.sub(r" ?\[\d+\]", "", thought), _THOUGHT_CHARACTERS)
    if turn.action.call is None:
        return f"{said} (invalid)"
    return said or turn.action.call.name


def _page_line(info: Mapping[str, Any]) -> str:
    words = [cut(one_line(str(info.get("title", ""))), 80), cut(urlsplit(str(info.get("url", ""))).path, 60)]
    top, furthest = info.get("scroll", (0, 0))
    if top > 0:
        words.append("more above")
    if top < furthest:
        words.append("more below")
    return " ".join(word for word in words if word)


def _element_lines(elements: Sequence[Mapping[str, Any]]) -> list[str]:
    lines: list[str] = []
    for cap in _TEXT_CAPS:
        lines = [_element_line(element, cap) for element in elements]
        if sum(map(len, lines)) <= _PAGE_CHARACTERS:
            break
    return lines


def _element_line(element: Mapping[str, Any], cap: int) -> str:
    word = _TAG_WORDS.get(element["tag"], "")
    text, aria = one_line(str(element.get("text", ""))), one_line(str(element.get("aria", "")))
    if word in ("field", "menu"):
        # What it is called comes before what it holds, and the mark after the name that an action would say.
        words = [word, cut(aria or one_line(str(element.get("placeholder", ""))), cap), f"[{element['mark']}]"]
        if text:
            words += ["=", cut(text, cap)]
    else:
        words = [word, cut(text or aria, cap), f"[{element['mark']}]"]
    if element.get("disabled"):
        words.append("(disabled)")
    return " ".join(word for word in words if word)


# -- chats ------------------------------------------------------------------------------------------------------------

_PLACEHOLDER = "(an earlier page, no longer shown)"

_MEANING = {
    "click": "click an element",
    "type": "clear a field, type a text into it and press Enter",
    "press": "press a key, such as Enter, Escape or ArrowDown, where you typed or clicked last",
    "scroll": "scroll the window, or the part of the page that an element is in, by two thirds of its height",
    "wait": "give the page a moment",
    "goback": "go back to the page before",
    "google": "leave this site for the search engine",
    "bing": "leave this site for the search engine",
    "answer": "end the task, with the answer that was asked for or a word that it is done",
}

_THINKING = {
    "webvoyager": "First think in a few sentences: what the page shows, what was reached so far, what comes next.",
    "tti": (
        "First think: sum up what this page shows; give your plan, or how it changes; name at least three actions that "
        "are possible now; then choose the best."
    ),
    "turnsmith": "First think in a few sentences: what the page shows, what was reached so far, what comes next.",
}


def instructions(dialect: Dialect) -> str:
    """The system message: what the agent sees, how it answers, and every action of the dialect."""
    meaning = _MEANING if dialect != "turnsmith" else {**_MEANING, "type": "clear a field and type a text into it"}
    forms = "\n".join(f"- {form}: {meaning[verb]}" for verb, form in ACTION_FORMS[dialect].items() if verb != "wait")
    return (
        "You carry out a task on a web site, one action at a time. On every turn you see the page as it is now: a "
        "list of the elements that can be used, each with a number in square brackets, and, where one is attached, a "
        "screenshot in which the same numbers are drawn beside the elements.\n\n"
        f"The actions are:\n{forms}\n\n"
        f"{_THINKING[dialect]} Then give exactly one action. Write the reply in this form:\n"
        "Thought: your thinking\n"
        "Action: one action in the form above\n\n"
        "Use only numbers that are on the present page. If an action had no effect, try another way instead of "
        "repeating it. What cannot be found in the list may be further down the page or behind a link. When the task "
        "asks for a piece of information, the answer must be complete and must come from the pages that you saw."
    )


def chat(context: Context, dialect: Dialect, images: int) -> list[Message]:
    """The episode as chat messages.

    Args:
        context: what the agent knows.
        dialect: of the action grammar.
        images: how many observations, counted from the newest, keep their pictures.
    """
    messages: list[Message] = [{"role": "system", "content": [_text(instructions(dialect))]}]
    seen = [turn.observation for turn in context.turns] + [context.observation]
    for index, observation in enumerate(seen):
        age = len(seen) - 1 - index
        parts: list[dict[str, Any]] = []
        if index == 0:
            parts.append(_text(f"Task: {context.task.instruction}"))
        if observation.error:
            parts.append(_text(f"Your last action was not carried out: {observation.error}"))
        pictures = observation.images if age < images else ()
        parts += [{"type": "image", "image": image} for image in pictures]
        parts.append(_text(_page(observation) if age == 0 else _PLACEHOLDER))
        messages.append({"role": "user", "content": parts})
        if age > 0:
            messages.append({"role": "assistant", "content": [_text(context.turns[index].action.text)]})
    return messages


def _page(observation: Observation) -> str:
    info = observation.info
    head = [f"{name}: {info[key]}" for name, key in (("Title", "title"),) if info.get(key)]
    return "\n".join([*head, f"Page:\n{observation.text}" if observation.text else "Page: see the picture."])


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


CHATS: dict[Rendering, Callable[[Context], list[Message]]] = {
    "webvoyager": lambda context: chat(context, "webvoyager", images=3),
    "tti": lambda context: chat(context, "tti", images=4),
    "turnsmith": lambda context: chat(context, "turnsmith", images=3),
}
"""How many pictures each keeps: PAE, WebVoyager and ours 3, TTI the present one and 3 older."""


def image_parts(messages: Sequence[Message]) -> list[ImageRef]:
    """The pictures of a chat, in order."""
    return [part["image"] for message in messages for part in message["content"] if part["type"] == "image"]


def plain(messages: Sequence[Message]) -> str:
    """A chat as one text, for models without a chat template; pictures are left out."""
    blocks = [
        f"{message['role'].capitalize()}: " + "\n".join(p["text"] for p in message["content"] if p["type"] == "text")
        for message in messages
    ]
    return "\n\n".join(blocks) + "\n\nAssistant: "


def to_openai(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A chat in the form of OpenAI's API: pictures as data URIs, a message without any as one string.

    Raises:
        ValueError: if a picture has no bytes (fetch it from the run's store first).
    """
    return [{"role": message["role"], "content": _openai_content(message["content"])} for message in messages]


def _openai_content(parts: Sequence[Mapping[str, Any]]) -> Any:
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return [
        dict(part) if part["type"] == "text" else {"type": "image_url", "image_url": {"url": data_uri(part["image"])}}
        for part in parts
    ]


def data_uri(image: ImageRef) -> str:
    """A picture as a data URI.

    Raises:
        ValueError: if it has no bytes.
    """
    if image.data is None:
        raise ValueError(f"image {image.digest[:12]} has no bytes here; fetch it with Store.image")
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode('ascii')}"
