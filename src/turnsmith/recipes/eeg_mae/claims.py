"""From finished runs to recorded claims: `results/eeg_mae.json`, over all seeds of the laptop preset that were run.

Every claim is a row over what a run has measured (`Measured`); a run that lacks it is named by the error. Those of the
real recording that no training is in (`cue_claims` and below) are figures of one fit each.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np

from turnsmith.eeg.cue import CueResult
from turnsmith.eeg.curves import compare
from turnsmith.eeg.fit import Fitted
from turnsmith.eeg.proxy import ProxyResult
from turnsmith.eeg.transfer import STARTS
from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.figures import ByTask, ClaimRow, Level, Mean, SeedRun, claims_of
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.recipes.eeg_mae.config import Config

KINDS = ("unlabelled", "train")
PERCENTS = ("10", "30", "100")
"""Shares of the labels."""
SEEDS_WANTED = 5
ONE_PERSON = "One participant (EEGMMIDB S001): nothing follows for other people."

Stages: TypeAlias = Mapping[str, Any]
"""The results of a run's stages by name, as its report has them."""
Report: TypeAlias = Mapping[str, Any]
"""Of a finished run: its settings as "config", its "stages"."""


class Measure(StrEnum):
    """What is measured in a run."""

    MATCH_RATIO = "time to match"
    """When the pretrained model reached scratch's best error over when scratch did (`match_ratio`)."""
    HALF_TIME_RATIO = "error at half time"
    AREA_RATIO = "area under the curve"
    PRETRAIN_SECONDS = "seconds of pretraining"
    ERROR_REDUCTION = "error reduction"
    """By pretraining, per cent, from a share of the labels."""
    ERROR = "test error"
    """Of a model on new people, mean Euclidean, mm."""
    CUE = "cue side"
    """Real trials from a start: 1 for each whose side was right."""
    PROXY_R2 = "R2 of the EOG proxy"
    """On real EEG, from a start."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One thing that a run has measured.

    Attributes:
        what: is measured.
        of: the model, start or share of labels; "" where there is one only.
    """

    what: Measure
    of: str = ""

    def __str__(self) -> str:
        return f"{self.what.value} ({self.of})" if self.of else self.what.value


def record_claims(config: Config) -> None:
    """Combine the finished runs with these settings, all seeds, and write the claims."""
    reports = sorted(
        finished_runs("eeg_mae", config, ignore=("processes", "device")), key=lambda row: row["config"]["seed"]
    )
    record_runs("eeg_mae", study_claims(reports) + transfer_claims(reports), type(config), reports)


def study_claims(reports: Sequence[Report]) -> list[Claim]:
    """The simulator's claims, over the seeds of these runs.

    Raises:
        UserError: if a run lacks a stage that a claim is made of.
    """
    device = Counter(report["stages"]["data"]["device"] for report in reports).most_common(1)[0][0]
    timed = [report for report in reports if report["stages"]["data"]["device"] == device]
    stages, same_device = ([report["stages"] for report in among] for among in (reports, timed))
    claims = claims_of(_curve_rows(stages, same_device), _runs(reports))
    claims += claims_of([_seconds_row(device)], _runs(timed))  # seconds of two devices have no mean
    return claims + claims_of([*_few_label_rows(stages), *_error_rows(stages)], _runs(reports))


def transfer_claims(reports: Sequence[Report]) -> list[Claim]:
    """MAE against scratch on the real recording, reported either way."""
    return claims_of(_real_rows(), _runs(reports))


def match_ratio(stages: Stages, axis: str = "step") -> tuple[float, bool]:
    """When the pretrained model reached scratch's best error over when scratch did, and whether it ever did.

    Where it never did, the ratio is a lower bound: its whole training over scratch's time.
    """
    scratch, mae = (Fitted.from_dict(stages[f"{start}-100"]).curve for start in ("scratch", "mae"))
    ratio = compare(scratch, mae, axis)["match_ratio"]
    if ratio is not None:
        return ratio, True
    best = min((point for point in scratch if point.error is not None), key=lambda point: point.error or 0.0)
    return getattr(mae[-1], axis) / getattr(best, axis), False


# -- what a run has measured


def _runs(reports: Sequence[Report]) -> list[SeedRun[Measured]]:
    return [
        SeedRun(report["config"]["name"], report["config"]["seed"], measured_in(report["stages"])) for report in reports
    ]


def measured_in(stages: Stages) -> dict[Measured, ByTask]:
    """All that the stages of a run have measured: one number each, or one for each trial."""
    found: dict[Measured, float] = {}
    if {"scratch-100", "mae-100"} <= stages.keys():
        scratch, mae = (Fitted.from_dict(stages[f"{start}-100"]).curve for start in ("scratch", "mae"))
        figures = compare(scratch, mae)
        found[Measured(Measure.MATCH_RATIO)] = match_ratio(stages)[0]
        found[Measured(Measure.HALF_TIME_RATIO)] = figures["half_time_ratio"] or float("nan")
        areas = float(figures["area_pretrained"] or 0.0), float(figures["area_scratch"] or 1.0)
        found[Measured(Measure.AREA_RATIO)] = areas[0] / areas[1]
    if "pretrain" in stages:
        found[Measured(Measure.PRETRAIN_SECONDS)] = stages["pretrain"]["seconds"]
    errors = errors_of(stages)
    for percent in PERCENTS:
        if {f"scratch_{percent}", f"mae_{percent}"} <= errors.keys():
            better, worse = (errors[f"{start}_{percent}"]["euclidean_mm"] for start in ("mae", "scratch"))
            found[Measured(Measure.ERROR_REDUCTION, percent)] = 100 * (1 - better / worse)
    found |= {Measured(Measure.ERROR, model): error["euclidean_mm"] for model, error in errors.items()}
    real = stages.get("real", {})
    for start in STARTS:
        if f"proxy_r2_{start}" in real:
            found[Measured(Measure.PROXY_R2, start)] = real[f"proxy_r2_{start}"]
    trials = {Measured(Measure.CUE, start): _trials(runs) for start, runs in real.get("cue", {}).items()}
    return {**{key: {"": value} for key, value in found.items()}, **trials}


def _trials(runs: Mapping[str, Sequence[int]]) -> ByTask:
    """A reward a trial, from the counts (right, trials) of each run of the recording."""
    return {f"{name}/{trial}": float(trial < right) for name, (right, count) in runs.items() for trial in range(count)}


def errors_of(stages: Stages) -> dict[str, Mapping[str, float]]:
    """The test errors of every model of a run under all metrics, by its name in the claims."""
    places = {
        "naive_mean": ("linear", "naive"),
        "ridge": ("linear", "ridge"),
        "probe_random": ("probe", "scratch"),
        "probe_mae": ("probe", "mae"),
        "probe_paper_mae": ("paper-mode", "probe"),
    }
    found = {name: stages[stage][part] for name, (stage, part) in places.items() if part in stages.get(stage, {})}
    tested = sorted(name for name, stage in stages.items() if "test" in stage and name != "linear")
    return found | {name.replace("-", "_"): stages[name]["test"] for name in tested}


# -- the table


def _curve_rows(stages: Sequence[Stages], timed: Sequence[Stages]) -> list[ClaimRow[Measured]]:
    """The two validation curves of each run; of `timed`, whose device is the same, the note tells the seconds."""
    setup, curves = _setup(stages), [row for row in stages if {"scratch-100", "mae-100"} <= row.keys()]
    among = [row for row in timed if row in curves and "pretrain" in row]
    wall, cost, fine = (
        float(np.mean([of(row) for row in among]))
        for of in (
            lambda row: match_ratio(row, "seconds")[0],
            lambda row: row["pretrain"]["seconds"],
            lambda row: row["scratch-100"]["seconds"],
        )
    )
    never = sum(not match_ratio(row)[1] for row in curves)
    return [
        Mean(
            id="time_to_match_ratio",
            words="Updates at which the pretrained model reaches the best validation error of the one from scratch, "
            "over the updates that the latter took to it",
            key=Measured(Measure.MATCH_RATIO),
            goal="<= 0.334",
            paper="1/3 of the training time",
            note=f"{setup} By wall clock: {wall:.2f}. Pretraining itself costs {cost:.0f} s more, fine-tuning "
            f"{fine:.0f} s." + (f" {never} seed(s) never reached it: a lower bound stands for them." if never else ""),
        ),
        Mean(
            id="error_at_half_time_ratio",
            words="Best validation error of the pretrained model within half of the updates that the one from scratch "
            "took to its best, over that best error",
            key=Measured(Measure.HALF_TIME_RATIO),
            goal="< 1",
            paper="better at half of the time",
            note=setup,
        ),
        Mean(
            id="curve_area_ratio",
            words="Area under the validation curve (best error so far, all updates), pretrained over scratch",
            key=Measured(Measure.AREA_RATIO),
        ),
    ]


def _seconds_row(device: str) -> ClaimRow[Measured]:
    return Mean(
        id="pretrain_seconds",
        words="Seconds of pretraining, wall clock (other work on the machine included)",
        key=Measured(Measure.PRETRAIN_SECONDS),
        note=f"Trained on: {device}.",
    )


def _setup(stages: Sequence[Stages]) -> str:
    """What both trainings had in common, in words."""
    unlabelled, labelled = (int(np.mean([row["data"][f"{kind}_windows"] for row in stages])) for kind in KINDS)
    facts, devices = stages[0]["data"], Counter(row["data"]["device"] for row in stages)
    setup = (
        "Equal model, updates, batches and schedule; each start in the best of the same ways (learning rate, share of "
        f"dropped channels), by validation people. Simulated EEG, {facts['participants']} people. Pretraining drew "
        f"from {unlabelled} windows (cut anywhere from the training people's recordings), fine-tuning from {labelled}. "
        f"Trained on: {', '.join(devices)}."
    )
    if len(stages) < SEEDS_WANTED:
        setup += f" Only {len(stages)} of the {SEEDS_WANTED} seeds that were asked for."
    return setup


def _few_label_rows(stages: Sequence[Stages]) -> list[ClaimRow[Measured]]:
    """What pretraining takes off the error on new people, by share of the labels."""
    return [
        Mean(
            id="low_label_error_reduction_pct" if percent == "10" else f"error_reduction_pct_{percent}_labels",
            words=f"Reduction of the mean Euclidean error on new people by pretraining, {percent} % of the labels",
            key=Measured(Measure.ERROR_REDUCTION, percent),
            goal=">= 15" if percent == "10" else "",
            baseline=round(_mean_error(stages, f"scratch_{percent}", "euclidean_mm"), 1),
            note="Weights, learning rate and dropped channels of both are selected on the validation people. The "
            "baseline is the error of the model from scratch, mm.",
            optional=percent != "100",
        )
        for percent in PERCENTS
    ]


def _error_rows(stages: Sequence[Stages]) -> list[ClaimRow[Measured]]:
    """Test errors of every model under both metrics."""
    models = {model: None for row in stages for model in errors_of(row)}  # in order
    return [
        Mean(
            id=f"error_mm_{model}",
            words=f"Test error of {model}: mean Euclidean distance, mm",
            key=Measured(Measure.ERROR, model),
            note=f"RMSE {_mean_error(stages, model, 'rmse_mm'):.1f} mm",
            optional=True,
        )
        for model in models
    ]


def _mean_error(stages: Sequence[Stages], model: str, metric: str) -> float:
    found = [errors[model][metric] for errors in map(errors_of, stages) if model in errors]
    return float(np.mean(found)) if found else float("nan")


def _real_rows() -> list[ClaimRow[Measured]]:
    """Both figures of the real recording, from each start."""
    rows: list[ClaimRow[Measured]] = []
    for start in STARTS:
        rows += [
            Level(
                id=f"real_cue_accuracy_{start}",
                words=f"Cue side on real EEG, leave-one-run-out, small EEGViT started from: {start}",
                key=Measured(Measure.CUE, start),
                note=f"{ONE_PERSON} All seeds' trials pooled. Six temple channels hidden from the models.",
                optional=True,
            ),
            Mean(
                id=f"real_proxy_r2_{start}",
                words=f"R2 of the horizontal-EOG proxy on real EEG from a tenth of the labels, started from: {start}",
                key=Measured(Measure.PROXY_R2, start),
                note=ONE_PERSON,
                optional=True,
            ),
        ]
    return rows


# -- one fit each


def cue_claims(results: dict[str, CueResult]) -> list[Claim]:
    """What the discriminant reaches on the cue side."""
    claims = []
    for kind, name in (("left/right", "real_left_right_accuracy"), ("top/bottom", "real_top_bottom_accuracy")):
        if kind not in results:
            continue
        result = results[kind]
        claims.append(
            Claim(
                name,
                f"Side of the target ({kind}) from single real trials, shrinkage discriminant, leave-one-run-out",
                result.accuracy,
                ">= 0.9" if kind == "left/right" else "",
                "",
                round(result.permutation_mean, 3),
                result.ci95,
                note=f"{result.correct} of {result.trials} trials; shuffled labels: {result.permutation_mean:.2f}, 95 "
                f"% of them below {result.permutation_95:.2f}. {ONE_PERSON} Cue side, not gaze. Over 84 settings of "
                "band, baseline, span and bins that were looked at, left/right went from 0.83 to 0.97; these are the "
                "defaults.",
            )
        )
    return claims


def proxy_claims(result: ProxyResult, posterior: ProxyResult) -> list[Claim]:
    """What ridge regression reaches on the EOG proxy."""
    runs = ", ".join(f"{name} {value:.2f}" for name, value in result.by_fold.items())
    return [
        Claim(
            "real_proxy_r2",
            "R2 of the horizontal-EOG proxy on held-out runs, ridge from the channels that are not in it",
            result.r2,
            ">= 0.9",
            ci95=(min(result.by_fold.values()), max(result.by_fold.values())),
            note=f"{result.channels} channels; the interval is the range over runs ({runs}). {ONE_PERSON}",
        ),
        Claim(
            "real_proxy_r2_posterior",
            "The same from central and posterior channels alone",
            posterior.r2,
            ci95=(min(posterior.by_fold.values()), max(posterior.by_fold.values())),
            note=f"{posterior.channels} channels; the interval is the range over runs. {ONE_PERSON}",
        ),
    ]


def folds_claim(result: ProxyResult) -> Claim:
    """Ridge regression of the EOG channels' difference within one recording."""
    return Claim(
        "real_eog_r2_eeglab",
        f"R2 of {' minus '.join(result.targets)} in contiguous held-out folds of EEGLAB's recording, ridge from EEG",
        result.r2,
        ci95=(min(result.by_fold.values()), max(result.by_fold.values())),
        note=f"{result.channels} channels; the interval is the range over folds. One person, one recording.",
    )
