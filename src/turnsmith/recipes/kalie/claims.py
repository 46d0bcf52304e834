"""The recorded claims of KALIE: a table over evaluations, combined over the seeds that were run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.figures import ClaimRow, Difference, Level, Runs, SeedRun, claims_of, level
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.evaluate.stats import clustered_bootstrap
from turnsmith.recipes.kalie.config import Config
from turnsmith.worlds.tabletop.tasks import HARD_SET, SPECS, TableTask


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials of one phase.

    Attributes:
        phase: an arm, a script, "rl" or "rl_control".
        task: of one task; "" for all of them.
        hard: only the harder geometry set; otherwise all unseen sets, the harder one among them.
    """

    phase: str
    task: str = ""
    hard: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, (self.phase, self.task, "harder set" if self.hard else "")))

    def holds(self, task_id: str) -> bool:
        """Whether a scene's trial belongs here."""
        return (not self.task or task_id.startswith(f"{self.task}-g")) and (
            not self.hard or f"-g{HARD_SET}-" in task_id
        )


def evaluations(rewards: Mapping[str, Mapping[str, float]], tasks: Sequence[str]) -> dict[Trials, Mapping[str, float]]:
    """Every evaluation that a run's rewards hold: by phase, by phase and task, and on the harder set."""
    found: dict[Trials, Mapping[str, float]] = {}
    for phase, by_task in rewards.items():
        for key in (Trials(phase), Trials(phase, hard=True), *(Trials(phase, task) for task in tasks)):
            chosen = {task: reward for task, reward in by_task.items() if key.holds(task)}
            if chosen:
                found[key] = chosen
    return found


def table(config: Config) -> list[ClaimRow[Trials]]:
    """The claims about success."""
    ours, rl_task = Trials("composite"), config.rl.task
    rows: list[ClaimRow[Trials]] = [
        Level(
            id="unseen_success",
            words="Success over all tasks and unseen geometry sets with 50 images and synthesis",
            goal=">= 0.85",
            key=ours,
            paper="64 of 75 with CogVLM-17B on a real arm (Table I)",
        ),
        Level(
            id="hard_set_success",
            words="The same on the harder set alone",
            key=Trials("composite", hard=True),
            optional=True,
        ),
        Difference(
            id="over_standard_aug_points",
            words="Points of success by which synthesis exceeds the paper's standard augmentation",
            goal=">= 15 and interval above 0",
            better=ours,
            worse=Trials("standard"),
        ),
        Difference(
            id="over_strong_colour_points",
            words="Points of success by which synthesis exceeds strong colour jitter",
            goal="> 0 and interval above 0",
            better=ours,
            worse=Trials("strong_colour"),
        ),
        Difference(
            id="ten_vs_fifty_points",
            words="Points of success of 10 images with synthesis against 50 with synthesis",
            goal=">= -5",
            better=Trials("composite_10"),
            worse=ours,
        ),
        Difference(
            id="rl_after_imitation_points",
            words=f"Points that success reward adds to imitation ({config.rl.start}, {rl_task})",
            goal="> 0 and interval above 0",
            better=Trials("rl", rl_task),
            worse=Trials(config.rl.start, rl_task),
            optional=True,
        ),
        Difference(
            id="rl_over_control_points",
            words="The same against as many more updates on the labelled images alone",
            better=Trials("rl", rl_task),
            worse=Trials("rl_control", rl_task),
            optional=True,
        ),
        Level(
            id="marks_success", words="Success of marks chosen by a geometric rule (MOKA's marks)", key=Trials("marks")
        ),
        Level(id="random_success", words="Success of random marks", key=Trials("random")),
    ]
    arms = ("composite", "standard", "strong_colour")
    return rows + [_at_task(arm, task) for arm in arms for task in config.tasks]


def _at_task(arm: str, task: str) -> ClaimRow[Trials]:
    voxposer, moka, kalie = SPECS[TableTask(task)].paper
    return Level(
        id=f"{arm}_{task}",
        words=f"Success of {arm} at {task} on unseen geometry",
        key=Trials(arm, task),
        paper=f"of 15: VoxPoser {voxposer}, MOKA {moka}, KALIE {kalie}" if arm == "composite" else "",
    )


def oracle_claim(runs: Runs[Trials], tasks: Sequence[str]) -> Claim:
    """The lowest success of true keypoints over the tasks."""
    figures = {task: level(runs, Trials("oracle", task)) for task in tasks}
    worst = min(figures, key=lambda task: figures[task].value)
    lowest = figures[worst]
    every = ", ".join(f"{task} {figure.value:.3f}" for task, figure in figures.items())
    return Claim(
        "oracle_success",
        "Success of the executor with true keypoints at the worst task, unseen geometry",
        lowest.value,
        ">= 0.9",
        ci95=(lowest.low, lowest.high),
        seeds=lowest.seeds,
        note=f"{every}. Test scenes and the oracle are the same for every seed of a run.",
    )


@dataclass(frozen=True, slots=True)
class Closer:
    """A claim that one arm's keypoints are closer than another's."""

    id: str
    words: str
    better: str
    worse: str
    goal: str = "> 0 and interval above 0"


CLOSER = (
    Closer("softedge_over_appearance_px", "K3: new places and looks against looks alone", "composite", "appearance"),
    Closer("softedge_over_segmentation_px", "K3: soft edges against segmentation", "composite", "segmentation"),
    Closer("softedge_over_none_px", "K3: soft edges against no augmentation at all", "composite", "none"),
    Closer("moved_labels_px", "K4: labels that move against labels that stay", "composite", "still_labels"),
    Closer("moved_labels_wide_px", "K4 at 2.5 times the paper's spread of places", "wide", "wide_still_labels"),
    Closer("text_vs_regression_px", "K6: the text head against the regression head", "text", "regression", ""),
    Closer("heatmap_vs_text_px", "The heat-map head against the text head", "composite", "text", ""),
)


def error_claims(reports: Sequence[Mapping[str, Any]], task: str) -> list[Claim]:
    """Differences of keypoint error between arms, paired by scene, over seeds and scenes; pixels of 224."""
    seeds = tuple(row["config"]["seed"] for row in reports)
    claims = []
    for row in CLOSER:
        arms = [[report["errors"].get(f"{arm}/{task}") for report in reports] for arm in (row.worse, row.better)]
        if any(None in found for found in arms):
            continue
        apart = [
            [first["by_scene"][scene] - second["by_scene"][scene] for scene in first["by_scene"]]
            for first, second in zip(*arms, strict=True)
        ]
        mean, low, high = clustered_bootstrap(apart)
        means = [float(np.mean([report["pixels"] for report in found])) for found in arms]
        claims.append(
            Claim(
                row.id,
                f"{row.words}: mean keypoint error saved at {task}, pixels of 224",
                mean,
                row.goal,
                baseline=means[0],
                ci95=(low, high),
                seeds=seeds,
                note=f"{row.worse} {means[0]:.2f} px, {row.better} {means[1]:.2f}. Bootstrap over seeds, then scenes.",
            )
        )
    return claims


def record_claims(config: Config) -> None:
    """Combine the finished runs with these settings, all seeds, and write `results/kalie.json`."""
    reports = sorted(
        finished_runs("kalie", config, ignore=("processes", "films")), key=lambda row: row["config"]["seed"]
    )
    runs = [
        SeedRun(row["config"]["name"], row["config"]["seed"], evaluations(row["rewards"], config.tasks))
        for row in reports
    ]
    claims = [oracle_claim(runs, config.tasks), *claims_of(table(config), runs)]
    for task in config.error_tasks:
        claims += error_claims(reports, task)
    sets = ", ".join(map(str, config.sets))
    note = f"{config.trials} trials a task and set; sets {sets}, of which {HARD_SET} is the harder one."
    claims = [replace(claim, note=f"{claim.note} {note}".strip()) for claim in claims]
    record_runs("kalie", claims, Config, reports)
