"""Export of recorded trials as a LeRobot data set, format v3.0 (images inside the parquet files, no videos).

    meta/info.json, meta/stats.json, meta/tasks.parquet, meta/episodes/chunk-000/file-000.parquet
    data/chunk-000/file-000.parquet

State and action are the gripper's seven numbers (x, y, z, yaw, tilt, left and right finger); the action is the
set-point. Frames are 12.5 a simulated second.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from turnsmith.errors import UserError
from turnsmith.runs.run import write_json
from turnsmith.worlds.tabletop.trial import FRAMES_A_SECOND, Film

NUMBERS = ("x", "y", "z", "yaw", "tilt", "left", "right")
IMAGE = "observation.images.top"
_CHUNK = "chunk-000/file-000.parquet"


@dataclass(frozen=True)
class RecordedTrial:
    """One episode: the task in words, its film, whether it succeeded."""

    instruction: str
    film: Film
    success: bool


def write_lerobot(trials: Sequence[RecordedTrial], folder: Path, fps: float = FRAMES_A_SECOND) -> Path:
    """Write the data set; returns its folder.

    Raises:
        UserError: if there is nothing to write, or the folder holds something already.
    """
    if not trials or not all(trial.film.frames for trial in trials):
        raise UserError("there are no recorded frames to export: film the trials.")
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: not empty. Give the data set a folder of its own.")
    instructions = list(dict.fromkeys(trial.instruction for trial in trials))
    columns = _frames(trials, instructions, fps)
    size = trials[0].film.frames[0].shape[0]
    features = _features(size)
    for name, table in (
        (f"data/{_CHUNK}", _data_table(columns, features)),
        (f"meta/episodes/{_CHUNK}", _episode_table(trials)),
        ("meta/tasks.parquet", _task_table(instructions)),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / name)
    total = len(columns["index"])
    info = {
        "codebase_version": "v3.0",
        "robot_type": "turnsmith_tabletop_gripper",
        "total_episodes": len(trials),
        "total_frames": total,
        "total_tasks": len(instructions),
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{len(trials)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
        "features": features,
    }
    write_json(folder / "meta" / "info.json", info)
    write_json(folder / "meta" / "stats.json", _stats(trials, columns))
    return folder


def _features(size: int) -> dict[str, Any]:
    vector = {"dtype": "float32", "shape": [len(NUMBERS)], "names": list(NUMBERS)}
    whole = {"dtype": "int64", "shape": [1], "names": None}
    return {
        IMAGE: {"dtype": "image", "shape": [size, size, 3], "names": ["height", "width", "channels"]},
        "observation.state": vector,
        "action": vector,
        "next.success": {"dtype": "bool", "shape": [1], "names": None},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), whole),
    }


def _frames(trials: Sequence[RecordedTrial], instructions: list[str], fps: float) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in _features(1)}
    for episode, trial in enumerate(trials):
        last = len(trial.film.frames) - 1
        for frame, image in enumerate(trial.film.frames):
            columns[IMAGE].append({"bytes": _png(image), "path": f"frame-{frame:06d}.png"})
            columns["observation.state"].append(trial.film.states[frame].tolist())
            columns["action"].append(trial.film.actions[frame].tolist())
            columns["next.success"].append(trial.success and frame == last)
            columns["timestamp"].append(frame / fps)
            columns["frame_index"].append(frame)
            columns["episode_index"].append(episode)
            columns["index"].append(len(columns["index"]))
            columns["task_index"].append(instructions.index(trial.instruction))
    return columns


def _data_table(columns: dict[str, list[Any]], features: dict[str, Any]) -> pa.Table:
    """The frames, with the schema note by which the `datasets` library knows that a column holds images."""
    kinds = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}
    known: dict[str, Any] = {}
    fields = []
    for name, feature in features.items():
        if feature["dtype"] == "image":
            fields.append(pa.field(name, pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
            known[name] = {"_type": "Image"}
            continue
        kind = kinds[feature["dtype"]]
        value: dict[str, Any] = {"dtype": feature["dtype"], "_type": "Value"}
        if feature["shape"][0] > 1:
            length = feature["shape"][0]
            fields.append(pa.field(name, pa.list_(kind, length)))
            known[name] = {"feature": value, "length": length, "_type": "List"}
        else:
            fields.append(pa.field(name, kind))
            known[name] = value
    schema = pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": known}})})
    return pa.table([pa.array(columns[field.name], field.type) for field in fields], schema=schema)


def _episode_table(trials: Sequence[RecordedTrial]) -> pa.Table:
    lengths = [len(trial.film.frames) for trial in trials]
    ends = np.cumsum(lengths)
    zeros = [0] * len(trials)
    return pa.table(
        {
            "episode_index": list(range(len(trials))),
            "tasks": [[trial.instruction] for trial in trials],
            "length": lengths,
            "data/chunk_index": zeros,
            "data/file_index": zeros,
            "dataset_from_index": (ends - lengths).tolist(),
            "dataset_to_index": ends.tolist(),
            "meta/episodes/chunk_index": zeros,
            "meta/episodes/file_index": zeros,
        }
    )


def _task_table(instructions: Sequence[str]) -> pa.Table:
    """task_index by instruction; the instruction is the index that pandas restores."""
    index = "__index_level_0__"
    table = pa.table({"task_index": pa.array(range(len(instructions)), pa.int64()), index: list(instructions)})
    column = {"name": None, "field_name": index, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = {
        "name": "task_index",
        "field_name": "task_index",
        "pandas_type": "int64",
        "numpy_type": "int64",
        "metadata": None,
    }
    note = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [number, column],
        "pandas_version": "2.2.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(note)})


def _stats(trials: Sequence[RecordedTrial], columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Least, greatest, mean and spread of every feature; of images by channel, in 0..1."""
    stats = {}
    for name, values in columns.items():
        if name == IMAGE:
            some = np.concatenate([trial.film.frames[:: max(1, len(trial.film.frames) // 8)] for trial in trials])
            channels = some.reshape(-1, 3).astype(float) / 255
            stats[name] = {key: value.reshape(3, 1, 1).tolist() for key, value in _four(channels).items()}
        else:
            array = np.asarray(values, float).reshape(len(values), -1)
            stats[name] = {key: value.tolist() for key, value in _four(array).items()}
        stats[name]["count"] = [len(values)]
    return stats


def _four(rows: np.ndarray) -> dict[str, np.ndarray]:
    return {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
