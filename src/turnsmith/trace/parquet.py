"""A run as a folder of parquet files, for DuckDB, pandas, Hugging Face datasets and clusters. There is no way back.

`traces.parquet`, `turns.parquet` and `verdicts.parquet` share the trace's id; `images.parquet`, on request, holds each
image once by digest. Free-form parts (params, info, arguments) are JSON text: their shape differs from row to row,
which columns cannot follow. Lone surrogates become U+FFFD, because parquet text is UTF-8.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from turnsmith.errors import UserError
from turnsmith.trace.rows import observations_of
from turnsmith.trace.store import Store
from turnsmith.trace.types import Observation, Trace, Turn

_TEXT, _JSON, _REAL, _INT = pa.string(), pa.string(), pa.float64(), pa.int64()

TRACES = pa.schema(
    {
        "id": _TEXT,
        "task_id": _TEXT,
        "instruction": _TEXT,
        "environment": _TEXT,
        "site": _TEXT,
        "split": _TEXT,
        "phase": _TEXT,
        "iteration": _INT,
        "params": _JSON,
        "provenance": _JSON,
        "hidden": _JSON,  # null unless asked for
        "outcome": _TEXT,
        "reward": _REAL,  # the oracle's; null where it never judged, or infrastructure failed
        "answer": _TEXT,
        "policy": _TEXT,
        "seed": _INT,
        "created_at": _REAL,  # seconds since the epoch, UTC
        "turn_count": _INT,
        "final": _TEXT,
        "final_images": pa.list_(_TEXT),
        "threads": _JSON,
        "info": _JSON,
    }
)
TURNS = pa.schema(
    {
        "trace_id": _TEXT,
        "position": _INT,
        "thread": _INT,
        "observation": _TEXT,
        "observation_error": _TEXT,
        "observation_info": _JSON,
        "images": pa.list_(_TEXT),  # digests
        "action": _TEXT,
        "call": _TEXT,  # its name; null where the action did not parse
        "arguments": _JSON,
        "action_error": _TEXT,
        "stop": _TEXT,
        "reward": _REAL,
        "value": _REAL,  # by the learner that was last here, as is the advantage
        "advantage": _REAL,
        "credits": pa.list_(
            pa.struct({"learner": _TEXT, "iteration": _INT, "value": _REAL, "advantage": _REAL})
        ),  # by all learners, the latest last
        "prompt_ids": pa.list_(pa.int32()),
        "token_ids": pa.list_(pa.int32()),
        "logprobs": pa.list_(_REAL),
        "sampled": pa.list_(pa.bool_()),
        "act_seconds": _REAL,
        "env_seconds": _REAL,
        "info": _JSON,
    }
)
VERDICTS = pa.schema({"trace_id": _TEXT, "judge": _TEXT, "reward": _REAL, "reason": _TEXT, "turn": _INT})
IMAGES = pa.schema({"digest": _TEXT, "media_type": _TEXT, "data": pa.binary()})

_TRACES_A_GROUP = 200
_IMAGES_A_GROUP = 500

Row = dict[str, Any]


def export_parquet(store: Store, folder: Path, images: bool = False, hidden: bool = False, **filters: Any) -> int:
    """Write the traces of a store as parquet files, replacing those in `folder` when all are written.

    Args:
        store: where they are.
        folder: it is created when missing.
        images: whether to write `images.parquet` too.
        hidden: whether the tasks' hidden fields go in.
        filters: as in `Store.summaries`.

    Returns:
        How many traces were written.

    Raises:
        UserError: if the folder cannot be written; files that were there before are then intact.
    """
    schemas = {"traces": TRACES, "turns": TURNS, "verdicts": VERDICTS} | ({"images": IMAGES} if images else {})
    files: list[_File] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [_File(folder / f"{name}.parquet", schema) for name, schema in schemas.items()]
        count = _write(store, files, hidden, filters)
        for file in files:
            file.finish()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder}: could not write ({reason}). What was there before is intact.") from error
    finally:
        for file in files:
            file.discard()
    return count


def _write(store: Store, files: "list[_File]", hidden: bool, filters: Mapping[str, Any]) -> int:
    traces, turns, verdicts, *rest = files
    count, seen = 0, set()
    for trace in store.traces(**filters):
        count += 1
        traces.add([_trace_row(trace, hidden)])
        turns.add(_turn_row(trace.id, position, turn) for position, turn in enumerate(trace.turns))
        verdicts.add(
            {"trace_id": trace.id, "judge": v.judge, "reward": v.reward, "reason": v.reason, "turn": v.turn}
            for v in trace.verdicts
        )
        for images in rest:
            digests = {image.digest for observation in observations_of(trace) for image in observation.images} - seen
            seen |= digests
            for digest in sorted(digests):
                image = store.image(digest)
                images.add([{"digest": digest, "media_type": image.media_type, "data": image.data}])
                images.flush(_IMAGES_A_GROUP)
        if count % _TRACES_A_GROUP == 0:
            for file in files:
                file.flush()
    return count


class _File:
    """A parquet file that takes its name when it is finished."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}")
        compression = "none" if schema is IMAGES else "zstd"
        self._writer = pq.ParquetWriter(self._temporary, schema, compression=compression)
        self._rows: list[Row] = []

    def add(self, rows: Iterable[Row]) -> None:
        self._rows += ({key: _clean(value) for key, value in row.items()} for row in rows)

    def flush(self, at_least: int = 1) -> None:
        if len(self._rows) >= at_least:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []

    def finish(self) -> None:
        self.flush()
        self._writer.close()
        os.replace(self._temporary, self._path)

    def discard(self) -> None:
        if self._temporary.exists():
            try:
                self._writer.close()
            except OSError:
                pass  # the disk is full: it is going away
            self._temporary.unlink()


def _clean(value: object) -> object:
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if isinstance(value, str) else value


def _trace_row(trace: Trace, hidden: bool) -> Row:
    task, iteration = trace.task, trace.info.get("iteration")
    return {
        "id": trace.id,
        "task_id": task.id,
        "instruction": task.instruction,
        "environment": task.environment,
        "site": str(task.params.get("site", "")),
        "split": task.split,
        "phase": str(trace.info.get("phase", "")),
        "iteration": iteration if isinstance(iteration, int) else None,
        "params": _json(task.params),
        "provenance": _json(task.provenance),
        "hidden": _json(task.hidden) if hidden else None,
        "outcome": trace.outcome.value,
        "reward": trace.reward(),
        "answer": trace.answer,
        "policy": trace.policy,
        "seed": trace.seed,
        "created_at": trace.created_at,
        "turn_count": len(trace.turns),
        "final": None if trace.final is None else trace.final.text,
        "final_images": [] if trace.final is None else _digests(trace.final),
        "threads": json.dumps([[t.id, t.parent, t.spawned_at, t.joined_at, t.status, t.delay] for t in trace.threads]),
        "info": _json(trace.info),
    }


def _turn_row(trace_id: str, position: int, turn: Turn) -> Row:
    action = turn.action
    return {
        "trace_id": trace_id,
        "position": position,
        "thread": turn.thread,
        "observation": turn.observation.text,
        "observation_error": turn.observation.error,
        "observation_info": _json(turn.observation.info),
        "images": _digests(turn.observation),
        "action": action.text,
        "call": None if action.call is None else action.call.name,
        "arguments": None if action.call is None else _json(action.call.arguments),
        "action_error": action.error,
        "stop": action.stop.value,
        "reward": turn.reward,
        "value": turn.value,
        "advantage": turn.advantage,
        "credits": [{**asdict(credit), "learner": _clean(credit.learner)} for credit in turn.credits],
        "prompt_ids": action.prompt_ids,
        "token_ids": action.token_ids,
        "logprobs": action.logprobs,
        "sampled": action.sampled,
        "act_seconds": turn.act_seconds,
        "env_seconds": turn.env_seconds,
        "info": _json(turn.info),
    }


def _digests(observation: Observation) -> list[str]:
    return [image.digest for image in observation.images]


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), ensure_ascii=False)
