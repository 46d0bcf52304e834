"""ColBench's backend programming: a function that somebody needs, and a human's side that alone sees the reference.

The agent reads a vague description, asks, and hands Python in after `I WANT TO ANSWER:` (at the tenth turn, whatever it
says is its answer). What it handed in is run on the hidden tests, in the sandbox, and scored twice: by the official
rule and by one without its faults (`score`). The mended score is the oracle's verdict; both stand in the last turn.

A human's side is a model that reads the reference and answers in two sentences, at temperature 0 and in at most 400
characters. It is played by any `engine.chat.Chat`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from turnsmith.agents.base import Context
from turnsmith.agents.human import say
from turnsmith.agents.manner import text_message
from turnsmith.agents.render import Message
from turnsmith.engine.chat import Chat
from turnsmith.envs.dialogue import Reply
from turnsmith.envs.sandbox import SandboxPool
from turnsmith.errors import UserError
from turnsmith.trace.types import ORACLE, Call, Task, Verdict
from turnsmith.worlds.programs.colbench import MARKER, OUTPUT, code_of, split_reply
from turnsmith.worlds.programs.score import Score, score_answer

TURNS = 10
REPLY_CHARACTERS = 400

AGENT = f"""You write Python for somebody who needs a function. Their description leaves things out, and they cannot \
program. Ask them short questions, one at a time, that they can answer in plain words: what goes in, what comes out, \
what happens in special cases. You have {TURNS} turns in all.

When you know enough, or at your last turn, write
{MARKER}
and behind it nothing but the Python code of the function, with every import that it needs inside. The code has to be \
complete; at most 50 lines.

You may think before you speak: what stands before `{OUTPUT}` in a reply is not shown to them."""

LAST_TURN = f"This is your last turn. Write {MARKER} and the code."

HUMAN = """You are somebody who needs a Python function and talks to a programmer. You described it like this:

{description}

What you really want is what this code does. You know its behaviour by heart, but you are no programmer:

{reference}

Answer the programmer's last message, in at most two sentences and in plain words, as a person who wants help would.
Say only what the code above says. Where it says nothing about what you are asked, say that you do not know.
Give no code."""


class BackendManner:
    """How a chat model talks about a function: see `agents.manner.Manner`."""

    def messages(self, context: Context) -> list[Message]:
        """The instructions, the description, and what both sides said; thoughts of earlier turns are left out."""
        chat = [text_message("system", AGENT), text_message("user", context.task.instruction)]
        seen = [*(turn.observation for turn in context.turns), context.observation]
        for turn, heard in zip(context.turns, seen[1:], strict=True):
            chat.append(text_message("assistant", split_reply(turn.action.text)[0]))
            chat.append(text_message("user", heard.error or heard.text))
        if context.observation.info.get("left", TURNS) <= 1:
            last = chat.pop()
            chat.append(text_message("user", f"{last['content'][0]['text']}\n\n({LAST_TURN})"))
        return chat

    def parse(self, text: str) -> tuple[Call | None, str]:
        """An answer, or something said; only an empty reply is neither."""
        said, call = split_reply(text)
        return (call, "") if said else (None, "the reply is empty")


class BackendDialogues:
    """The human's side of ColBench's backend tasks: see `envs.dialogue.Dialogues`.

    Args:
        human: who plays it.
        sandboxes: how many answers are tried at once, each in a fresh process.
        limit: agent turns.
        allow_unsafe: try answers without a sandbox where this machine has none.
    """

    name = "programs"

    def __init__(self, human: Chat, sandboxes: int = 2, limit: int = TURNS, allow_unsafe: bool = False) -> None:
        self.limit = limit
        self._human = human
        self._make = lambda: SandboxPool(sandboxes, "fresh", allow_unsafe=allow_unsafe)
        self._pool: SandboxPool | None = None

    async def start(self) -> None:
        """Open the sandboxes.

        Raises:
            UserError: if this machine has none and unsafe ones are not allowed.
        """
        self._pool = self._make()

    async def stop(self) -> None:
        """Close them."""
        if self._pool is not None:
            self._pool.close()

    def open(self, task: Task, seed: int) -> "BackendDialogue":
        """The human's side of one task."""
        if not {"ground_truth", "test_cases"} <= set(task.hidden):
            raise UserError(f"task {task.id}: a backend task needs hidden ground_truth and test_cases.")
        if self._pool is None:
            raise UserError("use the environment as `async with environment`.")
        return BackendDialogue(task, seed, self._human, self._pool)


class BackendDialogue:
    """One dialogue about one function."""

    def __init__(self, task: Task, seed: int, human: Chat, pool: SandboxPool) -> None:
        self._task, self._seed, self._human, self._pool = task, seed, human, pool
        prompt = HUMAN.format(description=task.instruction, reference=task.hidden["ground_truth"])
        self._chat: list[dict[str, Any]] = [{"role": "system", "content": prompt}]

    async def reply(self, said: str) -> Reply:
        """Two sentences from the reference."""
        self._chat.append({"role": "user", "content": said})
        text, cut = await say(self._human, self._chat, self._seed, REPLY_CHARACTERS)
        self._chat.append({"role": "assistant", "content": text})
        return Reply(text, info={"cut": True} if cut else {})

    async def hand_in(self, work: str | None) -> tuple[Mapping[str, Any], Verdict]:
        """Run the hidden tests."""
        hidden = self._task.hidden
        answer = code_of(work or "")
        score = await asyncio.to_thread(score_answer, self._pool, answer, hidden["ground_truth"], hidden["test_cases"])
        return scores_of(score), verdict_of(score)


def scores_of(score: Score) -> dict[str, Any]:
    """Both scorers' findings as JSON, side by side."""
    return {
        "tests": share(score.fixed),
        "success": score.success,
        "official_tests": share(score.official),
        "official_success": score.official_success,
        **({"detail": score.detail[:500]} if score.detail else {}),
    }


def share(passed: Mapping[str, bool]) -> float:
    """The fraction of tests that passed."""
    return sum(passed.values()) / max(1, len(passed))


def verdict_of(score: Score) -> Verdict:
    """1 where all tests pass by the mended rule; what both rules say is the reason."""
    mended, official = (f"{sum(passed.values())}/{len(passed)}" for passed in (score.fixed, score.official))
    return Verdict(ORACLE, float(score.success), f"{mended} tests passed, {official} by the official rule")
