"""The claims of `results/digirl.json`: a table over the evaluations of the finished runs of all seeds."""

import re
from dataclasses import dataclass

from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.figures import ClaimRow, Difference, Level, Runs, claims_of
from turnsmith.evaluate.seeds import record_runs
from turnsmith.recipes.digirl.config import Config
from turnsmith.recipes.shared.device_claims import finished, runs_of


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was evaluated in a run.

    Attributes:
        policy: "sft", an arm, or "frozen" and "continual" under drift.
        iteration: after which.
        training: the fresh training tasks of all online iterations instead of held-out ones.
    """

    policy: str
    iteration: int = 0
    training: bool = False

    @property
    def phase(self) -> str:
        """Of its episodes in the store."""
        return f"{'train' if self.training else 'eval'}-{self.policy}"

    def __str__(self) -> str:
        return self.phase if self.training else f"{self.phase}/{self.iteration}"

    @classmethod
    def parse(cls, text: str) -> "Evaluation":
        """The inverse of `str`: keys of `report.json`."""
        found = re.fullmatch(r"train-(.+)|eval-(.+)/(\d+)", text)
        if found is None:
            raise UserError(f"{text!r} names no evaluation of digirl.")
        return cls(found[1], training=True) if found[1] else cls(found[2], int(found[3]))


def table(iterations: int, drift: int) -> list[ClaimRow[Evaluation]]:
    """The rows, for runs of so many online iterations and iterations of drift."""
    fbc, digirl = Evaluation("fbc", iterations), Evaluation("digirl", iterations)
    return [
        Level(
            id="sft_success",
            words="Supervised first policy on held-out tasks",
            key=Evaluation("sft", 0),
            paper="17.7 % (WebShop)",
        ),
        Level(id="fbc_success", words="Filtered behaviour cloning, off-to-on", key=fbc, paper="57.8 % (WebShop)"),
        Level(id="digirl_success", words="DigiRL, off-to-on", key=digirl, paper="67.2 % (WebShop)"),
        Difference(
            id="over_fbc_points",
            words="DigiRL above filtered behaviour cloning, in points, at equal episodes and updates",
            better=digirl,
            worse=fbc,
            goal=">= 8 and interval above 0",
            paper="9.4 points (WebShop)",
            note="Paired by task, bootstrap over seeds, then tasks.",
        ),
        Difference(
            id="online_gain_points",
            words="DigiRL above filtered BC on the fresh training tasks of all online iterations, in points",
            better=Evaluation("digirl", training=True),
            worse=Evaluation("fbc", training=True),
            optional=True,
        ),
        Difference(
            id="drift_gain_points",
            words="Under drifting layouts, going on learning above staying frozen, in points",
            better=Evaluation("continual", drift),
            worse=Evaluation("frozen", drift),
            goal="> 0 and interval above 0",
            paper="65.9 against 59.9 %",
            optional=True,
        ),
    ]


def digirl_claims(runs: Runs[Evaluation], iterations: int, drift: int) -> list[Claim]:
    """The claims of these runs.

    Raises:
        UserError: if a run lacks an evaluation.
    """
    return claims_of(table(iterations, drift), runs)


def record_claims(config: Config) -> None:
    """Combine the finished runs of these settings, all seeds, into `results/digirl.json`."""
    reports = finished("digirl", config, ignore=("first",))
    if reports:
        runs = runs_of(reports, Evaluation.parse)
        record_runs("digirl", digirl_claims(runs, config.iterations, config.drift.iterations), Config, reports)
