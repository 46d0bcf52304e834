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
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError
from turnsmith.trace import codec
from turnsmith.trace.rows import (
    INSERT_CREDIT,
    INSERT_TRACE,
    INSERT_TURN,
    INSERT_VERDICT,
    TEXT,
    Row,
    credit_row,
    observations_of,
    text_bytes,
    trace_rows,
    turn_from_row,
    verdict_row,
)
from turnsmith.trace.schema import SCHEMA_VERSION, credits_query, open_database, transaction
from turnsmith.trace.types import ORACLE, Credit, ImageRef, Label, Observation, Outcome, Thread, Trace, Verdict

__all__ = ["SCHEMA_VERSION", "Store", "Summary"]


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a list of traces: what can be shown and filtered without reading turns.

    Attributes:
        seq: the order of appending, from 1.
        reward: the reward by the judge that was asked for (the oracle unless named); None where it never judged, or
            infrastructure failed.
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
            UserError: if the file is missing (read-only), is not a store, or was written by a newer Turnsmith.
        """
        self.path = Path(path)
        self.read_only = read_only
        self._lock = threading.RLock()
        self._db = open_database(self.path, read_only)
        self._credits_query = credits_query(self._db)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        consolation = " What was stored before is intact."
        with self._lock, _translated(self.path, "could not write", consolation), transaction(self._db):
            yield

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, _translated(self.path, "could not read"):
            yield

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
            ValueError: if the trace cannot be stored as it is: a reward, value, advantage or time that is not finite,
                `params` or `info` that are not JSON, a number beyond 64 bits.
        """
        return self.append_many((trace,))[0]

    def append_many(self, traces: Sequence[Trace]) -> list[int]:
        """Write several traces in one commit: all of them or none. Arguments and errors as in `append`."""
        rows = [trace_rows(trace) for trace in traces]  # encoded before the write lock is taken
        with self._writing():
            return [self._insert(trace, *row) for trace, row in zip(traces, rows, strict=True)]

    def _insert(self, trace: Trace, head: Row, turns: list[Row], verdicts: list[Row], credits: list[Row]) -> int:
        self._put_images(image for observation in observations_of(trace) for image in observation.images)
        try:
            seq = self._db.execute(INSERT_TRACE, head).lastrowid
        except sqlite3.IntegrityError as error:
            raise UserError(f"{self.path}: trace {trace.id!r} is already stored.") from error
        self._db.executemany(INSERT_TURN, ((seq, *turn) for turn in turns))
        self._db.executemany(INSERT_VERDICT, ((seq, *verdict) for verdict in verdicts))
        self._db.executemany(INSERT_CREDIT, ((seq, *credit) for credit in credits))
        assert seq is not None
        return seq

    def _put_images(self, images: Iterable[ImageRef]) -> None:
        for image in images:
            if image.data is not None:
                self._db.execute(
                    "INSERT OR IGNORE INTO images VALUES (?, ?, ?)", (image.digest, image.media_type, image.data)
                )
            elif self._db.execute("SELECT 1 FROM images WHERE digest = ?", (image.digest,)).fetchone() is None:
                raise UserError(f"image {image.digest[:12]} has no bytes and is not in {self.path}.")

    def add_verdicts(self, trace_id: str, verdicts: Sequence[Verdict]) -> None:
        """Append verdicts to a stored trace; `Trace.reward` reads a judge's last one.

        Raises:
            UserError: if there is no such trace.
        """
        rows = [verdict_row(verdict) for verdict in verdicts]
        with self._writing():
            seq = self._seq(trace_id)
            self._db.executemany(INSERT_VERDICT, ((seq, *row) for row in rows))

    def add_credits(self, credits: Iterable[tuple[str, int, Credit]]) -> int:
        """Write what learners made of turns, in one commit; what a learner said of a turn at an iteration is replaced.

        Args:
            credits: (trace id, index of the turn, credit).

        Returns:
            How many were written.

        Raises:
            UserError: if there is no such trace.
            ValueError: if a trace has no such turn, or a number is not finite.
        """
        rows = [(trace_id, credit_row(turn, credit)) for trace_id, turn, credit in credits]
        with self._writing():
            known = {trace_id: self._seq(trace_id) for trace_id in {trace_id for trace_id, _ in rows}}
            counts = {seq: self._turn_count(seq) for seq in known.values()}
            for trace_id, row in rows:
                if not 0 <= row[0] < counts[known[trace_id]]:
                    raise ValueError(f"trace {trace_id!r} has {counts[known[trace_id]]} turns, so none at {row[0]}")
            self._db.executemany(INSERT_CREDIT, ((known[trace_id], *row) for trace_id, row in rows))
        return len(rows)

    def _turn_count(self, seq: int) -> int:
        return self._db.execute("SELECT turn_count FROM traces WHERE seq = ?", (seq,)).fetchone()[0]

    def add_label(self, label: Label) -> None:
        """Store a person's mark.

        Raises:
            UserError: if there is no such trace, or it has no such turn.
        """
        with self._writing():
            turns = self._turn_count(self._seq(label.trace_id))
            if label.turn is not None and not 0 <= label.turn < turns:
                raise UserError(
                    f"trace {label.trace_id!r} has {turns} turns, counted from 0: there is no turn {label.turn}."
                )
            self._db.execute(
                f"INSERT INTO labels VALUES ({TEXT}, ?, ?, {TEXT}, ?)",
                (text_bytes(label.trace_id), label.turn, int(label.correct), text_bytes(label.note), label.created_at),
            )

    # Reading

    def _seq(self, trace_id: str) -> int:
        row = self._db.execute(f"SELECT seq FROM traces WHERE id = {TEXT}", (text_bytes(trace_id),)).fetchone()
        if row is None:
            raise UserError(
                f"{self.path}: there is no trace {trace_id!r}. List them with: turnsmith traces ls {self.path.parent}"
            )
        return row[0]

    def get(self, trace_id: str) -> Trace:
        """Read one trace; its images are references without bytes (see `image`).

        Raises:
            UserError: if there is no such trace.
        """
        with self._reading():
            return self._read(self._seq(trace_id))

    def _read(self, seq: int) -> Trace:
        try:
            return self._decoded(seq)
        except (UserError, sqlite3.Error):
            raise
        except Exception as error:  # a row that nobody here wrote: each decoder fails in its own way
            line = (str(error).strip() or "no more is known").splitlines()[0]
            raise UserError(f"{self.path}: trace {seq} is damaged ({type(error).__name__}: {line}).") from error

    def _decoded(self, seq: int) -> Trace:
        trace_id, outcome, policy, seed, created_at, head = self._db.execute(
            "SELECT id, outcome, policy, seed, created_at, head FROM traces WHERE seq = ?", (seq,)
        ).fetchone()
        turns = self._db.execute(
            "SELECT position, thread, reward, body, tokens FROM turns WHERE trace_seq = ? ORDER BY position", (seq,)
        ).fetchall()
        credits: dict[int, list[Credit]] = {}
        for position, *credit in self._db.execute(self._credits_query, (seq,)):
            credits.setdefault(position, []).append(Credit(*credit))
        verdicts = self._db.execute(
            "SELECT judge, reward, reason, turn FROM verdicts WHERE trace_seq = ? ORDER BY rowid", (seq,)
        ).fetchall()
        fields = json.loads(head)
        return Trace(
            id=trace_id,
            task=codec.task_from_json(fields["task"]),
            turns=tuple(turn_from_row(tuple(row), credits.get(position, ())) for position, *row in turns),
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
        judge: str = ORACLE,
        after: int = 0,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Summary]:
        """List traces in the order of appending, without reading their turns: 10,000 take about 0.1 s.

        Args:
            phase, iteration, outcome, site, task_id: keep only traces that have this value; None keeps all.
            judge: whose reward is shown.
            after: keep only what was appended after this sequence number: what is new to a reader.
            limit: at most so many.
            offset: leave out so many at the start.
        """
        where, values = _where(phase=phase, iteration=iteration, outcome=outcome, site=site, task_id=task_id)
        query = (
            "SELECT seq, id, task_id, instruction, environment, site, split, phase, iteration, outcome, policy, seed,"
            " created_at, turn_count, CASE outcome WHEN 'infra_error' THEN NULL ELSE"
            f" (SELECT reward FROM verdicts WHERE trace_seq = seq AND judge = {TEXT} AND turn IS NULL"
            "   ORDER BY rowid DESC LIMIT 1) END"
            f" FROM traces WHERE seq > ? {where} ORDER BY seq LIMIT ? OFFSET ?"
        )
        parameters = (text_bytes(judge), after, *values, -1 if limit is None else limit, offset)
        with self._reading():
            rows = self._db.execute(query, parameters).fetchall()
        try:
            return [_summary(*row) for row in rows]
        except ValueError as error:
            raise UserError(f"{self.path}: a row of its list of traces is damaged ({error}).") from error

    def traces(self, **filters: Any) -> Iterator[Trace]:
        """Read whole traces one at a time, in the order of appending. Filters as in `summaries`."""
        for summary in self.summaries(**filters):
            with self._reading():
                trace = self._read(summary.seq)
            yield trace

    def count(
        self,
        *,
        phase: str | None = None,
        iteration: int | None = None,
        outcome: Outcome | None = None,
        site: str | None = None,
        task_id: str | None = None,
    ) -> int:
        """How many traces match; filters as in `summaries`."""
        where, values = _where(phase=phase, iteration=iteration, outcome=outcome, site=site, task_id=task_id)
        with self._reading():
            return self._db.execute(f"SELECT count(*) FROM traces WHERE true {where}", values).fetchone()[0]

    def image(self, digest: str) -> ImageRef:
        """Fetch an image with its bytes.

        Raises:
            UserError: if it is not in the store.
        """
        with self._reading():
            row = self._db.execute("SELECT media_type, data FROM images WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise UserError(f"{self.path}: there is no image {digest!r}.")
        return ImageRef(digest, row[0], row[1])

    def with_images(self, trace: Trace) -> Trace:
        """The trace with the bytes of all its images, for a policy that looks at them or for another store.

        Raises:
            UserError: if an image is not in the store.
        """

        def filled(observation: Observation) -> Observation:
            images = tuple(
                image if image.data is not None else replace(image, data=self.image(image.digest).data)
                for image in observation.images
            )
            return replace(observation, images=images)

        turns = tuple(replace(turn, observation=filled(turn.observation)) for turn in trace.turns)
        return replace(trace, turns=turns, final=None if trace.final is None else filled(trace.final))

    def labels(self, trace_id: str | None = None) -> list[Label]:
        """People's marks, oldest first; of one trace or of all."""
        query = "SELECT trace_id, correct, turn, note, created_at FROM labels"
        with self._reading():
            if trace_id is None:
                rows = self._db.execute(f"{query} ORDER BY rowid").fetchall()
            else:
                query += f" WHERE trace_id = {TEXT} ORDER BY rowid"
                rows = self._db.execute(query, (text_bytes(trace_id),)).fetchall()
        return [Label(row[0], bool(row[1]), *row[2:]) for row in rows]


def _summary(*row: Any) -> Summary:
    fields = list(row)
    fields[9] = Outcome(row[9])
    return Summary(*fields)


@contextmanager
def _translated(path: Path, what: str, consolation: str = "") -> Iterator[None]:
    """SQLite's complaints about the file and the disk, as errors that the user can mend."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a bug in the caller, such as using a closed store
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: {what} ({error}).{consolation}") from error


def _where(**filters: Any) -> tuple[str, list[object]]:
    given = {column: value for column, value in filters.items() if value is not None}
    clause = "".join(f" AND {column} = {TEXT if isinstance(given[column], str) else '?'}" for column in given)
    return clause, [text_bytes(str(value)) if isinstance(value, str) else value for value in given.values()]
