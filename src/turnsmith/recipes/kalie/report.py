"""`report.html` of a run: success beside the paper's, galleries of variants, predicted against true points, films."""

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from turnsmith.recipes.kalie.config import ARMS, Config
from turnsmith.recipes.kalie.evaluation import test_tasks
from turnsmith.recipes.kalie.learning import generator_of, labelled_images
from turnsmith.robot.synthesis import synthesize
from turnsmith.runs.run import Run
from turnsmith.worlds.tabletop.environment import look, scene_of
from turnsmith.worlds.tabletop.points import NAMES
from turnsmith.worlds.tabletop.tasks import SPECS, TableTask
from turnsmith.worlds.tabletop.trial import COLOURS, draw_points

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}img{max-width:100%}
table{border-collapse:collapse}td,th{padding:.25rem .9rem .25rem 0;border-bottom:1px solid #ddd;text-align:left}
td.number{text-align:right;font-variant-numeric:tabular-nums}p.note{color:#57606a;max-width:50rem}
figure{display:inline-block;margin:0 .8rem .8rem 0}figcaption{font-size:13px;color:#57606a}
.dot{display:inline-block;width:.75em;height:.75em;border-radius:50%;margin:0 .3em 0 .9em}
"""


def write_report(
    config: Config, run: Run, summary: Sequence[dict[str, Any]], errors: dict[str, dict[str, Any]]
) -> Path:
    """Draw everything and write FOLDER/report.html, one file that works offline; returns its path."""
    legend = "".join(
        f'<span class=dot style="background:{colour}"></span>{name}'
        for name, colour in zip(NAMES, COLOURS, strict=True)
    )
    parts = [
        f"<h1>KALIE on the table top: {html.escape(run.folder.name)}</h1>",
        f"<p class=note>{config.images} labelled images of each task, one object set; trials on geometry sets "
        f"{', '.join(map(str, config.sets))} with other topology, textures and light. Open loop after one look.</p>",
        _success_table(config, summary),
        _error_table(errors),
        "<h2>Labelled images and their variants</h2>",
        f"<p class=note>Left: an original with its five clicks. {legend}</p>",
        *(_picture(_gallery(config, run, task), task) for task in config.tasks),
        *_predictions(config, run, errors),
        *_films(config, run),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(run.folder.name)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    path = run.folder / "report.html"
    partial = path.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, path)
    return path


def _success_table(config: Config, summary: Sequence[dict[str, Any]]) -> str:
    cells = {(row["arm"], row["task"]): row for row in summary}
    columns = ("all", *config.tasks)
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in ("", *columns))
    body = []
    for arm in dict.fromkeys(row["arm"] for row in summary):
        line = [f"<td>{html.escape(arm)}</td>"]
        for task in columns:
            row = cells.get((arm, task))
            text = (
                ""
                if row is None
                else f"{100 * row['value']:.0f} <small>{100 * row['low']:.0f}–{100 * row['high']:.0f}</small>"
            )
            line.append(f"<td class=number>{text}</td>")
        body.append(f"<tr>{''.join(line)}</tr>")
    for index, name in enumerate(("VoxPoser", "MOKA (GPT-4V)", "KALIE")):
        counts = [SPECS[TableTask(task)].paper[index] for task in config.tasks]
        values = [sum(counts) / len(counts), *counts]
        line = "".join(f"<td class=number>{100 * value / 15:.0f}</td>" for value in values)
        body.append(f"<tr><td>{name}, in the paper</td>{line}</tr>")
    return (
        "<h2>Success, per cent</h2><p class=note>With Wilson's 95 % intervals. The paper's rows are 15 trials a task "
        f"on a real arm with a 17B model: beside, not against, ours.</p><table><tr>{head}</tr>{''.join(body)}</table>"
    )


def _error_table(errors: dict[str, dict[str, Any]]) -> str:
    if not errors:
        return ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("arm, task", "pixels", "squared", *NAMES))
    body = "".join(
        f"<tr><td>{html.escape(name.replace('/', ', '))}</td><td class=number>{row['pixels']:.1f}</td>"
        f"<td class=number>{row['squared']:.0f}</td>"
        + "".join(f"<td class=number>{np.hypot(*row['by_point'][point]):.1f}</td>" for point in NAMES)
        + "</tr>"
        for name, row in errors.items()
    )
    return (
        "<h2>Keypoint errors on unseen geometry</h2><p class=note>Mean distance in pixels of a 224-pixel image, and "
        "KALIE's squared error of coordinates that go from 0 to 1,000; tied points are as good as the point that they "
        f"are tied to, and waypoints forgive more than grasps do.</p><table><tr>{head}</tr>{body}</table>"
    )


def _gallery(config: Config, run: Run, task: str, variants: int = 5) -> Image.Image:
    """An original and some of its variants, as the first arm with synthesis makes them."""
    original = labelled_images(config, run.folder / "made", task)[0]
    arm = next((arm for arm in config.arms if ARMS[arm].synthesis is not None), "composite")
    settings = ARMS[arm].synthesis
    assert settings is not None
    made = synthesize([original], settings, generator_of(config), config.seed)[:variants]
    return _row([draw_points(image.rgb_HW3, image.points_52) for image in (original, *made)])


def _predictions(config: Config, run: Run, errors: dict[str, dict[str, Any]]) -> list[str]:
    """Predicted (dots) against true (rings) keypoints on the first test scenes, an arm a row."""
    parts = [
        "<h2>Predicted and true keypoints on unseen geometry</h2><p class=note>Dots are predicted, rings true.</p>"
    ]
    for task in config.tasks:
        scenes = test_tasks(config, task, config.trials)
        step = max(1, len(scenes) // 5)
        for arm in config.trial_arms:
            found = errors[f"{arm}/{task}"]["found"]
            rows = []
            for index in list(range(0, len(scenes), step))[:5]:
                seen = look(*scene_of(scenes[index]), run.folder / "seen")
                rows.append(draw_points(seen.rgb_HW3, np.array(found[index]), seen.oracle_52))
            parts.append(_picture(_row(rows), f"{task}, {arm}"))
    return parts


def _films(config: Config, run: Run) -> list[str]:
    """Films of trials, those of every policy on the same scenes side by side."""
    parts = ["<h2>Trials</h2>"]
    for summary in run.store.summaries():
        trace = run.store.get(summary.id) if summary.phase in _filmed_phases(config) else None
        if trace is None or trace.final is None or not trace.final.images:
            continue
        data = run.store.image(trace.final.images[0].digest).data or b""
        text = f"{summary.phase}, {trace.task.id}: {trace.final.text}"
        parts.append(
            f'<figure><img width=224 alt="{html.escape(text)}" '
            f'src="data:image/webp;base64,{base64.b64encode(data).decode()}"><figcaption>{html.escape(text)}</figcaption>'
            "</figure>"
        )
    return parts


def _filmed_phases(config: Config) -> set[str]:
    return {"oracle", "composite", "strong_colour", "standard", "rl", *config.trial_arms}


def _row(pictures: Sequence[Image.Image]) -> Image.Image:
    width = sum(picture.width + 4 for picture in pictures)
    row = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    at = 0
    for picture in pictures:
        row.paste(picture, (at, 0))
        at += picture.width + 4
    return row


def _picture(picture: Image.Image, words: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80)
    text = html.escape(words)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<figure><img alt="{text}" src="data:image/webp;base64,{data}"><figcaption>{text}</figcaption></figure>'
