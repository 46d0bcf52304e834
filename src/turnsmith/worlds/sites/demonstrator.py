"""A scripted policy for the local sites: demonstrations for warm starts, and the proof that every task can be solved.

It acts only through what an agent sees, and knows from the hidden part of a task what is wanted. With `noise` it makes
the mistakes that people make, and sticks to them: it takes a product for its look-alike, forgets the variant, reads the
neighbouring cell, mixes up two fields, says it is done too early. Such demonstrations show the language and the moves
of the sites and fail often, which is what a warm start for online learning needs.
"""

import random
from collections.abc import Iterable, Sequence

from turnsmith.agents.base import Context
from turnsmith.agents.grammar import render
from turnsmith.errors import UserError
from turnsmith.trace.types import Action, Call, Task
from turnsmith.worlds.sites.follow import Follower, Move, Slips, View
from turnsmith.worlds.sites.plan import Stage

STRAY = "try "
"""How the thought of a stray click begins; no other does."""
DETOUR = "see "
"""How the thought of a detour begins; no other does."""


def mistakes(stage: Stage) -> list[str]:
    """What can go wrong in a stage, as kinds of `Slips`; the frequent ones stand twice."""
    kinds = ["early"]
    if stage["do"] == "hunt":
        kinds += ["tired"] * 2 + ["neighbour"] + ["again"] * 2
    if stage["do"] in ("act", "read") and (stage["at"]["search"] or stage["at"]["after"]):
        kinds += ["lookalike"] * 2
    if stage["do"] == "read":
        kinds += ["neighbour"] * 2
    if stage.get("choose") or len(stage.get("fields", ())) == 1:
        kinds += ["forget"] * 2
    if len(stage.get("fields", ())) > 1:
        kinds += ["mix"] * 2
    return kinds


class Demonstrator:
    """Solves the tasks that it was made with.

    Args:
        tasks: with their hidden parts; a context carries none, so they are looked up by id.
        noise: the probability that a stage of a plan (all but the closing answer) goes wrong in a systematic way.
        wander: the probability that a single decision is replaced by a click on anything in sight.
        detour: the probability that a single decision is replaced by a look at some linked page, from which it comes
            back; only where it has a goal to go on with.
        roam: the probability that a hunt opens what it sees in no order.
        seed: decides all mistakes, together with the task's id: the same task goes wrong in the same way again.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        noise: float = 0.0,
        wander: float = 0.0,
        seed: int = 0,
        *,
        detour: float = 0.0,
        roam: float = 0.0,
    ) -> None:
        self.plans = {task.id: task.hidden.get("plan") for task in tasks}
        self.noise = noise
        self.wander = wander
        self.seed = seed
        self.detour = detour
        self.roam = roam
        more = f"-{detour:g}-{roam:g}" if detour or roam else ""
        self.version = f"demonstrator-{noise:g}-{wander:g}-{seed}{more}"

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One move a context.

        Raises:
            UserError: if a task is not one of those that the demonstrator was made with, or has no plan.
        """
        return [self._act(context) for context in contexts]

    def _act(self, context: Context) -> Action:
        plan = self.plans.get(context.task.id)
        if not plan:
            raise UserError(f"the demonstrator has no plan for the task {context.task.id}; make it with that task.")
        move = Follower(plan, self._slips(context.task, plan)).replay(context)
        rng = random.Random(f"{self.seed}/{context.task.id}/{len(context.turns)}/wander")
        if rng.random() < self.wander and (elements := View.of(context.observation).elements):
            move = _stray(rng, [element for element in elements if element["tag"] in ("a", "button")] or elements)
        elif self.detour:
            move = self._detour(context, move)
        return Action(f"Thought: {move.thought}\n{render(move.call)}", move.call)

    def _detour(self, context: Context, move: Move) -> Move:
        """The move, or now and then a look at another page, and the way back from it."""
        last = context.turns[-1] if context.turns else None
        if last is not None and last.action.text.startswith(f"Thought: {DETOUR}"):
            moved = last.observation.info.get("url") != context.observation.info.get("url")
            return Move("nothing for this here, back", Call("go_back")) if moved else move
        rng = random.Random(f"{self.seed}/{context.task.id}/{len(context.turns)}/detour")
        links = [element for element in View.of(context.observation).elements if element["tag"] == "a"]
        if move.call.name == "answer" or not links or rng.random() >= self.detour:
            return move
        link = rng.choice(links)
        return Move(f"{DETOUR}{link['text'] or link['aria']}".strip(), Call("click", {"mark": link["mark"]}))

    def _slips(self, task: Task, plan: Sequence[Stage]) -> Slips:
        """The mistakes of an episode: all of them are drawn before it starts."""
        rng = random.Random(f"{self.seed}/{task.id}/slips")
        kinds = {
            number: rng.choice(mistakes(stage)) for number, stage in enumerate(plan[:-1]) if rng.random() < self.noise
        }
        return Slips(kinds, f"{self.seed}/{task.id}" if self.roam and rng.random() < self.roam else "")

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """A script has no token probabilities.

        Raises:
            UserError: always.
        """
        raise UserError("the demonstrator is a script and has no log-probabilities.")


def _stray(rng: random.Random, elements: Sequence) -> Move:
    """A click on anything."""
    element = rng.choice(elements)
    return Move(f"{STRAY}{element['text'] or element['aria']}".strip(), Call("click", {"mark": element["mark"]}))
