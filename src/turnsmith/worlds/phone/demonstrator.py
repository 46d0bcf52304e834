"""A scripted policy for the phone: demonstrations for a first policy, and the proof that every task can be solved.

It acts in pixels through the same grammar as any policy, but finds its targets by asking the page for boxes (make the
environment with `script=ChromiumPhone.boxes`). It was made for the layouts of the first days, on calm ones: it knows
which steps lead to the goal and takes the last of them that it sees. Unless `knows="all"`, it has habits and gaps:

- often (`habit`) it taps where its target stood on the first days (remembered.json) without looking;
- it does not know that pop-ups are closed, checks answered, failed pages loaded again, nor that a search may hide
  behind an icon; then it goes on tapping where it expects things, now and then (`wander`) on something in sight.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from turnsmith.agents.aitw import gesture, render_aitw
from turnsmith.agents.base import Context
from turnsmith.errors import UserError
from turnsmith.trace.types import Action, Call, Task
from turnsmith.worlds.phone.driver import SIZE
from turnsmith.worlds.phone.remember import FILE, place_of


@lru_cache(maxsize=1)
def remembered() -> dict[str, tuple[float, float]]:
    """Where things stand on the first day: (y, x), normalised, by "PLACE:KEY"."""
    return {key: (y, x) for key, (y, x) in json.loads(FILE.read_text(encoding="utf-8")).items()}


HABITS = {"general": 0.8, "webshop": 0.5}
"""By kind of task: General-like tasks are shorter and meet less, so only stronger habits fail there as often."""

_BOTTOM = 716 / 760  # the upper edge of the phone's navigation bar


@dataclass(frozen=True, slots=True)
class Move:
    """What to do: the call, how far in the plan it belongs, and whether it completes the plan."""

    call: Call
    group: int = -1
    final: bool = False


class Demonstrator:
    """Solves the tasks that it was made with.

    Args:
        tasks: with their hidden parts; a context carries none, so they are looked up by id.
        knows: "stale" or "all".
        habit: the probability that a tap goes where its target stood on the first days; None takes `HABITS`.
        wander: the probability, when it sees none of its steps, of tapping anything in sight.
        slip: the probability that a tap at a target goes anywhere on the screen instead.
        jitter: how far taps spread around the middle of their target, as a part of its size (below 0.5).
        seed: decides all chance, together with the task's id and the turn.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        knows: Literal["stale", "all"] = "stale",
        *,
        habit: float | None = None,
        wander: float = 0.15,
        slip: float = 0.0,
        jitter: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.tasks = {task.id: task for task in tasks}
        self.knows = knows
        self.habit = habit if knows == "stale" else 0.0
        self.wander = wander
        self.slip = slip
        self.jitter = jitter
        self.seed = seed
        self.version = f"demonstrator-{knows}-{'own' if habit is None else habit}-{wander:g}-{slip:g}-{seed}"

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context.

        Raises:
            UserError: if a task is unknown, or the environment was made without boxes.
        """
        return [self._act(context) for context in contexts]

    def _act(self, context: Context) -> Action:
        task = self.tasks.get(context.task.id)
        if task is None or "plan" not in task.hidden:
            raise UserError(f"the demonstrator has no plan for the task {context.task.id}; make it with that task.")
        if "boxes" not in context.observation.info:
            raise UserError("the demonstrator needs boxes: make the environment with script=ChromiumPhone.boxes.")
        reached, move = -1, None
        for index, turn in enumerate(context.turns):
            move = self.decide(task, index, turn.observation.info, reached)
            reached = max(reached, move.group)
        changed = bool(context.turns) and context.turns[-1].observation.images != context.observation.images
        view = context.observation.info["view"]
        waits = self.knows == "all" and (context.observation.info["blank"] or view.startswith(("failed/", "check/")))
        if move is not None and move.final and changed and not waits:
            call = Call("status", {"state": "complete"})
        else:
            call = self.decide(task, len(context.turns), context.observation.info, reached).call
        return Action(render_aitw(call), call)

    def decide(self, task: Task, turn: int, screen: Mapping[str, Any], reached: int) -> Move:
        """The move on a screen.

        Args:
            task: with its plan.
            turn: the index of the turn.
            screen: as `ChromiumPhone.boxes` gives it.
            reached: the furthest group of the plan that was worked on so far; -1 for none.
        """
        source = random.Random(f"{self.seed}/{task.id}/{turn}")
        boxes = {box["key"]: box for box in reversed(screen["boxes"])}
        move = self._obstacle(source, screen, boxes) if self.knows == "all" else None
        move = move or self._planned(source, task, screen, boxes)
        if move is None:
            move = self._lost(source, task, screen, boxes, reached)
        if move.call.name == "tap" and source.random() < self.slip:
            return Move(self._point(source, 0.05 + 0.9 * source.random(), source.random()))
        return move

    def _obstacle(self, source: random.Random, screen: Mapping[str, Any], boxes: Mapping[str, Any]) -> Move | None:
        if screen["blank"]:
            return Move(self._point(source, 0.5, 0.5))
        for key in ("dismiss", "human", "again"):
            if key in boxes and boxes[key]["clear"]:
                return Move(self._tap(source, boxes[key]))
        return None

    def _planned(
        self, source: random.Random, task: Task, screen: Mapping[str, Any], boxes: Mapping[str, Any]
    ) -> Move | None:
        """The first step that is not done of the last group in sight."""
        plan, site = task.hidden["plan"], task.provenance.get("site")
        for number in reversed(range(len(plan))):
            if site and number > 0 and (number > 1) != screen["view"].startswith(site):
                continue  # the address until one is at the shop, everything after it there
            group = plan[number]
            if not any(step[1] in boxes for step in group):
                continue
            for at, step in enumerate(group):
                box = boxes.get(step[1])
                if box is None:
                    break
                final = number == len(plan) - 1 and at == len(group) - 1
                if (call := self._step(source, step, box)) is not None:
                    old = remembered().get(f"{place_of(screen['view'])}:{step[1]}")
                    habit = HABITS[task.provenance.get("kind", "webshop")] if self.habit is None else self.habit
                    if call.name == "tap" and old is not None and source.random() < habit:
                        call = self._point(source, *old)
                    wet = step[0] != "tap" and call.name != "press"  # a field is done when enter was pressed
                    return Move(call, number, final and not wet)
                if box["on"] or step[0] == "write":
                    continue
                if hidden := self._uncover(box, screen):
                    return Move(hidden, number)
                break
        return None

    def _step(self, source: random.Random, step: Sequence[str], box: Mapping[str, Any]) -> Call | None:
        """What a step asks for now; None where it is done or its target cannot be touched."""
        if step[0] != "tap" and box["value"] == step[2]:
            return (
                Call("press", {"key": "enter"})
                if box["focused"] and step[0] == "fill"
                else self._again(source, step, box)
            )
        if step[0] != "tap" and box["focused"]:
            return Call("type", {"text": step[2]})
        if box["on"] or not box["clear"]:
            return None
        return self._tap(source, box)

    def _again(self, source: random.Random, step: Sequence[str], box: Mapping[str, Any]) -> Call | None:
        """A field that holds the right text without the focus: tap it, unless nothing more is asked of it."""
        return None if step[0] == "write" or not box["clear"] else self._tap(source, box)

    def _uncover(self, box: Mapping[str, Any], screen: Mapping[str, Any]) -> Call | None:
        """How to bring a target into sight that lies below the fold or under the keyboard."""
        middle = (box["y"] + box["height"] / 2) / SIZE[1]
        if screen["typing"]:
            return Call("press", {"key": "back"})
        if middle > _BOTTOM - 0.02:
            return gesture(0.7, 0.5, 0.35, 0.5)
        if middle < 0.1:
            return gesture(0.35, 0.5, 0.7, 0.5)
        return None

    def _lost(
        self, source: random.Random, task: Task, screen: Mapping[str, Any], boxes: Mapping[str, Any], reached: int
    ) -> Move:
        """No step of the plan can be taken on this screen."""
        if self.knows == "all":
            if "search icon" in boxes and boxes["search icon"]["clear"]:
                return Move(self._tap(source, boxes["search icon"]))
            return Move(Call("press", {"key": "back" if screen["view"].endswith("/offer") else "home"}))
        clear = [box for box in screen["boxes"] if box["clear"] and box["key"] != "veil"]
        if clear and source.random() < self.wander:
            return Move(self._tap(source, source.choice(clear)))
        plan = task.hidden["plan"]
        expected = plan[min(reached + 1, len(plan) - 1)][0][1]
        spots = [spot for key, spot in remembered().items() if key.partition(":")[2] == expected]
        if not spots or (source.random() < 0.3 and "veil" not in boxes):
            return Move(Call("press", {"key": source.choice(("back", "home"))}))
        return Move(self._point(source, *source.choice(spots)))

    def _tap(self, source: random.Random, box: Mapping[str, Any]) -> Call:
        x = (box["x"] + box["width"] * (0.5 + self.jitter * (2 * source.random() - 1))) / SIZE[0]
        y = (box["y"] + box["height"] * (0.5 + self.jitter * (2 * source.random() - 1))) / SIZE[1]
        return self._exact(y, x)

    def _point(self, source: random.Random, y: float, x: float) -> Call:
        """Near a point, as a finger is."""
        return self._exact(y + 0.02 * (2 * source.random() - 1), x + 0.05 * (2 * source.random() - 1))

    @staticmethod
    def _exact(y: float, x: float) -> Call:
        return Call("tap", {"y": round(min(max(y, 0), 1), 4), "x": round(min(max(x, 0), 1), 4)})

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """A script has no token probabilities.

        Raises:
            UserError: always.
        """
        raise UserError("the demonstrator is a script and has no log-probabilities.")
