"""The claims of `results/sweet.json`: what the finished runs of all seeds amount to."""

from statistics import fmean

from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.figures import ClaimRow, Difference, Level, Runs, SeedRun, claims_of
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.recipes.sweet.config import Arm, Config

_PAPER = {
    Arm.ZERO_SHOT: "22.4 % (backend programming, 8 B)",
    Arm.RFT: "28.2 %",
    Arm.MTDPO: "34.4 %",
    Arm.SWEET: "40.4 %",
}
_DROPS = (
    (Arm.NO_HIDDEN, "no_hidden_drop_points", "without hidden information", "9.2 points"),
    (Arm.NO_NORM, "no_norm_drop_points", "without the mean over a turn's tokens", "36.8 points: it collapses"),
    (Arm.REGRESSION, "regression_drop_points", "with a regression head", "4.2 points"),
)


def sweet_claims(runs: Runs[str], aucs: list[float]) -> list[Claim]:
    """The claims from the evaluations of each seed.

    Args:
        runs: by arm: the reward of each test task.
        aucs: of each seed's critic, for useful questions among candidates of test tasks.
    """
    table: list[ClaimRow[str]] = [
        Difference(
            id="over_mtdpo_points",
            words="SWEET above multi-turn DPO on the same dialogues, in points",
            better=Arm.SWEET.value,
            worse=Arm.MTDPO.value,
            goal=">= 4 and interval above 0",
            paper="6.0 points",
        )
    ]
    table += [Level(id=arm.value, words=f"Success, {arm.value}", key=arm.value, paper=said)
              for arm, said in _PAPER.items()]  # fmt: skip
    table += [
        Difference(
            id=name,
            words=f"What is lost {words}, in points",
            better=Arm.SWEET.value,
            worse=arm.value,
            goal="> 0 and interval above 0",
            paper=said,
        )
        for arm, name, words, said in _DROPS
    ]
    auc = Claim(
        id="turn_auc",
        claim="AUC of the turn advantage for useful questions among the candidates of a turn, tasks not seen",
        value=round(fmean(aucs), 3) if aucs else None,
        goal=">= 0.75",
        seeds=tuple(run.seed for run in runs),
    )
    return [*claims_of(tuple(table), runs), auc]


def record_claims(config: Config) -> None:
    """Combine the finished runs of these settings, all seeds, into `results/sweet.json`."""
    reports = finished_runs("sweet", config)
    if not reports:
        return
    runs = [SeedRun(row["config"]["name"], row["config"]["seed"], row["rewards"]) for row in reports]
    aucs = [row["turn_auc"] for row in reports if row.get("turn_auc") is not None]
    record_runs("sweet", sweet_claims(runs, aucs), Config, reports)
