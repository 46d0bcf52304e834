"""`report.html`: a run as one file that works offline and can be mailed.

The pages are those of `turnsmith view`; only their data stand in the file. Nothing is fetched: the content security
policy of the file allows its own script and style by their hashes, images from data URLs, and nothing else.
"""

import base64
import hashlib
import io
import os
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from turnsmith.errors import UserError
from turnsmith.view.folder import is_run
from turnsmith.view.pick import pick_traces
from turnsmith.view.run import Run
from turnsmith.view.shape import to_json
from turnsmith.view.thumbs import IMAGE_TYPES, data_url, thumbnail

_STATIC = Path(__file__).parent / "static"
_IMAGE_BUDGET = 9 * 2**20
"""Bytes of images in a report (about a third more once encoded); above it they are compressed harder."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src '{script_hash}'; \
style-src '{style_hash}'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="app"></div>
<noscript><p>This report needs JavaScript; it loads nothing from the network.</p></noscript>
<script type="application/json" id="turnsmith-data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def write_report(run_folder: str | Path, traces: int = 10) -> Path:
    """Write `report.html` into a run folder: figures, learning curves, and traces to browse with their screenshots.

    Reads `report.json` ("summary": a list of `{"name", "value", "low", "high", "unit"}`), `metrics.jsonl` and `run.db`.

    Args:
        run_folder: the run; what cannot be read in it is said in the report.
        traces: how many traces to include.

    Returns:
        The path of the file.

    Raises:
        UserError: if this is not a run folder, or the file cannot be written.
    """
    folder = Path(run_folder)
    if not is_run(folder):
        raise UserError(f"{folder}: there is no run here (no config.json, metrics.jsonl or run.db).")
    run = Run(folder)
    try:
        page = _page(run.name, _data(run, traces))
    finally:
        run.close()
    path = folder / "report.html"
    partial = path.with_suffix(".html.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}).") from error
    return path


def _data(run: Run, count: int) -> dict[str, Any]:
    overview = run.overview()
    picks, pages = [], {}
    for row, group in pick_traces(run.rows.all(), count, run.database.pictured(), run.database.credited()):
        page = run.trace(row.id)
        if page is not None:
            page["row"]["group"] = group
            picks.append(page["row"])
            pages[row.id] = page
    chosen = {row["id"]: row for row in picks}
    for page in pages.values():  # other attempts only as far as the report has them
        page["attempts"] = [chosen[other["id"]] for other in page["attempts"] if other["id"] in chosen]
    overview["picks"] = picks
    return {"name": run.name, "overview": overview, "traces": pages, "images": _images(run, pages)}


def _images(run: Run, pages: dict[str, Any]) -> dict[str, dict[str, str]]:
    digests: dict[str, None] = {}
    for page in pages.values():
        observations = [turn["observation"] for turn in page["turns"]] + [page["final"] or {"images": []}]
        digests.update((digest, None) for observation in observations for digest in observation["images"])
    found = {digest: image for digest in digests if (image := run.database.image(digest)) is not None}
    total = sum(len(data) for _, data in found.values())
    if total > _IMAGE_BUDGET:
        found = {digest: _smaller(image, total) for digest, image in found.items()}
    return {
        digest: {"whole": data_url(*image), "small": data_url(*thumbnail(*image))}
        for digest, image in found.items()
        if image[0] in IMAGE_TYPES
    }


def _smaller(image: tuple[str, bytes], total: int) -> tuple[str, bytes]:
    """Compress again, harder the more there is; an image that is not readable stays as it is."""
    quality = 60 if total < 3 * _IMAGE_BUDGET else 40
    try:
        with Image.open(io.BytesIO(image[1])) as picture:
            picture = picture.convert("RGB")
            picture.thumbnail((1000, 2000))
            buffer = io.BytesIO()
            picture.save(buffer, "WEBP", quality=quality)
    except (OSError, ValueError, Image.DecompressionBombError):
        return image
    return ("image/webp", buffer.getvalue()) if len(buffer.getvalue()) < len(image[1]) else image


def _page(name: str, data: dict[str, Any]) -> str:
    script, style = (_STATIC / "viewer.js").read_text("ascii"), (_STATIC / "viewer.css").read_text("utf-8")
    return _PAGE.format(
        script_hash=_hash(script),
        style_hash=_hash(style),
        title=_escape(f"{name} · Turnsmith"),
        style=style,
        script=script,
        data=to_json(data).replace("<", "\\u003c"),  # so that no stored text can end the script element
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _escape(text: str) -> str:
    return escape(text)
