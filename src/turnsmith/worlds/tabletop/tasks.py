"""The five tasks: what is asked, which keypoints are tied, what the executor ignores, and how the gripper moves.

Loads no MuJoCo. The heights and headings of each task are constants, as in KALIE's code, where they are arguments of a
task's constructor and never predicted; the paper's values are not released, these are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from turnsmith.errors import UserError
from turnsmith.worlds.tabletop.points import Key

TRAINING_SET = 0
UNSEEN_SETS = (1, 2, 3)
"""New topology of every object, random textures and lights."""
HARD_SET = 4
"""New topology again, and things that lie about, dim or slanting light, tools that are bent or to one side."""


class TableTask(StrEnum):
    """KALIE's task ids."""

    SWEEP = "trash_sweeping"
    DRAWER = "drawer_closing"
    TOWEL = "towel_hanging"
    POUR = "pouring"
    UNPLUG = "unplugging"


Height = Literal["same", "mid", "above"]
Heading = Literal["keep", "motion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How the keypoints of a task become motion.

    Attributes:
        grips: take the tool at the grasp point; False keeps the gripper shut and pushes.
        uses_function: the function point, not the gripper, visits the waypoints.
        waypoints: which keypoints are visited, in order.
        heights: of each waypoint: "same" as it was when gripped (or just below the target's top for a push), "mid",
            "above" (a safe height).
        heading: "keep" the yaw of the grasp, or turn the tool along the "motion" from pre- to post-contact point.
        lift: rise to a safe height after gripping.
        tilt: pitch at the target, radians: the function point goes down (0 for none).
        speed: of the gripper while it carries, m/s.
    """

    grips: bool = True
    uses_function: bool = False
    waypoints: tuple[Key, ...] = (Key.PRE, Key.TARGET, Key.POST)
    heights: tuple[Height, ...] = ("same", "same", "same")
    heading: Heading = "keep"
    lift: bool = True
    tilt: float = 0.0
    speed: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What there is to know of a task before any scene is built.

    Attributes:
        instruction: what the agent reads.
        objects: what synthesis changes, one after the other, in this order (names of the scene's parts).
        ties: keypoints that equal another one by the task's definition.
        motion: of the executor.
        success: the condition, in words.
        paper: successes of 15 that Table I of the paper has for VoxPoser, MOKA and KALIE.
    """

    instruction: str
    objects: tuple[str, ...]
    motion: Motion
    success: str
    paper: tuple[int, int, int]
    ties: Mapping[Key, Key] = field(default_factory=dict)


SPECS: dict[TableTask, TaskSpec] = {
    TableTask.SWEEP: TaskSpec(
        instruction="Use the brush to sweep the trash off the edge of the table.",
        objects=("brush", "trash"),
        motion=Motion(uses_function=True, heading="motion"),
        success="the trash is past the table's edge",
        paper=(3, 9, 14),
    ),
    TableTask.DRAWER: TaskSpec(
        instruction="Close the open drawer.",
        objects=("open drawer",),
        ties={Key.FUNCTION: Key.TARGET, Key.GRASP: Key.TARGET},
        motion=Motion(grips=False, speed=0.2),
        success="the gap is below 1 cm",
        paper=(8, 9, 15),
    ),
    TableTask.TOWEL: TaskSpec(
        instruction="Hang the cloth on the rack.",
        objects=("cloth",),
        ties={Key.FUNCTION: Key.GRASP},
        motion=Motion(heights=("above", "above", "mid"), heading="motion", speed=0.15),
        success="the cloth lies over the bar for 2 s after it was let go",
        paper=(1, 5, 13),
    ),
    TableTask.POUR: TaskSpec(
        instruction="Pour the small items from the scoop into the bowl.",
        objects=("scoop", "bowl"),
        ties={Key.PRE: Key.TARGET, Key.POST: Key.TARGET},
        motion=Motion(uses_function=True, waypoints=(Key.TARGET,), heights=("above",), tilt=1.25, speed=0.2),
        success="at least 70 % of the items are in the bowl",
        paper=(0, 7, 13),
    ),
    TableTask.UNPLUG: TaskSpec(
        instruction="Pull the USB stick out of the laptop.",
        objects=("usb stick", "laptop"),
        ties={Key.FUNCTION: Key.GRASP},
        motion=Motion(waypoints=(Key.TARGET,), heights=("same",), lift=False, speed=0.15),
        success="the stick is 3 cm clear of its slot",
        paper=(0, 2, 9),
    ),
}


def table_task(name: str) -> TableTask:
    """The task of this name.

    Raises:
        UserError: if there is none.
    """
    try:
        return TableTask(name)
    except ValueError:
        raise UserError(f"unknown table-top task {name!r}. Tasks: {', '.join(TableTask)}.") from None
