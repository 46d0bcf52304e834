"""From finished runs to recorded claims: `results/eeg_mae.json`, over all seeds of the laptop preset that were run."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from turnsmith.eeg.cue import CueResult
from turnsmith.eeg.curves import compare
from turnsmith.eeg.fit import Fitted, Point
from turnsmith.eeg.proxy import ProxyResult
from turnsmith.eeg.transfer import STARTS
from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.seeds import finished_runs, record_runs
from turnsmith.evaluate.stats import bootstrap_mean, wilson
from turnsmith.recipes.eeg_mae.config import Config

KINDS = ("unlabelled", "train")
SEEDS_WANTED = 5
ONE_PERSON = "One participant (EEGMMIDB S001): nothing follows for other people."


def record_claims(config: Config) -> None:
    """Combine the finished runs with these settings, all seeds, and write the claims."""
    reports = sorted(
        finished_runs("eeg_mae", config, ignore=("processes", "device")), key=lambda row: row["config"]["seed"]
    )
    seeds = tuple(row["config"]["seed"] for row in reports)
    claims = study_claims([row["stages"] for row in reports], seeds)
    claims += transfer_claims([row["stages"] for row in reports], seeds)
    record_runs("eeg_mae", claims, type(config), reports)


def match_ratio(stages: dict[str, Any], axis: str = "step") -> tuple[float, bool]:
    """When the pretrained model reached scratch's best error over when scratch did, and whether it ever did.

    Where it never did, the ratio is a lower bound: its whole training over scratch's time.
    """
    scratch, mae = (Fitted.from_dict(stages[f"{start}-100"]).curve for start in ("scratch", "mae"))
    ratio = compare(scratch, mae, axis)["match_ratio"]
    if ratio is not None:
        return ratio, True
    best = min((point for point in scratch if point.error is not None), key=lambda point: point.error or 0.0)
    return getattr(mae[-1], axis) / getattr(best, axis), False


def study_claims(stages: Sequence[dict[str, Any]], seeds: tuple[int, ...]) -> list[Claim]:
    """The simulator's claims from the stages of each seed's run."""

    def curves(row: dict[str, Any]) -> tuple[list[Point], list[Point]]:
        return Fitted.from_dict(row["scratch-100"]).curve, Fitted.from_dict(row["mae-100"]).curve

    def claim(
        name: str, words: str, value: Callable[[dict[str, Any]], float], goal: str = "", paper: str = "",
        note: str = "", baseline: float | None = None, among: Sequence[dict[str, Any]] = stages,
    ) -> Claim:  # fmt: skip
        mean, low, high = bootstrap_mean([value(row) for row in among])
        of = tuple(seed for seed, row in zip(seeds, stages, strict=True) if row in among)
        return Claim(name, words, mean, goal, paper, baseline, (low, high), of, note)

    devices = Counter(row["data"]["device"] for row in stages)
    device = devices.most_common(1)[0][0]
    timed = [row for row in stages if row["data"]["device"] == device]  # seconds of two devices have no mean
    cost = np.mean([row["pretrain"]["seconds"] for row in timed])
    fine = np.mean([row["scratch-100"]["seconds"] for row in timed])
    never = sum(not match_ratio(row)[1] for row in stages)
    wall = np.mean([match_ratio(row, "seconds")[0] for row in timed])
    setup = _setup(stages, devices)
    claims = [
        claim(
            "time_to_match_ratio",
            "Updates at which the pretrained model reaches the best validation error of the one from scratch, over the "
            "updates that the latter took to it",
            lambda row: match_ratio(row)[0],
            "<= 0.334",
            "1/3 of the training time",
            f"{setup} By wall clock: {wall:.2f}. Pretraining itself costs {cost:.0f} s more, fine-tuning {fine:.0f} s."
            + (f" {never} seed(s) never reached it: a lower bound stands for them." if never else ""),
        ),
        claim(
            "error_at_half_time_ratio",
            "Best validation error of the pretrained model within half of the updates that the one from scratch took "
            "to its best, over that best error",
            lambda row: compare(*curves(row))["half_time_ratio"] or float("nan"),
            "< 1",
            "better at half of the time",
            setup,
        ),
        claim(
            "curve_area_ratio",
            "Area under the validation curve (best error so far, all updates), pretrained over scratch",
            lambda row: _areas(compare(*curves(row))),
        ),
        claim(
            "pretrain_seconds",
            "Seconds of pretraining, wall clock (other work on the machine included)",
            lambda row: row["pretrain"]["seconds"],
            note=f"Trained on: {device}.",
            among=timed,
        ),
    ]
    claims += _few_labels(stages, claim)
    return claims + _table(stages, seeds)


def _setup(stages: Sequence[dict[str, Any]], devices: Collection[str]) -> str:
    """What both trainings had in common, in words."""
    unlabelled, labelled = (int(np.mean([row["data"][f"{kind}_windows"] for row in stages])) for kind in KINDS)
    facts = stages[0]["data"]
    setup = (
        "Equal model, updates, batches and schedule; each start in the best of the same ways (learning rate, share of "
        f"dropped channels), by validation people. Simulated EEG, {facts['participants']} people. Pretraining drew "
        f"from {unlabelled} windows (cut anywhere from the training people's recordings), fine-tuning from {labelled}. "
        f"Trained on: {', '.join(devices)}."
    )
    if len(stages) < SEEDS_WANTED:
        setup += f" Only {len(stages)} of the {SEEDS_WANTED} seeds that were asked for."
    return setup


def _few_labels(stages: Sequence[dict[str, Any]], claim: Callable[..., Claim]) -> list[Claim]:
    """What pretraining takes off the error on new people, by share of the labels."""
    claims = []
    key = "euclidean_mm"
    for percent in ("10", "30", "100"):
        if any(f"mae-{percent}" not in row for row in stages):
            continue
        scratch_mm = float(np.mean([row[f"scratch-{percent}"]["test"][key] for row in stages]))
        claims.append(
            claim(
                "low_label_error_reduction_pct" if percent == "10" else f"error_reduction_pct_{percent}_labels",
                f"Reduction of the mean Euclidean error on new people by pretraining, {percent} % of the labels",
                lambda row, p=percent: 100 * (1 - row[f"mae-{p}"]["test"][key] / row[f"scratch-{p}"]["test"][key]),
                ">= 15" if percent == "10" else "",
                note="Weights, learning rate and dropped channels of both are selected on the validation people. The "
                "baseline is the error of the model from scratch, mm.",
                baseline=round(scratch_mm, 1),
            )
        )
    return claims


def _areas(figures: dict[str, float | None]) -> float:
    return float(figures["area_pretrained"] or 0.0) / float(figures["area_scratch"] or 1.0)


def _table(stages: Sequence[dict[str, Any]], seeds: tuple[int, ...]) -> list[Claim]:
    """Test errors of every model under both metrics."""
    rows: dict[str, Callable[[dict[str, Any]], dict[str, float]]] = {
        "naive_mean": lambda row: row["linear"]["naive"],
        "ridge": lambda row: row["linear"]["ridge"],
        "probe_random": lambda row: row["probe"]["scratch"],
        "probe_mae": lambda row: row["probe"]["mae"],
        "probe_paper_mae": lambda row: row["paper-mode"]["probe"],
    }
    for name in sorted({name for row in stages for name in row if "test" in row[name] and name != "linear"}):
        rows[name.replace("-", "_")] = lambda row, name=name: row[name]["test"]
    claims = []
    for name, of in rows.items():
        try:
            scores = [of(row) for row in stages]
        except KeyError:
            continue
        mean, low, high = bootstrap_mean([score["euclidean_mm"] for score in scores])
        rmse = float(np.mean([score["rmse_mm"] for score in scores]))
        words = f"Test error of {name}: mean Euclidean distance, mm"
        claims.append(Claim(f"error_mm_{name}", words, mean, ci95=(low, high), seeds=seeds, note=f"RMSE {rmse:.1f} mm"))
    return claims


def transfer_claims(stages: Sequence[dict[str, Any]], seeds: tuple[int, ...]) -> list[Claim]:
    """MAE against scratch on the real recording, reported either way."""
    found = [row["real"] for row in stages if "real" in row]
    if len(found) < len(stages) or not found:
        return []
    claims = []
    for start in STARTS:
        if f"proxy_r2_{start}" not in found[0]:
            continue
        right, trials = np.sum([list(runs) for row in found for runs in row["cue"][start].values()], axis=0)
        claims.append(
            Claim(
                f"real_cue_accuracy_{start}",
                f"Cue side on real EEG, leave-one-run-out, small EEGViT started from: {start}",
                float(right / trials),
                ci95=wilson(int(right), int(trials)),
                seeds=seeds,
                note=f"{ONE_PERSON} All seeds' trials pooled. Six temple channels hidden from the models.",
            )
        )
        mean, low, high = bootstrap_mean([row[f"proxy_r2_{start}"] for row in found])
        words = f"R2 of the horizontal-EOG proxy on real EEG from a tenth of the labels, started from: {start}"
        claims.append(Claim(f"real_proxy_r2_{start}", words, mean, ci95=(low, high), seeds=seeds, note=ONE_PERSON))
    return claims


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
