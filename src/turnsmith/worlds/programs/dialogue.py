"""The small language of these dialogues: questions, replies and answers as words, and the user who knows.

    task total orders . combine is largest agent: please which repeats ? user: once agent: answer all unlimited …

A question is up to four fillers, then the name of a slot; "anything else ?" is vague. The user answers truthfully from
the specification, does not know about what is irrelevant, and now and then (7 %) misunderstands. Whoever asks about
irrelevant things once too often is told to come to the point, and the next reply counts as the answer, as after eight
turns. An answer is the word `answer` and a value a slot.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from turnsmith.trace.types import Action, Call, Task
from turnsmith.worlds.programs.spec import DOMAINS, NAMES, OPERATIONS, SLOTS, VALUES, Spec, run

FILLERS = ("please", "well", "so", "tell-me", "may-i-ask", "exactly", "now", "and")
ANSWER, AGENT, USER, HIDDEN, TASK = "answer", "agent:", "user:", "hidden", "task"
UNKNOWN, CONFUSED, HURRY = "i do not know", "what do you mean ?", "just answer now"
_PLAIN = ("which", "anything", "else", "?", ".", "is", *UNKNOWN.split(), *CONFUSED.split(), *HURRY.split())
WORDS = tuple(
    dict.fromkeys(
        (TASK, AGENT, USER, HIDDEN, ANSWER, *_PLAIN, *FILLERS, *NAMES, *(v for vs in SLOTS.values() for v in vs),
         *DOMAINS, *OPERATIONS)
    )
)  # fmt: skip
"""The whole vocabulary, about 120 words."""


def parse(text: str) -> tuple[Call | None, str]:
    """What an agent's text is: a question (about a slot, or vague), an answer, or a mistake with its reason."""
    words = text.split()
    if words[:1] == [ANSWER]:
        values = words[1:]
        if len(values) == len(NAMES) and all(v in SLOTS[n] for n, v in zip(NAMES, values, strict=True)):
            return Call("answer", {"text": " ".join(values)}), ""
        return None, f"an answer needs one value of each of the {len(NAMES)} slots, in order"
    while words and words[0] in FILLERS:
        words = words[1:]
    if len(words) == 3 and words[0] == "which" and words[1] in NAMES and words[2] == "?":
        return Call("ask", {"slot": words[1]}), ""
    if words == ["anything", "else", "?"]:
        return Call("ask", {"slot": ""}), ""
    return None, "this is neither a question nor an answer"


def spec_of(answer: str) -> Spec:
    """The specification that an answer stands for."""
    return tuple(SLOTS[name].index(value) for name, value in zip(NAMES, answer.split(), strict=True))


@dataclass(slots=True)
class User:
    """Who answers: alone in knowing the hidden specification.

    Attributes:
        task: of the `programs` family.
        source: of the noise.
        patience: how many questions about irrelevant things are borne.
        noise: how often a question is misunderstood.
    """

    task: Task
    source: random.Random
    patience: int = 2
    noise: float = 0.07
    lost: int = 0

    def reply(self, action: Action) -> str:
        """What is said to a question; mistakes and vague questions cost patience too."""
        slot = "" if action.call is None else str(action.call.arguments.get("slot", ""))
        hidden = self.task.hidden
        said = CONFUSED
        if slot and self.source.random() >= self.noise:
            place = NAMES.index(slot)
            said = SLOTS[slot][hidden["spec"][place]] if place in hidden["relevant"] else UNKNOWN
        elif not slot and action.call is not None and self.source.random() < 0.25:
            place = self.source.choice(hidden["relevant"])
            said = f"{NAMES[place]} is {SLOTS[NAMES[place]][hidden['spec'][place]]}"
        if said in (UNKNOWN, CONFUSED):
            self.lost += 1
            if self.lost >= self.patience:
                said += " . " + HURRY
        return said


def passed(task: Task, answer: str) -> list[bool]:
    """Which tests an answer passes."""
    wanted, given = tuple(task.hidden["spec"]), spec_of(answer)
    inputs = [eval_list(call) for call in task.hidden["test_cases"].values()]
    return [run(wanted, xs) == run(given, xs) for xs in inputs]


def eval_list(call: str) -> list[int]:
    """The list in `solve([1, 2])`."""
    inner = call[call.index("[") + 1 : call.rindex("]")]
    return [int(part) for part in inner.split(",") if part.strip()]


def useful(task: Task, asked: Sequence[str], call: Call | None) -> bool:
    """The oracle's label: does this question ask about a relevant slot that is not known yet."""
    if call is None or call.name != "ask" or not call.arguments["slot"]:
        return False
    place = NAMES.index(str(call.arguments["slot"]))
    return place in task.hidden["relevant"] and place != task.hidden["told"] and call.arguments["slot"] not in asked


def random_answer(source: random.Random, known: dict[int, int], slip: float) -> str:
    """What is known in order, and what anybody would assume for the rest; a slip takes another value."""
    values = []
    for place, name in enumerate(NAMES):
        value = known.get(place, 0)
        if source.random() < slip:
            value = source.randrange(VALUES)
        values.append(SLOTS[name][value])
    return f"{ANSWER} {' '.join(values)}"
