"""The claims of `results/tti.json`: what the finished runs of all seeds amount to."""

from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.figures import ClaimRow, Difference, Level, Runs, SeedRun, best_of, claims_of
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.recipes.tti.config import Arm, Config

WARM = "warm"
"""The key of the warm start's evaluation, beside those of the arms (whose keys are their values)."""
SHORT, LONG, ADDITIVE, MULTIPLICATIVE, REVERSED = (arm.value for arm in Arm)
CURRICULA: tuple[str, ...] = (ADDITIVE, MULTIPLICATIVE)
FIXED: tuple[str, ...] = (SHORT, LONG)
NOT_REPRODUCED = (
    "Shown as a mechanism with a small policy; the paper's gain, with an instruction-following model of 12 B "
    "parameters and no training, is not reproduced until a large model runs it."
)


def tti_claims(runs: Runs[str], checked: Runs[str]) -> list[Claim]:
    """The claims from the evaluations of each seed.

    Args:
        runs: by arm and `WARM`: the reward of each test task under the test horizon.
        checked: by method at test time ("plain", "answers-2", …): the reward of each task; may be empty.
    """
    curriculum, fixed = best_of(runs, CURRICULA), best_of(runs, FIXED)
    table: tuple[ClaimRow[str], ...] = (
        Difference(
            id="over_best_fixed_points",
            words="The better curriculum above the better fixed horizon, at equal steps and updates, in points",
            better=curriculum,
            worse=fixed,
            goal="> 0 and interval above 0",
            paper="64.8 % against 59.1 % (fixed short) and 45.2 % (fixed long)",
            note=f"{curriculum} against {fixed}, each the better over all seeds. Paired by task; bootstrap "
            "over seeds, then tasks.",
        ),
        Level(id="fixed_short_success", words="Trained under h_min throughout", key=SHORT, paper="59.1 %"),
        Level(id="fixed_long_success", words="Trained under h_max throughout", key=LONG, paper="45.2 %"),
        Level(
            id="curriculum_success",
            words="Trained under the better curriculum",
            key=curriculum,
            paper="64.8 %",
            note=f"The better over all seeds: {curriculum}.",
        ),
        Level(id="additive_success", words="Trained under the additive curriculum", key=ADDITIVE),
        Level(id="multiplicative_success", words="Trained under the multiplicative curriculum", key=MULTIPLICATIVE),
        Level(id="reversed_success", words="Trained under the multiplicative curriculum backwards", key=REVERSED),
        Level(id="warm_start_success", words="Before any of it: the warm start", key=WARM),
    )
    return [*claims_of(table, runs), *_recheck(checked)]


def _recheck(checked: Runs[str]) -> list[Claim]:
    row = Difference(
        id="recheck_gain_points",
        words="A second answer after a look back (re-check) above answering once, in points",
        better="answers-2",
        worse="plain",
        paper=".24 to .26 to .275 to .285 with 1 to 4 answers (read from a figure; 62 WebArena tasks)",
        note=NOT_REPRODUCED,
        optional=True,
    )
    return claims_of((row,), checked) if checked else []


def record_claims(config: Config) -> None:
    """Combine the finished runs of these settings, all seeds, into `results/tti.json`."""
    reports = finished_runs("tti", config)
    if not reports:
        return
    runs = [SeedRun(row["config"]["name"], row["config"]["seed"], row["rewards"]) for row in reports]
    checked = [SeedRun(row["config"]["name"], row["config"]["seed"], row["thinking_rewards"]) for row in reports]
    record_runs("tti", tti_claims(runs, checked), Config, reports)
