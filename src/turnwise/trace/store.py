"""The store of a run: one SQLite file that holds traces, turns, verdicts, labels and images.

One commit a trace: when `append` returns, a `kill -9` loses nothing of that trace, and a reader never sees half of one.
WAL mode lets any number of readers (the viewer, an analysis) look while writers append; writers in other processes wait
for each other. Images are stored once by content. SQLite was measured against parquet, Lance, DuckDB and plain files:
as fast to append as any, and a hundred times faster than the column stores at random reads.

`synchronous=NORMAL`: safe against the death of the process at any instant; a power cut may lose the last commits, never
the consistency of the file.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turnwise.errors import UserError
from turnwise.trace import codec
from turnwise.trace.types import ORACLE, ImageRef, Label, Outcome, Thread, Trace, Turn, Verdict

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE images (digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE traces (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    task_id TEXT NOT NULL,
    environment TEXT NOT NULL,
    site TEXT NOT NULL,
    split TEXT NOT NULL,
    phase TEXT NOT NULL,
    iteration INTEGER,
    outcome TEXT NOT NULL,
    policy TEXT NOT NULL,
    seed INTEGER NOT NULL,
    created_at REAL NOT NULL,
    turn_count INTEGER NOT NULL,
    head TEXT NOT NULL
);
CREATE INDEX traces_by_task ON traces (task_id);
CREATE INDEX traces_by_phase ON traces (phase, iteration);
CREATE TABLE turns (
    trace_seq INTEGER NOT NULL REFERENCES traces (seq) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    thread INTEGER NOT NULL,
    reward REAL NOT NULL,
    value REAL,
    advantage REAL,
    body TEXT NOT NULL,
    tokens BLOB NOT NULL,
    PRIMARY KEY (trace_seq, position)
);
CREATE TABLE verdicts (
    trace_seq INTEGER NOT NULL REFERENCES traces (seq) ON DELETE CASCADE,
    judge TEXT NOT NULL,
    reward REAL NOT NULL,
    reason TEXT NOT NULL,
    turn INTEGER
);
CREATE INDEX verdicts_by_trace ON verdicts (trace_seq);
CREATE TABLE labels (
    trace_id TEXT NOT NULL,
    turn INTEGER,
    correct INTEGER NOT NULL,
    note TEXT NOT NULL,
    created_at REAL NOT NULL
);
CREATE INDEX labels_by_trace ON labels (trace_id);
"""

# MIGRATIONS[n] turns a store of version n into one of version n + 1, inside one transaction.
_MIGRATIONS: dict[int, str] = {}


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a list of traces: what can be shown and filtered without reading turns.

    Attributes:
        seq: the order of appending, from 1.
        reward: the oracle's reward, or None.
        instruction: the task's instruction.
        other fields: as in `Trace` and its task; `site` is `task.params["site"]`, `phase` and `iteration` come from
            `trace.info`.
    """

    seq: int
    id: str
    task_id: str
    instruction: str
    environment: str
    site: str
    split: str
    phase: str
    iteration: int | None
    outcome: Outcome
    policy: str
    seed: int
    created_at: float
    turn_count: int
    reward: float | None


class Store:
    """The traces of one run. Safe to share between threads; open it once per process that needs it."""

    def __init__(self, path: str | Path, read_only: bool = False) -> None:
        """Open the store at `path`, creating it (unless `read_only`) when it is not there.

        Raises:
            UserError: if the file is missing (read-only), is not a store, or was written by a newer Turnwise.
        """
        self.path = Path(path)
        self.read_only = read_only
        self._lock = threading.RLock()
        if read_only and not self.path.exists():
            raise UserError(f"{self.path}: there is no run here. `turnwise traces ls RUN` takes a folder below runs/.")
        mode = "ro" if read_only else "rwc"
        try:
            self._db = sqlite3.connect(
                f"{self.path.resolve().as_uri()}?mode={mode}",
                uri=True,
                timeout=60,
                isolation_level=None,
                check_same_thread=False,
            )
            self._db.execute("PRAGMA foreign_keys=ON")
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
            self._prepare()
        except sqlite3.Error as error:
            raise UserError(f"{self.path}: cannot be opened as a run ({error}).") from error

    def _prepare(self) -> None:
        """Create the tables of a new store, or bring an older store up to date."""
        if not self.read_only:
            with self._transaction():  # two processes may create the store at the same instant
                if not self._has_meta():
                    for statement in _SCHEMA.split(";"):
                        self._db.execute(statement)
                    self._db.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        elif not self._has_meta():
            raise UserError(f"{self.path}: this SQLite file is not a Turnwise run.")
        version = self._version()
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{self.path}: written by a newer Turnwise (store version {version}, this one reads {SCHEMA_VERSION}). "
                "Upgrade with: pip install -U turnwise"
            )
        if version < SCHEMA_VERSION and self.read_only:
            raise UserError(
                f"{self.path}: store version {version} is older than {SCHEMA_VERSION}. "
                f"Open it once for writing to migrate it: turnwise resume {self.path.parent}"
            )
        while version < SCHEMA_VERSION:
            with self._transaction():
                for statement in _MIGRATIONS[version].split(";"):
                    self._db.execute(statement)
                version += 1
                self._db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version),))

    def _has_meta(self) -> bool:
        row = self._db.execute("SELECT 1 FROM sqlite_master WHERE type='table' AND name='meta'").fetchone()
        return row is not None

    def _version(self) -> int:
        return int(self._db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()[0])

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db, self._lock)

    def close(self) -> None:
        """Close the file. What was acknowledged is on disk whether or not this is called."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing

    def append(self, trace: Trace) -> int:
        """Write one trace with its images in one commit; when this returns, the trace is safe.

        Returns:
            The trace's sequence number, from 1.

        Raises:
            UserError: if a trace of this id is there already, an image has neither bytes nor a stored copy, or the
                disk is full.
        """
        return self.append_many((trace,))[0]

    def append_many(self, traces: Sequence[Trace]) -> list[int]:
        """Write several traces in one commit: all of them or none. Arguments and errors as in `append`."""
        try:
            with self._transaction():
                return [self._insert(trace) for trace in traces]
        except sqlite3.IntegrityError as error:
            raise UserError(f"{self.path}: a trace of this id is already stored ({error}).") from error
        except sqlite3.OperationalError as error:
            raise UserError(f"{self.path}: could not write ({error}). What was stored before is intact.") from error

    def _insert(self, trace: Trace) -> int:
        observations = [turn.observation for turn in trace.turns] + ([trace.final] if trace.final else [])
        self._put_images(image for observation in observations for image in observation.images)
        head = {
            "task": codec.task_to_json(trace.task),
            "final": None if trace.final is None else codec.observation_to_json(trace.final),
            "threads": [
                [thread.id, thread.parent, thread.spawned_at, thread.joined_at, thread.status]
                for thread in trace.threads
            ],
            "info": dict(trace.info),
        }
        cursor = self._db.execute(
            "INSERT INTO traces (id, task_id, environment, site, split, phase, iteration, outcome, policy, seed,"
            " created_at, turn_count, head) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                trace.id,
                trace.task.id,
                trace.task.environment,
                str(trace.task.params.get("site", "")),
                trace.task.split,
                str(trace.info.get("phase", "")),
                trace.info.get("iteration"),
                trace.outcome.value,
                trace.policy,
                trace.seed,
                trace.created_at,
                len(trace.turns),
                _json(head),
            ),
        )
        seq = cursor.lastrowid
        assert seq is not None
        self._db.executemany(
            "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                (seq, position, turn.thread, turn.reward, turn.value, turn.advantage, _turn_body(turn), tokens)
                for position, turn in enumerate(trace.turns)
                for tokens in (codec.pack_tokens(turn.action),)
            ),
        )
        self._insert_verdicts(seq, trace.verdicts)
        return seq

    def _put_images(self, images: Iterable[ImageRef]) -> None:
        for image in images:
            if image.data is not None:
                self._db.execute(
                    "INSERT OR IGNORE INTO images VALUES (?, ?, ?)", (image.digest, image.media_type, image.data)
                )
            elif self._db.execute("SELECT 1 FROM images WHERE digest = ?", (image.digest,)).fetchone() is None:
                raise UserError(f"image {image.digest[:12]} has no bytes and is not in {self.path}.")

    def _insert_verdicts(self, seq: int, verdicts: Iterable[Verdict]) -> None:
        self._db.executemany(
            "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?)",
            ((seq, verdict.judge, verdict.reward, verdict.reason, verdict.turn) for verdict in verdicts),
        )

    def add_verdicts(self, trace_id: str, verdicts: Sequence[Verdict]) -> None:
        """Append verdicts to a stored trace; `Trace.reward` reads a judge's last one.

        Raises:
            UserError: if there is no such trace.
        """
        with self._transaction():
            self._insert_verdicts(self._seq(trace_id), verdicts)

    def set_credit(
        self, trace_id: str, values: Sequence[float | None] | None, advantages: Sequence[float | None] | None
    ) -> None:
        """Write V(s) and the advantage of each turn of a stored trace; None leaves that column as it is.

        Raises:
            UserError: if there is no such trace, or the number of values is not its number of turns.
        """
        with self._transaction():
            seq = self._seq(trace_id)
            count = self._db.execute("SELECT turn_count FROM traces WHERE seq = ?", (seq,)).fetchone()[0]
            for column, numbers in (("value", values), ("advantage", advantages)):
                if numbers is None:
                    continue
                if len(numbers) != count:
                    raise UserError(f"trace {trace_id} has {count} turns, but {len(numbers)} {column}s were given.")
                self._db.executemany(
                    f"UPDATE turns SET {column} = ? WHERE trace_seq = ? AND position = ?",
                    ((number, seq, position) for position, number in enumerate(numbers)),
                )

    def add_label(self, label: Label) -> None:
        """Store a person's mark.

        Raises:
            UserError: if there is no such trace.
        """
        with self._transaction():
            self._seq(label.trace_id)
            self._db.execute(
                "INSERT INTO labels VALUES (?, ?, ?, ?, ?)",
                (label.trace_id, label.turn, int(label.correct), label.note, label.created_at),
            )

    # Reading

    def _seq(self, trace_id: str) -> int:
        row = self._db.execute("SELECT seq FROM traces WHERE id = ?", (trace_id,)).fetchone()
        if row is None:
            raise UserError(f"{self.path}: there is no trace {trace_id!r}. List them with: turnwise traces ls")
        return row[0]

    def get(self, trace_id: str) -> Trace:
        """Read one trace; its images are references without bytes (see `image`).

        Raises:
            UserError: if there is no such trace.
        """
        with self._lock:
            return self._read(self._seq(trace_id))

    def _read(self, seq: int) -> Trace:
        trace_id, outcome, policy, seed, created_at, head = self._db.execute(
            "SELECT id, outcome, policy, seed, created_at, head FROM traces WHERE seq = ?", (seq,)
        ).fetchone()
        turns = self._db.execute(
            "SELECT thread, reward, value, advantage, body, tokens FROM turns WHERE trace_seq = ? ORDER BY position",
            (seq,),
        ).fetchall()
        verdicts = self._db.execute(
            "SELECT judge, reward, reason, turn FROM verdicts WHERE trace_seq = ? ORDER BY rowid", (seq,)
        ).fetchall()
        fields = json.loads(head)
        return Trace(
            id=trace_id,
            task=codec.task_from_json(fields["task"]),
            turns=tuple(_turn_from_row(*row) for row in turns),
            outcome=Outcome(outcome),
            verdicts=tuple(Verdict(*row) for row in verdicts),
            policy=policy,
            seed=seed,
            created_at=created_at,
            final=None if fields["final"] is None else codec.observation_from_json(fields["final"]),
            threads=tuple(Thread(*row) for row in fields["threads"]),
            info=fields["info"],
        )

    def summaries(
        self,
        *,
        phase: str | None = None,
        iteration: int | None = None,
        outcome: Outcome | None = None,
        site: str | None = None,
        task_id: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Summary]:
        """List traces in the order of appending, filtered by equality, without reading their turns."""
        where, values = _where(phase=phase, iteration=iteration, outcome=outcome, site=site, task_id=task_id)
        query = (
            "SELECT seq, id, task_id, json_extract(head, '$.task.instruction'), environment, site, split, phase,"
            " iteration, outcome, policy, seed, created_at, turn_count,"
            " (SELECT reward FROM verdicts WHERE trace_seq = seq AND judge = ? AND turn IS NULL"
            "  ORDER BY rowid DESC LIMIT 1)"
            f" FROM traces {where} ORDER BY seq LIMIT ? OFFSET ?"
        )
        with self._lock:
            rows = self._db.execute(query, (ORACLE, *values, -1 if limit is None else limit, offset)).fetchall()
        summaries = []
        for row in rows:
            fields = list(row)
            fields[9] = Outcome(row[9])
            if fields[9] is Outcome.INFRA_ERROR:
                fields[14] = None
            summaries.append(Summary(*fields))
        return summaries

    def traces(self, **filters: Any) -> Iterator[Trace]:
        """Read whole traces one at a time, in the order of appending. Filters as in `summaries`."""
        for summary in self.summaries(**filters):
            with self._lock:
                yield self._read(summary.seq)

    def count(self, **filters: Any) -> int:
        """How many traces match (filters as in `summaries`, without limit)."""
        where, values = _where(**filters)
        with self._lock:
            return self._db.execute(f"SELECT count(*) FROM traces {where}", values).fetchone()[0]

    def image(self, digest: str) -> ImageRef:
        """Fetch an image with its bytes.

        Raises:
            UserError: if it is not in the store.
        """
        with self._lock:
            row = self._db.execute("SELECT media_type, data FROM images WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise UserError(f"{self.path}: there is no image {digest!r}.")
        return ImageRef(digest, row[0], row[1])

    def labels(self, trace_id: str | None = None) -> list[Label]:
        """People's marks, oldest first; of one trace or of all."""
        query = "SELECT trace_id, correct, turn, note, created_at FROM labels"
        with self._lock:
            if trace_id is None:
                rows = self._db.execute(f"{query} ORDER BY rowid").fetchall()
            else:
                rows = self._db.execute(f"{query} WHERE trace_id = ? ORDER BY rowid", (trace_id,)).fetchall()
        return [Label(row[0], bool(row[1]), *row[2:]) for row in rows]


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when anything is raised; one at a time within the process."""

    def __init__(self, db: sqlite3.Connection, lock: threading.RLock) -> None:
        self._db, self._lock = db, lock

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._db.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        finally:
            self._lock.release()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _turn_body(turn: Turn) -> str:
    return _json(
        {
            "observation": codec.observation_to_json(turn.observation),
            "action": codec.action_to_json(turn.action),
            "seconds": [turn.act_seconds, turn.env_seconds],
            "info": dict(turn.info),
        }
    )


def _turn_from_row(
    thread: int, reward: float, value: float | None, advantage: float | None, body: str, tokens: bytes
) -> Turn:
    fields = json.loads(body)
    act_seconds, env_seconds = fields["seconds"]
    return Turn(
        observation=codec.observation_from_json(fields["observation"]),
        action=codec.action_from_json(fields["action"], tokens),
        reward=reward,
        value=value,
        advantage=advantage,
        thread=thread,
        act_seconds=act_seconds,
        env_seconds=env_seconds,
        info=fields["info"],
    )


def _where(**filters: Any) -> tuple[str, list[Any]]:
    given = {column: value for column, value in filters.items() if value is not None}
    unknown = set(given) - {"phase", "iteration", "outcome", "site", "task_id"}
    if unknown:
        raise ValueError(f"unknown filter {sorted(unknown)}")
    clause = " AND ".join(f"{column} = ?" for column in given)
    return (f"WHERE {clause}" if clause else ""), [str(v) if isinstance(v, Outcome) else v for v in given.values()]
