"""Judges that need no model: what an answer says, where an episode ended, what state it left behind, a check of yours.

Each reads one field of `task.hidden`, says so in its name, and refuses a task that lacks it.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import regex

from turnsmith.envs.sandbox import Ending, Sandbox
from turnsmith.errors import InfraError, UserError
from turnsmith.jsonl import parse_json
from turnsmith.judges.base import normalize
from turnsmith.judges.webarena.urls import reached
from turnsmith.trace.types import Task, Trace, Verdict

_SECONDS = 2.0
"""A pattern that backtracks without end is given up after this long."""
_LARGEST = 1 << 24
"""Bytes of a state."""


class Contains:
    """Rewards an answer that has every reference in it: `hidden["reference"]`, or `hidden["answer"]`; one or a list.

    Compared as by `base.normalize`, as whole words: "5" is not in "$15".
    """

    name = "contains"

    async def judge(self, trace: Trace) -> Verdict:
        """1 if every reference is in the answer, else 0."""
        wanted = [normalize(text) for text in _references(trace.task)]
        if trace.answer is None:
            return _no_answer(self.name)
        said = normalize(trace.answer)
        missing = [text for text in wanted if not regex.search(rf"(?<!\w){regex.escape(text)}(?!\w)", said)]
        return _verdict(self.name, not missing, f"the answer lacks {missing[0]!r}" if missing else "the answer has it")


class Pattern:
    """Rewards an answer that a regular expression matches somewhere: `hidden["pattern"]`, or `hidden["reference"]`.

    Upper and lower case are the pattern's own business ("(?i)…").
    """

    name = "regex"

    async def judge(self, trace: Trace) -> Verdict:
        """1 if it matches, else 0.

        Raises:
            UserError: if the task has no pattern, or one that is none or takes longer than two seconds.
        """
        pattern = _hidden(trace.task, "pattern", "reference")
        if trace.answer is None:
            return _no_answer(self.name)
        try:
            found = await asyncio.to_thread(regex.search, str(pattern), trace.answer, timeout=_SECONDS)
        except TimeoutError:
            raise UserError(f"the task {trace.task.id}: its pattern takes longer than {_SECONDS:g} s.") from None
        except regex.error as error:
            raise UserError(f"the task {trace.task.id}: its pattern is none ({error}).") from error
        return _verdict(self.name, found is not None, f"the answer {'matches' if found else 'does not match'}")


class ReachedPage:
    """Rewards an episode that ends at an address: `hidden["url"]`, one or a list of alternatives.

    Compared by WebArena's rule (`webarena.urls`): the last page's path may go on, and its query may hold more.
    """

    name = "url"

    async def judge(self, trace: Trace) -> Verdict:
        """1 if the last page is there, else 0."""
        references = _listed(_hidden(trace.task, "url"))
        last = trace.final if trace.final is not None else trace.turns[-1].observation if trace.turns else None
        url = "" if last is None else str(last.info.get("url", ""))
        if not url:
            return Verdict(self.name, 0.0, "the episode has no page")
        right, reason = reached(references, url)
        return _verdict(self.name, right, reason)


class StateOf:
    """Rewards an episode after which a server's state is as `hidden["state"]` says.

    It GETs an address of yours as soon as the episode ends, which answers with JSON. Of objects, the keys that the task
    names must be so, and further ones may be there; all else must be equal. Episodes that share the server must not
    overlap.

    Args:
        url: where the state is to be had.
    """

    name = "state"

    def __init__(self, url: str) -> None:
        self._url = url

    async def judge(self, trace: Trace) -> Verdict:
        """1 if the state is as it should be, else 0.

        Raises:
            InfraError: if the server does not answer with JSON.
            UserError: if the task names no state.
        """
        wanted = _hidden(trace.task, "state")
        try:
            async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
                answer = (await client.get(self._url)).raise_for_status()
            if len(answer.content) > _LARGEST:
                raise ValueError(f"more than {_LARGEST >> 20} MB")
            state = parse_json(answer.content)
        except (httpx.HTTPError, ValueError) as error:
            raise InfraError("state_unknown", f"{self._url}: {error}") from error
        wrong = differing(wanted, state)
        return _verdict(self.name, wrong is None, wrong or "the state is as it should be")


def differing(wanted: Any, state: Any, place: str = "state") -> str | None:
    """Where a state is not as wanted, in words; None where it is."""
    if isinstance(wanted, Mapping) and isinstance(state, Mapping):
        for key, value in wanted.items():
            if key not in state:
                return f"{place}.{key} is missing"
            if wrong := differing(value, state[key], f"{place}.{key}"):
                return wrong
        return None
    same = wanted == state and isinstance(wanted, bool) == isinstance(state, bool)
    return None if same else f"{place} is {str(state)[:60]!r}, not {str(wanted)[:60]!r}"


class CheckFile:
    """Asks a check of yours: a Python file with `check(answer, hidden)`, run in the sandbox for each episode.

    `answer` is the closing answer (None where there is none) and `hidden` the task's hidden part; it returns True or
    False, or a reward from 0 to 1.

    Args:
        path: of the file.

    Raises:
        UserError: if it cannot be read.
    """

    name = "unit"

    def __init__(self, path: str | Path) -> None:
        try:
            self._code = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"--judge unit:{path}: the file cannot be read ({error}).") from error
        self._path, self._sandbox = path, Sandbox()

    async def judge(self, trace: Trace) -> Verdict:
        """What the check returns.

        Raises:
            InfraError: if the sandbox failed.
            UserError: if the check itself fails.
        """
        given = {"_answer": trace.answer, "_hidden": dict(trace.task.hidden)}
        result = await asyncio.to_thread(self._sandbox.run, self._code, ["check(_answer, _hidden)"], inputs=given)
        value = result.value if result.ending is Ending.OK else None
        if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
            said = repr(value)[:80] if result.ending is Ending.OK else f"{result.ending}: {result.detail}"[:200]
            raise UserError(
                f"--judge unit:{self._path}: check(answer, hidden) has to return True, False or 0 to 1; for the task "
                f"{trace.task.id} it came to {said}."
            )
        return Verdict(self.name, float(value), f"check said {value}")

    async def close(self) -> None:
        """End the sandbox."""
        self._sandbox.close()


def _hidden(task: Task, *names: str) -> Any:
    for name in names:
        if task.hidden.get(name) is not None:
            return task.hidden[name]
    raise UserError(f'the task {task.id} has no {names[0]} to judge by (hidden: {{"{names[0]}": …}}).')


def _references(task: Task) -> list[str]:
    return _listed(_hidden(task, "reference", "answer"))


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def _no_answer(name: str) -> Verdict:
    return Verdict(name, 0.0, "no answer was given")


def _verdict(name: str, right: bool, reason: str) -> Verdict:
    return Verdict(name, float(right), reason)
