"""The score of an episode: the product of its parts, each 0, 1 or not known.

A part that needs a fuzzy judge or a live page is not known without one. One part that fails decides: the product is 0
whatever the others would have been, so nobody is asked about them.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from turnsmith.judges.webarena.fuzzy import FuzzyJudge
from turnsmith.judges.webarena.programs import Programs, failing
from turnsmith.judges.webarena.strings import clean, equal, included
from turnsmith.judges.webarena.urls import reached
from turnsmith.tasks.webarena import Evaluation, References

if TYPE_CHECKING:
    from playwright.async_api import Page


@dataclass(frozen=True, slots=True)
class Score:
    """0 or 1, or None where it is not known, and why."""

    value: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How an episode ended.

    Attributes:
        answer: the agent's closing answer; None where it never ended the episode.
        url: of the last page; None where nobody noted it.
        page: the last page, alive; None afterwards.
    """

    answer: str | None
    url: str | None = None
    page: "Page | None" = None


async def score(
    evaluation: Evaluation,
    intent: str,
    ending: Ending,
    fuzzy: FuzzyJudge | None = None,
    programs: Programs | None = None,
) -> Score:
    """Grade an episode.

    Args:
        evaluation: of the task, with addresses filled in.
        intent: the task's instruction, for the fuzzy judge.
        ending: how the episode ended. A live page is navigated where targets ask for it.
        fuzzy: None leaves what it would have to decide unknown.
        programs: the benchmark's own programs; None makes those with addresses from the environment.

    Raises:
        InfraError: if the judge failed or a page did not load.
    """
    parts: list[Callable[[], Awaitable[Score]]] = []
    if "url_match" in evaluation.kinds:
        parts.append(lambda: _url(evaluation, ending))
    if "string_match" in evaluation.kinds:
        parts.append(lambda: _string(evaluation.references, intent, ending.answer, fuzzy))
    if "program_html" in evaluation.kinds:
        parts.append(lambda: _html(evaluation, ending, programs))
    said: list[Score] = []
    for part in parts:
        said.append(await part())
        if said[-1].value == 0:
            return said[-1]
    unknown = [score for score in said if score.value is None]
    return Score(None if unknown else 1, "; ".join(score.reason for score in unknown or said))


async def _string(references: References, intent: str, answer: str | None, fuzzy: FuzzyJudge | None) -> Score:
    """The rules for the answer. An episode that ended without one never passes, not even an unachievable task."""
    if answer is None:
        return Score(0, "no answer was given")
    said = clean(answer)
    if references.exact is not None and not equal(references.exact, said):
        return Score(0, f"the answer {_short(answer)} is not {_short(references.exact)}")
    alone = len(references.include) == 1
    for needed in references.include:
        if not included(needed, said, whole_token=alone):
            return Score(0, f"the answer {_short(answer)} does not include {_short(needed)}")
    if references.unachievable:
        return await _unachievable(references, intent, answer, fuzzy)
    if not references.fuzzy:
        return Score(1, f"the answer {_short(answer)} is right")
    if not said.strip():
        return Score(0, "the answer is empty")
    if fuzzy is None:
        return Score(None, "a fuzzy judge must compare the answer with the reference")
    for reference in references.fuzzy:
        if not await fuzzy.same_answer(intent, reference, said):
            return Score(0, f"{fuzzy.name}: the answer {_short(answer)} does not mean {_short(reference)}")
    return Score(1, f"{fuzzy.name}: the answer {_short(answer)} means the same")


async def _unachievable(references: References, intent: str, answer: str, fuzzy: FuzzyJudge | None) -> Score:
    said = clean(answer)
    if equal("N/A", said):
        return Score(1, "the task cannot be done, and the answer says so")
    if not said.strip():
        return Score(0, "the task cannot be done, and the empty answer gives no reason")
    if fuzzy is None:
        return Score(None, "the task cannot be done: a fuzzy judge must compare the reasons")
    if await fuzzy.same_reason(intent, references.reason, said):
        return Score(1, f"{fuzzy.name}: the answer gives the reason why the task cannot be done")
    return Score(0, f"{fuzzy.name}: the answer {_short(answer)} does not give the reason {_short(references.reason)}")


async def _url(evaluation: Evaluation, ending: Ending) -> Score:
    if ending.url is None:
        return Score(None, "the address of the last page is not known")
    met, reason = reached(evaluation.urls, ending.url)
    return Score(int(met), reason)


async def _html(evaluation: Evaluation, ending: Ending, programs: Programs | None) -> Score:
    if ending.page is None:
        return Score(None, "a live page must be looked at")
    trouble = await failing(evaluation.targets, ending.page, programs or Programs())
    return Score(0, trouble) if trouble else Score(1, "the pages hold what they should")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:59] + "…")
