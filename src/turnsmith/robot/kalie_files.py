"""KALIE's own files: the collector's HDF5, the JSON that training reads, and the text that the model writes.

HDF5    group "entry_i": init_image, grasp_point, function_point, target_point, pre_contact_point,
        post_contact_point (points in pixels of the image)
JSON    {"entry_i": {"img": path, "points": "<JSON text: five keys to [x, y] in thousandths>",
                     "other": {"task": …, "objects": […], "prompt": …}}}
text    JSON of five keys to two strings of three digits, indented by four
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from turnsmith.errors import ParseError, UserError, require
from turnsmith.jsonl import parse_json
from turnsmith.runs.run import write_json
from turnsmith.worlds.tabletop.points import NAMES, SCALE, from_thousandths, to_thousandths

HDF5_NAMES = ("grasp_point", "function_point", "target_point", "pre_contact_point", "post_contact_point")
JSON_FILE = "data_jsonformat.json"
_ENTRY = re.compile(r"entry_(\d+)")


@dataclass(frozen=True)
class Entry:
    """One labelled image as it stands in KALIE's files.

    Attributes:
        rgb_HW3: uint8.
        points_52: pixels.
        task: the task's id.
        objects: names for synthesis.
        prompt: the instruction or the whole prompt.
        other: whatever else stood beside them, kept as it was.
    """

    rgb_HW3: np.ndarray
    points_52: np.ndarray
    task: str = ""
    objects: tuple[str, ...] = ()
    prompt: str = ""
    other: dict[str, Any] = field(default_factory=dict)


def target_text(points_52: np.ndarray, width: float, height: float) -> str:
    """What the model is to write: five keys to two strings of three digits, clipped to 000..999."""
    thousandths = to_thousandths(points_52, width, height)
    return json.dumps(
        {name: [f"{x:03d}", f"{y:03d}"] for name, (x, y) in zip(NAMES, thousandths, strict=True)}, indent=4
    )


def read_text(text: str, width: float, height: float) -> np.ndarray:
    """Keypoints (5, 2) in pixels from what a model wrote; text around the JSON is allowed.

    Raises:
        ParseError: if the five points are not there.
    """
    begin, end = text.find("{"), text.rfind("}")
    try:
        row = parse_json(text[begin : end + 1])
        points = np.array([[float(value) for value in row[name]] for name in NAMES])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ParseError(f"not KALIE's JSON of five points ({error})") from error
    if points.shape != (len(NAMES), 2) or not ((points >= 0) & (points <= SCALE)).all():
        raise ParseError("each point is two numbers from 0 to 999")
    return from_thousandths(points, width, height)


def write_json_data(entries: Sequence[Entry], folder: Path) -> Path:
    """Write images and JSON as KALIE's exporter does; returns the path of the JSON file."""
    (folder / "imgs").mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = {}
    for index, entry in enumerate(entries):
        path = folder / "imgs" / f"entry_{index}.png"
        Image.fromarray(entry.rgb_HW3).save(path)
        height, width = entry.rgb_HW3.shape[:2]
        scaled = np.rint(entry.points_52 * SCALE / np.array([width, height])).astype(int)
        points = {name: [int(x), int(y)] for name, (x, y) in zip(NAMES, scaled, strict=True)}
        other = {"task": entry.task, "objects": list(entry.objects), "prompt": entry.prompt, **entry.other}
        rows[f"entry_{index}"] = {"img": f"imgs/{path.name}", "points": json.dumps(points, indent=4), "other": other}
    write_json(folder / JSON_FILE, rows)
    return folder / JSON_FILE


def read_json_data(path: Path) -> list[Entry]:
    """Read KALIE's JSON and the images that it names (relative to it, or absolute).

    Raises:
        UserError: if the file or an entry is not as it should be.
    """
    try:
        rows = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(rows, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as KALIE's data ({error}).") from error
    return [_entry(path, name, row) for name, row in sorted(rows.items(), key=lambda pair: _number(path, pair[0]))]


def _entry(path: Path, name: str, row: Any) -> Entry:
    try:
        image = path.parent / row["img"]
        with Image.open(image) as opened:
            rgb = np.asarray(opened.convert("RGB"))
        points = parse_json(row["points"]) if isinstance(row["points"], str) else row["points"]
        thousandths = np.array([points[key] for key in NAMES], float)
        if thousandths.shape != (len(NAMES), 2):
            raise ValueError("each point is [x, y]")
        other = dict(row.get("other", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}, {name}: {error}. It needs img, points (five keys to [x, y]) and other.") from error
    prompt = other.pop("prompt", other.pop("prompts", ""))
    objects = tuple(other.pop("objects", ()))
    pixels = from_thousandths(thousandths, rgb.shape[1], rgb.shape[0])
    return Entry(rgb, pixels, other.pop("task", ""), objects, prompt if isinstance(prompt, str) else prompt[0], other)


def write_hdf5(entries: Sequence[Entry], path: Path) -> Path:
    """Write the collector's file."""
    require("h5py", "robot")
    import h5py

    with h5py.File(path, "w") as file:
        for index, entry in enumerate(entries):
            group = file.create_group(f"entry_{index}")
            group.create_dataset("init_image", data=entry.rgb_HW3, compression="gzip")
            for name, point in zip(HDF5_NAMES, entry.points_52, strict=True):
                group.create_dataset(name, data=point)
    return path


def read_hdf5(path: Path, task: str = "", objects: Sequence[str] = (), prompt: str = "") -> list[Entry]:
    """Read the collector's file; what it does not say of the task is given.

    Raises:
        UserError: if the file is not one of the collector's.
    """
    require("h5py", "robot")
    import h5py

    entries = []
    try:
        with h5py.File(path, "r") as file:
            for name in sorted(file, key=lambda key: _number(path, str(key))):
                group: Any = file[name]
                points = np.array([np.asarray(group[key], float) for key in HDF5_NAMES])
                entries.append(Entry(np.asarray(group["init_image"]), points, task, tuple(objects), prompt))
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: not a file of KALIE's collector ({error}).") from error
    return entries


def _number(path: Path, name: str) -> int:
    match = _ENTRY.fullmatch(name)
    if match is None:
        raise UserError(f"{path}: {name!r} is not an entry; they are called entry_0, entry_1, ….")
    return int(match[1])
