"""Names of Digi-Q's arms: what learns, for how many updates, and how it acts.

LEARNER[@UPDATES][-ranked[-by-CRITICS][-N]]     digiq, digirl@2000, digirl-ranked, digirl@2000-ranked-by-mc-4
LEARNER[@UPDATES]-likeliest[-N]                 the control of ranking: N draws and no Q
"""

import re
from dataclasses import dataclass
from typing import Literal

from turnsmith.errors import UserError

LEARNERS = ("fbc", "digirl", "digiq", "no-representation", "mc", "td-0", "argmax", "awr", "reinforce", "best-of-N")
"""What an arm's actor learns by; N is a number, as in "best-of-4"."""
CRITICS = ("digiq", "no-representation", "mc", "td-0")
"""The arms that have critics of their own."""

_NAME = re.compile(
    rf"(?P<learner>behaviour|best-of-[1-9]\d*|{'|'.join(LEARNERS[:-1])})(?:@(?P<updates>[1-9]\d*))?"
    rf"(?:-(?P<acting>likeliest|ranked(?:-by-(?P<critics>{'|'.join(CRITICS)}))?)(?:-(?P<count>[1-9]\d*))?)?"
)


@dataclass(frozen=True, slots=True)
class ArmName:
    """What the name of an arm says.

    Attributes:
        learner: one of `LEARNERS`, "best-of-N" with its number; "behaviour" is π_β, which learns nothing.
        updates: of its actor; None for the run's.
        acting: "" acts as it learned; "ranked" does the best of several draws by log π + Q / β; "likeliest" by log π.
        critics: whose Q ranks.
        count: how many draws; None for the run's.
    """

    learner: str
    updates: int | None = None
    acting: Literal["", "ranked", "likeliest"] = ""
    critics: str = "digiq"
    count: int | None = None

    def __str__(self) -> str:
        name = self.learner if self.updates is None else f"{self.learner}@{self.updates}"
        if self.acting:
            name += f"-{self.acting}" if self.critics == "digiq" else f"-{self.acting}-by-{self.critics}"
        return name if self.count is None else f"{name}-{self.count}"

    @property
    def learned(self) -> "ArmName":
        """The arm whose actor acts."""
        return ArmName(self.learner, self.updates)

    @property
    def ranked(self) -> "ArmName":
        """Its actor's draws, ranked by the critics of `digiq`."""
        return ArmName(self.learner, self.updates, "ranked")

    @property
    def likeliest(self) -> "ArmName":
        """The likeliest of its actor's draws."""
        return ArmName(self.learner, self.updates, "likeliest")

    @property
    def trained(self) -> str:
        """The name of the arm whose actor acts."""
        return str(self.learned)

    @property
    def candidates(self) -> int | None:
        """N of "best-of-N"; None for other learners."""
        return int(self.learner.removeprefix("best-of-")) if self.learner.startswith("best-of-") else None


def parse_arm(name: str) -> ArmName:
    """Read an arm's name.

    Raises:
        UserError: if it names no arm.
    """
    match = _NAME.fullmatch(name)
    if match and (match["learner"] != "behaviour" or (match["acting"] and not match["updates"])):
        updates, count = (int(match[part]) if match[part] else None for part in ("updates", "count"))
        acting = "likeliest" if match["acting"] == "likeliest" else "ranked" if match["acting"] else ""
        return ArmName(match["learner"], updates, acting, match["critics"] or "digiq", count)
    raise UserError(
        f"unknown arm {name!r}. Arms: {', '.join(LEARNERS)}; with @UPDATES for a longer or shorter training; "
        f"with -ranked, -ranked-by-CRITICS ({', '.join(CRITICS)}) or -likeliest, and -DRAWS after it, for how it acts "
        "(behaviour, the first policy, too)."
    )
