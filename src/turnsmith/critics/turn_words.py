"""Turns of any log as named features: what was said and done, and how that relates to what stood before it.

A critic that learns from a few hundred outcomes can afford no spelling lessons, so that turns are described by words,
pairs of words, calls with their arguments, and by relations: does the action say what the hidden information (or the
instruction, or the last reply) says, is it new in this episode, does it repeat itself. Dialogues, tool calls, web and
device actions all come out as such names; pictures are not read.

Notable: `relations` and `crosses` are where training-time information enters. Both compare an action with it; none
describes it alone, because an advantage tells actions of one state apart.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from turnsmith.jsonl import parse_json
from turnsmith.trace.messages import TOOL_CALL
from turnsmith.trace.types import Observation, Trace, Turn

Features = dict[str, float]
"""Value by name. Names begin with their family: `word`, `pair`, `call`, `like`, `with` (a cross), `task`, `see`."""

_RUN = re.compile(r"\w+|[?!]")
_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_STEM = 5
_CROSSED = 10
"""Words of each side that are crossed: the rarest that are not too rare."""
_COMMON_WORDS = """
a an the is are was were be been to of in on at for and or not no it this that i you we he she they my your our its with
as by from do does did have has had will would can could should me if so but what which how please ok
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def words(text: str) -> list[str]:
    """Lower-case words; numbers apart from letters, and each sign of scripts that do not put spaces between words."""
    found = []
    for run in _RUN.findall(text.lower()):
        if _WIDE.search(run):
            found += list(run)
        else:
            found += [part for part in re.split(r"(\d+)|_", run) if part]
    return found


@dataclass(frozen=True, slots=True)
class Said:
    """An action in words.

    Attributes:
        text: all that was said, arguments included.
        name: of the call; "" where there is none.
        arguments: of the call, flat: name (dotted) and value as text.
    """

    text: str
    name: str = ""
    arguments: tuple[tuple[str, str], ...] = ()


def said(turn: Turn) -> Said:
    """What a turn's action says: its text, and its call where it has one (a tool call's arguments are read as JSON)."""
    name, arguments = "", {}
    tool_call = turn.info.get(TOOL_CALL)
    if isinstance(tool_call, Mapping):
        name, arguments = str(tool_call.get("name", "")), _json(str(tool_call.get("arguments", "")))
    elif turn.action.call is not None and turn.action.call.name not in ("say", "message"):
        name, arguments = turn.action.call.name, turn.action.call.arguments
    flat = tuple(_flat(arguments))
    text = turn.action.text
    more = [value for _, value in flat if value not in text]
    return Said(" ".join([text, name if name not in text else "", *more]).strip(), name, flat)


def _json(text: str) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return {"text": text}


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner, prefix)
    elif isinstance(value, float):
        yield prefix, f"{value:.1f}"  # places on a screen and the like: near is the same
    else:
        yield prefix, str(value)


def text_of(value: object) -> str:
    """Hidden information as text: strings as they are, other JSON flattened to `name value` lines."""
    return value if isinstance(value, str) else "\n".join(f"{name} {inner}" for name, inner in _flat(value))


class Vocabulary:
    """How common each word is in a log: what is worth crossing. Built from texts alone, no outcome is read."""

    def __init__(self, traces: Sequence[Trace], hidden: Sequence[str]) -> None:
        counts: Counter[str] = Counter()
        for trace, secret in zip(traces, hidden, strict=True):
            known = set(words(secret)) | set(words(trace.task.instruction))
            for turn in trace.turns:
                known |= set(words(said(turn).text)) | set(words(turn.observation.text))
            counts.update(known)
        self._counts, self._few, self._most = counts, max(3, len(traces) // 200), 0.8 * len(traces)

    def telling(self, found: Iterable[str]) -> list[str]:
        """The words that are neither nearly unique nor nearly everywhere, rarest first, at most ten."""
        kept = {w for w in found if w not in _COMMON and self._few <= self._counts[w] <= self._most}
        return sorted(kept, key=lambda word: (self._counts[word], word))[:_CROSSED]


@dataclass(frozen=True, slots=True)
class Described:
    """An episode as features.

    Attributes:
        start: of the task and what was seen first.
        actions: of each turn's action.
        replies: of what was seen after each action (empty where nothing was).
    """

    start: Features
    actions: tuple[Features, ...]
    replies: tuple[Features, ...]


def describe(trace: Trace, hidden: str, vocabulary: Vocabulary) -> Described:
    """All features of an episode; `hidden` is training-time information as text, "" without any."""
    secret = set(words(hidden)) - _COMMON
    asked = set(words(trace.task.instruction)) - _COMMON
    start = _bag("task", words(trace.task.instruction)) | {f"task id {trace.task.id}": 1.0}
    if trace.turns:
        start |= _bag("see", words(trace.turns[0].observation.text))
    actions, replies = [], []
    heard, own, texts, before = set(asked), set(), set(), ""
    for index, turn in enumerate(trace.turns):
        action = said(turn)
        tokens = words(action.text)
        seen = set(words(turn.observation.text))
        heard |= seen
        found = _bag("word", [*tokens, *(w[:_STEM] + "…" for w in tokens if len(w) > _STEM)])
        found |= _bag("pair", [f"{a} {b}" for a, b in itertools.pairwise(tokens)])
        found |= _calls(action, before, secret, asked, heard)
        fresh = set(tokens) - _COMMON
        found |= _likeness("hidden", fresh, secret) | _likeness("task", fresh, asked) | _likeness("reply", fresh, seen)
        found |= _likeness("hidden, not yet said", fresh - heard - own, secret)
        if action.text in texts:
            found["like itself before"] = 1.0
        elif fresh and len(fresh & own) > 0.8 * len(fresh):
            found["like itself before, nearly"] = 1.0
        if turn.action.call is None and turn.action.error:
            found["call that does not parse"] = 1.0
        if turn.observation.error:
            found["call after an error"] = 1.0
        found[f"word count {min(6, len(tokens).bit_length())}"] = 0.5
        telling = vocabulary.telling(fresh)
        for side, context in (("hidden", secret), ("reply", seen), ("task", asked if index else set())):
            found |= _crosses(side, vocabulary.telling(context), telling)
        actions.append(found)
        after = trace.turns[index + 1].observation if index + 1 < len(trace.turns) else trace.final
        replies.append(_reply(after))
        texts.add(action.text)
        own |= fresh
        before = action.name
    return Described(start, tuple(actions), tuple(replies))


def _bag(family: str, tokens: Sequence[str]) -> Features:
    """Presence, scaled so that a long text says no more than a short one."""
    kept = set(tokens)
    scale = 1.0 / max(1, len(kept)) ** 0.5
    return {f"{family} {token}": scale for token in kept}


def _calls(action: Said, before: str, secret: set[str], asked: set[str], heard: set[str]) -> Features:
    if not action.name:
        return {}
    found = {f"call {action.name}": 1.0, f"call {action.name} after {before or 'none'}": 0.7}
    for name, value in action.arguments:
        found[f"call {action.name} {name}={value[:60].lower()}"] = 0.7
        parts = set(words(value))
        places = (("hidden", secret), ("task", asked), ("seen", heard))
        where = next((place for place, known in places if parts and parts <= known), "nowhere")
        found[f"call {action.name} {name} from {where}"] = 0.7
    return found


def _likeness(side: str, fresh: set[str], known: set[str]) -> Features:
    """How much of an action another text says too, in few steps: a relation holds for words that were never seen."""
    if not known or not fresh:
        return {}
    count = len(fresh & known)
    share = count / len(fresh)
    step = 0 if count == 0 else 1 + (share > 0.2) + (share > 0.4) + (share > 0.7)
    return {f"like {side} {step}": 1.0, f"like {side}": share, f"like {side} any": float(count > 0)}


def _crosses(side: str, context: Sequence[str], action: Sequence[str]) -> Features:
    scale = 1.0 / max(1, len(context) * len(action)) ** 0.5
    return {f"with {side} {first} | {second}": scale for first in context for second in action}


def _reply(observation: Observation | None) -> Features:
    if observation is None:
        return {}
    found = _bag("see", words(observation.text))
    if observation.error:
        found["see an error"] = 1.0
    for key in ("title", "url"):
        if observation.info.get(key):
            found |= _bag("see", [f"{key} {word}" for word in words(str(observation.info[key]))])
    return found
