"""`report.html` of an EEG run: figures, pictures and the table, in one file that works offline and can be mailed."""

import base64
import html
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from turnsmith.eeg import pictures
from turnsmith.eeg.anatomy import HYDROCEL, montage
from turnsmith.eeg.fit import Fitted
from turnsmith.eeg.relevance import channel_relevance
from turnsmith.recipes.eeg_mae.study import Stage, Study

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}img{max-width:100%}
table{border-collapse:collapse}td,th{padding:.25rem .9rem .25rem 0;border-bottom:1px solid #ddd;text-align:left}
td.number{text-align:right;font-variant-numeric:tabular-nums}p.note{color:#57606a;max-width:46rem}
"""


def write_report(folder: Path, study: Study, done: Mapping[str, Stage]) -> Path:
    """Draw the pictures into FOLDER/pictures and write FOLDER/report.html.

    Args:
        folder: of the run.
        study: its data and models.
        done: the stages' results by name.

    Returns:
        The path of the report.
    """
    made = draw(folder / "pictures", study, done)
    facts = done["data"]
    source = "simulated recordings" if facts["simulated"] else f"the file {facts['file']}"
    parts = [
        f"<h1>EEG masked autoencoder: {html.escape(folder.name)}</h1>",
        f"<p class=note>{facts['windows']} windows of {facts['participants']} people from {html.escape(source)}; "
        f"{facts['train_windows']} for training, {facts['validation_windows']} for selection, {facts['test_windows']} "
        "of new people for the errors below.</p>",
        _comparison(study, done),
        _error_table(study, done),
        _real_table(done.get("real", {})),
    ]
    for title, path, words in made:
        picture = base64.b64encode(path.read_bytes()).decode()
        kind = "svg+xml" if path.suffix == ".svg" else "png"
        parts.append(
            f"<h2>{html.escape(title)}</h2><p class=note>{html.escape(words)}</p>"
            f'<img alt="{html.escape(title)}" src="data:image/{kind};base64,{picture}">'
        )
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(folder.name)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    path = folder / "report.html"
    partial = path.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, path)
    return path


def _comparison(study: Study, done: Mapping[str, Stage]) -> str:
    figures = study.comparison(done)
    step = figures["step"]
    unit = study.target.unit
    ratio = step["match_ratio"]
    reached = (
        "never reaches it" if ratio is None else f"reaches it after {ratio:.2f} of the updates that the other one took"
    )
    half = step["half_time_ratio"]
    sentences = [
        f"Best error of the model from scratch, all labels: {done['scratch-100']['best_error']:.1f} {unit} on the "
        f"validation people. The pretrained model {reached}.",
        "" if half is None else f"At half of that time its error is {half:.2f} of it.",
        f"Pretraining took {figures['pretrain_seconds']:.0f} s, fine-tuning {figures['finetune_seconds']:.0f} s.",
        f"Learning rates and dropped channels, chosen by validation: {_way(done['scratch-100'])} from scratch, "
        f"{_way(done['mae-100'])} pretrained.",
    ]
    return f"<p>{html.escape(' '.join(sentences))}</p>"


def _way(row: Stage) -> str:
    return f"{row['learning_rate']:g} and {100 * row['drop_channels']:g} %"


def _error_table(study: Study, done: Mapping[str, Stage]) -> str:
    rows = {"naive mean": done["linear"]["naive"], "ridge": done["linear"]["ridge"]}
    rows |= {f"probe of {start}": score for start, score in done["probe"].items()}
    rows |= {name: result["test"] for name, result in done.items() if "test" in result and name != "linear"}
    names = list(next(iter(rows.values())))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ["test people", *names])
    body = "".join(
        f"<tr><td>{html.escape(name)}</td>"
        + "".join(f"<td class=number>{score[key]:.2f}</td>" for key in names)
        + "</tr>"
        for name, score in sorted(rows.items(), key=lambda pair: pair[1][study.target.error])
    )
    return f"<h2>Errors on new people</h2><table><tr>{head}</tr>{body}</table>"


def _real_table(real: Stage) -> str:
    """Cue side and EOG proxy of a real recording from each start; empty where there was none."""
    if not real:
        return ""
    body = "".join(
        f"<tr><td>{html.escape(start.replace('_', ', '))}</td><td class=number>{real[f'cue_accuracy_{start}']:.2f}</td>"
        f"<td class=number>{real[f'proxy_r2_{start}']:.2f}</td></tr>"
        for start in real["cue"]
    )
    return (
        "<h2>Real EEG, each run left out in turn</h2><p class=note>One participant: nothing follows for other people, "
        "and the side of a cue is not gaze. The six temple channels are hidden from the models.</p>"
        "<table><tr><th>start</th><th>cue side, accuracy</th><th>EOG from a tenth of the labels, R²</th></tr>"
        f"{body}</table>"
    )


def draw(folder: Path, study: Study, done: Mapping[str, Stage]) -> list[tuple[str, Path, str]]:
    """Make every picture: (title, path, what it shows)."""
    curves = {name: Fitted.from_dict(row).curve for name, row in done.items() if "curve" in row}
    tuned = {name: curve for name, curve in curves.items() if name.endswith("-100")}
    few = {name: curve for name, curve in curves.items() if name.startswith(("scratch-", "mae-")) and name not in tuned}
    unit = f"validation error, {study.target.unit}"
    made = [
        (
            "Fine-tuning, all labels",
            pictures.learning_curves(folder / "curves.svg", tuned, unit),
            "Error on the validation people while training; dots mark the weights that were kept.",
        )
    ]
    if few:
        path = pictures.learning_curves(folder / "curves_few_labels.svg", few, unit)
        made.append(("Fine-tuning, fewer labels", path, "The same with a share of the labels, in per cent."))
    pretraining = {name: curve for name, curve in curves.items() if name.startswith(("pretrain", "paper"))}
    floors = {name: done[name]["interpolation_loss"] for name in pretraining}
    made.append(
        (
            "Pretraining",
            pictures.loss_curves(folder / "pretraining.svg", pretraining, floors),
            "Below the dashed line the model does better than joining the neighbouring samples of each channel.",
        )
    )
    made += _gaze_pictures(folder, study)
    return made


_FIXATIONS = 40
"""So many can be told apart in a picture of a path."""


def _gaze_pictures(folder: Path, study: Study) -> list[tuple[str, Path, str]]:
    """Predictions and relevance of the fine-tuned model on the test people."""
    model, rows = study.finetuned(), study.split.test
    relevance = channel_relevance(model, study.source, rows[:: max(1, len(rows) // 128)])
    maps = dict(zip(study.target.outputs, relevance, strict=True))
    made = [
        (
            "What the model uses",
            pictures.scalp_maps(folder / "relevance.png", maps, tuple(montage(HYDROCEL)), HYDROCEL),
            "Mean |gradient x input| of each channel; the head is seen from above, nose up.",
        )
    ]
    if study.data.name.task != "Position":
        return made
    truth, predicted = study.data.targets[rows], study.predict(model, rows)
    naive = np.repeat(study.data.targets[study.split.train].mean(0)[None], len(rows), 0)
    person = np.flatnonzero(study.data.participants[rows] == study.data.participants[rows][0])[:_FIXATIONS]
    shown = {"pretrained and fine-tuned": predicted, "naive mean": naive}
    order = np.arange(len(person), dtype=float)
    return [
        *made,
        (
            "Gaze on the screen",
            pictures.gaze_on_screen(folder / "gaze.svg", truth, shown),
            "Windows of new people: a line from where they looked to where the model says they did.",
        ),
        (
            "Gaze path of one new person",
            pictures.gaze_path(folder / "path.svg", order, predicted[person], truth[person], "fixation"),
            f"The first {len(person)} fixations, in order; dashed lines are the eye tracker's.",
        ),
    ]
