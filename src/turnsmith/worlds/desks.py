"""tau-bench's two worlds and the small tools by name, with their tasks and users: for agents that read plain text.

The official tasks are taken as they are: the free text of each is the brief of a user whom a model plays, so all of
them can be played (the small language of `worlds.retail` can say some). Without a model, users work by rule from
briefs that are made of the requests, and tasks are drawn from a seed.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from turnsmith.agents.human import ChatUser
from turnsmith.engine.chat import Chat
from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.environment import AnswerGrader, ToolEnvironment
from turnsmith.envs.tools.user import User
from turnsmith.errors import UserError
from turnsmith.jsonl import read_jsonl
from turnsmith.trace.types import Task
from turnsmith.worlds import airline, retail
from turnsmith.worlds.airline import tasks as airline_tasks
from turnsmith.worlds.m3.tasks import FAMILIES, grade_answer
from turnsmith.worlds.m3.tasks import make_task as m3_task
from turnsmith.worlds.m3.tools import world as m3_world
from turnsmith.worlds.retail import tasks as retail_tasks

NAMES = (
    "tau_retail", "tau_airline", "tau_retail_synthetic", "tau_airline_synthetic",
    *(f"m3_{family}" for family in FAMILIES),
)  # fmt: skip
Split = Literal["train", "dev", "test"]


@dataclass(frozen=True, slots=True)
class Place:
    """A world to act in.

    Attributes:
        name: one of `NAMES`.
        world: its toolboxes.
        users: whether somebody has to be spoken to.
    """

    name: str
    world: DatabaseWorld
    users: bool

    @property
    def official(self) -> bool:
        """Whether its tasks are tau-bench's own."""
        return self.name in ("tau_retail", "tau_airline")

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """The official tasks of a split (the first so many), or tasks from a seed.

        Raises:
            UserError: if the data is not on this machine, or there is no such split.
        """
        if self.official:
            return official_tasks(self.name, split)[:count]
        if not self.users:
            return [m3_task(self.name.removeprefix("m3_"), seed * 100_000 + n, split) for n in range(count)]
        rng = random.Random(f"{self.name}/{split}/{seed}")
        draw = retail_tasks.random_task if "retail" in self.name else airline_tasks.random_task
        return [draw(f"{self.name}/{split}/{n}", self.world.base, rng, split=split) for n in range(count)]

    def environment(self, human: Chat | None = None, by: str = "") -> ToolEnvironment:
        """The environment, with users played by a model, or by rule.

        Args:
            human: the model; None for the rule.
            by: its name, for the record.
        """
        grader: AnswerGrader | None = None if self.users else grade_answer
        return ToolEnvironment(self.world, self._user_maker(human, by), grader)

    def _user_maker(self, human: Chat | None, by: str) -> Callable[[Task, int], User | None]:
        def make(task: Task, seed: int) -> User | None:
            if not self.users:
                return None
            if human is not None:
                return ChatUser(human, brief_of(self, task), seed, by)
            if "brief" in task.hidden:
                raise UserError(f"the users of {self.name} are free text: give a model that plays them (--user).")
            return retail_tasks.user_of(self.world, task) if "retail" in self.name else airline_tasks.user_of(task)

        return make


def place_of(name: str, seed: int = 0) -> Place:
    """A world by its name.

    Raises:
        UserError: if there is no such world, or its data is not on this machine.
    """
    if name not in NAMES:
        raise UserError(f"unknown world {name!r}. Worlds: {', '.join(NAMES)}.")
    if name.startswith("m3_"):
        return Place(name, m3_world(name.removeprefix("m3_")), False)
    module = retail if "retail" in name else airline
    world = module.synthetic_world(seed) if name.endswith("_synthetic") else module.official_world()
    return Place(name, world, True)


def official_tasks(name: str, split: str) -> list[Task]:
    """tau-bench's own tasks of a split, all of them.

    Raises:
        UserError: if the data is not on this machine, or there is no such split.
    """
    module = retail if "retail" in name else airline
    path = module.official_folder() / f"tasks_{split}.jsonl"
    if not path.exists():
        raise UserError(f"{name} has no {split} split.")
    found = []
    for number, (_, row) in enumerate(read_jsonl(path)):
        hidden = {"brief": row["instruction"], "actions": row["actions"], "outputs": row["outputs"]}
        said = "Help the user who is writing to you."
        found.append(Task(f"{name}/{split}/{number}", said, name, {"role": "help"}, split, {}, hidden))
    return found


def brief_of(place: Place, task: Task) -> str:
    """What a model that plays the user of a task is told."""
    if "brief" in task.hidden:
        return str(task.hidden["brief"])
    user = retail_tasks.user_of(place.world, task) if "retail" in place.name else airline_tasks.user_of(task)
    wishes = [" ".join([wish.says.text, *(one.text for one in wish.details.values())]) for wish in user.brief.wishes]
    return "\n".join([user.brief.identity.text, *wishes])
