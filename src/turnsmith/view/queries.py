"""Reading `run.db` for the viewer: its own read-only connection, fast lists, and no faith in what is stored.

`trace.Store` reads a trace whole and raises when a part is broken, which is right for training. The viewer wants lists
of 10,000 traces without their bodies, and of a damaged file whatever can still be read; so it has its own queries.
Whatever cannot be read becomes a sentence in `problems`.
"""

import sqlite3
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from turnsmith.jsonl import parse_json
from turnsmith.trace import codec
from turnsmith.trace.store import SCHEMA_VERSION
from turnsmith.trace.types import ORACLE

_COLUMNS = (
    "seq, id, task_id, instruction, environment, site, split, phase, outcome, policy, iteration, seed, created_at,"
    " turn_count"
)


@dataclass(slots=True)
class Row:
    """One trace in a list.

    Attributes:
        verdicts: each judge's last whole-trace reward, the oracle included.
        first_value: V(s_1) by the run's critic; None without one.
        labels: how many labels people put on it.
        surprise: mean negative log-probability of the sampled tokens, in nats; None until it was computed, or where
            nothing was sampled.
        other fields: as in `trace.types.Trace`.
    """

    seq: int
    id: str
    task_id: str
    instruction: str
    environment: str
    site: str
    split: str
    phase: str
    outcome: str
    policy: str
    iteration: int | None
    seed: int
    created_at: float
    turns: int
    verdicts: dict[str, float] = field(default_factory=dict)
    first_value: float | None = None
    labels: int = 0
    surprise: float | None = None

    @property
    def reward(self) -> float | None:
        """The oracle's reward; None where it never judged or infrastructure failed."""
        return None if self.outcome == "infra_error" else self.verdicts.get(ORACLE)

    @property
    def counts(self) -> bool:
        """Whether it is in rates: nothing was lost, and somebody has said what it was worth."""
        return self.outcome != "infra_error" and (self.outcome != "unjudged" or self.reward is not None)

    @property
    def solved(self) -> bool:
        """Whether the episode succeeded: by the oracle where it judged, else by the recorded outcome."""
        return self.outcome == "success" if self.reward is None else self.reward > 0.5

    @property
    def value_error(self) -> float | None:
        """|reward - V(s_1)|: how wrong the critic was about this episode before it began."""
        return None if self.reward is None or self.first_value is None else abs(self.reward - self.first_value)


class Database:
    """One run's `run.db`, read-only. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Open the file; `problems` says why where that is not possible, and then every list is empty."""
        self.path = path
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._db = self._open()

    def _open(self) -> sqlite3.Connection | None:
        if not self.path.exists():
            return None
        uri = self.path.resolve().as_uri()
        error: Exception | None = None
        # `immutable` is for a run on a read-only disk, where SQLite cannot make its lock files.
        for options in ("mode=ro", "mode=ro&immutable=1"):
            try:
                db = sqlite3.connect(f"{uri}?{options}", uri=True, timeout=5, check_same_thread=False)
                db.text_factory = _text
                found = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
                version = int(found[0]) if found else 0
                if version > SCHEMA_VERSION:
                    self.problems.append(
                        f"run.db was written by a newer Turnsmith (store version {version}, this one knows "
                        f"{SCHEMA_VERSION}); some of it may be missing here."
                    )
                return db
            except (sqlite3.Error, ValueError) as caught:
                error = caught
        self.problems.append(f"run.db cannot be read ({error}).")
        return None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _all(self, query: str, values: tuple = ()) -> list[tuple]:
        with self._lock:
            return [] if self._db is None else self._db.execute(query, values).fetchall()

    def version(self) -> int:
        """A number that changes whenever another connection commits."""
        try:
            rows = self._all("PRAGMA data_version")
        except sqlite3.Error:
            return -1
        return rows[0][0] if rows else 0

    # Lists

    def glance(self) -> tuple[int, int, list[Row], list[Row]]:
        """What the table of runs needs, without reading all traces.

        Returns:
            How many traces, how many infra errors, the rows of the last evaluation (in a run without evaluations: of
            the last iteration) with the oracle's verdicts, and the last 100 rows without verdicts.

        Raises:
            sqlite3.Error: if a part of that cannot be read.
        """
        if self._db is None:
            return 0, 0, [], []
        count, lost = self._all("SELECT count(*), total(outcome = 'infra_error') FROM traces")[0]
        final: list[tuple] = []
        for phase in ("phase = 'eval'", "phase != 'eval'"):
            last = f"(SELECT max(iteration) FROM traces WHERE {phase})"
            final = final or self._all(f"SELECT {_COLUMNS} FROM traces WHERE {phase} AND iteration IS {last}")
        by_seq = {values[0]: _row(values) for values in final}
        if by_seq:
            query = (
                "SELECT trace_seq, reward FROM verdicts WHERE judge = ? AND turn IS NULL AND trace_seq BETWEEN ? AND ?"
            )
            for seq, reward in self._all(f"{query} ORDER BY rowid", (ORACLE, min(by_seq), max(by_seq))):
                if seq in by_seq and isinstance(reward, int | float):
                    by_seq[seq].verdicts[ORACLE] = float(reward)
        recent = self._all(f"SELECT {_COLUMNS} FROM traces ORDER BY seq DESC LIMIT 100")
        return count, int(lost), list(by_seq.values()), [_row(values) for values in recent]

    def rows_after(self, seq: int) -> tuple[list[Row], list[str]]:
        """Rows of all traces appended after `seq`, without verdicts, values and labels; and what was not readable."""
        query = f"SELECT {_COLUMNS} FROM traces WHERE seq > ? ORDER BY seq"
        try:
            return [_row(values) for values in self._all(query, (seq,))], []
        except sqlite3.Error:
            return self._rows_one_by_one(seq)

    def _rows_one_by_one(self, seq: int) -> tuple[list[Row], list[str]]:
        """The slow way round damage: each trace on its own."""
        try:
            last = self._last_seq()
        except sqlite3.Error as error:
            return [], [f"run.db: the list of traces cannot be read ({error})."]
        rows, lost, reason = [], 0, ""
        query = f"SELECT {_COLUMNS} FROM traces WHERE seq = ?"
        for number in range(seq + 1, last + 1):
            try:
                rows += [_row(values) for values in self._all(query, (number,))]
            except sqlite3.Error as error:
                lost, reason = lost + 1, str(error)
        return rows, [f"run.db: {lost} of {last} traces cannot be read ({reason})."] if lost else []

    def _last_seq(self) -> int:
        """The last sequence number that was given out, by SQLite's own note where the table cannot tell."""
        try:
            found = self._all("SELECT max(seq) FROM traces")
        except sqlite3.Error:
            found = self._all("SELECT seq FROM sqlite_sequence WHERE name = 'traces'")
        return found[0][0] or 0 if found else 0

    def verdicts_after(self, rowid: int) -> tuple[list[tuple[int, str, float]], int]:
        """Whole-trace verdicts added after `rowid`, as (sequence number, judge, reward), and the last rowid."""
        query = "SELECT rowid, trace_seq, judge, reward FROM verdicts WHERE rowid > ? AND turn IS NULL ORDER BY rowid"
        found = self._try_all(query, (rowid,), what="verdicts")
        good = [(seq, str(judge), float(reward)) for _, seq, judge, reward in found if isinstance(reward, int | float)]
        return good, found[-1][0] if found else rowid

    def first_values(self) -> dict[int, float]:
        """V(s_1) of each trace that has one, keyed by sequence number."""
        table = "credits" if self._has_credits() else "turns"
        query = f"SELECT trace_seq, value FROM {table} WHERE position = 0 AND value IS NOT NULL ORDER BY rowid"
        return {seq: value for seq, value in self._try_all(query, what="values") if isinstance(value, float)}

    def _has_credits(self) -> bool:
        """Whether the store keeps credits of several learners; older ones have one value and advantage a turn."""
        return bool(self._try_all("SELECT 1 FROM sqlite_master WHERE name = 'credits'"))

    def _credits(self, seq: int) -> dict[int, list[dict[str, Any]]]:
        """What learners made of each turn of a trace, the latest last."""
        query = "SELECT position, '', 0, value, advantage FROM turns WHERE trace_seq = ? AND advantage IS NOT NULL"
        if self._has_credits():
            columns = "position, learner, iteration, value, advantage"
            query = f"SELECT {columns} FROM credits WHERE trace_seq = ? ORDER BY rowid"
        credits: dict[int, list[dict[str, Any]]] = {}
        for position, learner, iteration, value, advantage in self._try_all(query, (seq,), what="credits"):
            credit = {"learner": str(learner), "iteration": iteration, "value": value, "advantage": advantage}
            credits.setdefault(position, []).append(credit)
        return credits

    def label_counts(self) -> dict[str, int]:
        """How many labels each trace has, keyed by trace id."""
        return dict(self._try_all("SELECT trace_id, count(*) FROM labels GROUP BY trace_id", what="labels"))

    def _try_all(self, query: str, values: tuple = (), what: str = "") -> list[tuple]:
        """The rows, or none where they cannot be read; with `what` that is said among the problems."""
        try:
            return self._all(query, values)
        except sqlite3.Error as error:
            problem = f"run.db: the {what} cannot be read ({error})."
            if what and problem not in self.problems:
                self.problems.append(problem)
            return []

    def surprise(self, first_seq: int, last_seq: int) -> dict[int, float]:
        """Mean negative log-probability (nats) of the sampled tokens of each trace in this range of sequence numbers.

        Traces in which nothing was sampled from a model are left out.
        """
        sums: dict[int, list[float]] = {}
        query = "SELECT trace_seq, tokens FROM turns WHERE trace_seq BETWEEN ? AND ? AND length(tokens) > 16"
        for seq, packed in self._try_all(query, (first_seq, last_seq)):
            total, count = _negative_log_prob(packed)
            entry = sums.setdefault(seq, [0.0, 0])
            entry[0] += total
            entry[1] += count
        return {seq: total / count for seq, (total, count) in sums.items() if count}

    # One trace

    def trace(self, trace_id: str) -> dict[str, Any] | None:
        """One trace as JSON values (`view.shape` makes the page of it), or None where there is no such trace.

        Raises:
            sqlite3.Error: if the row itself cannot be read.
        """
        found = self._all(f"SELECT {_COLUMNS}, head FROM traces WHERE id = ?", (trace_id,))
        if not found:
            return None
        row, problems = _row(found[0][:-1]), []
        head = _object(found[0][-1])
        if head is None:
            problems.append("The trace's head (task, threads, final observation) is not readable.")
            head = {}
        turns, credits = [], self._credits(row.seq)
        for position in range(row.turns):
            turn, problem = self._turn(row.seq, position)
            turns.append({**turn, "credits": credits.get(position, [])})
            if problem:
                problems.append(problem)
        verdicts = self._try_all(
            "SELECT judge, reward, reason, turn FROM verdicts WHERE trace_seq = ? ORDER BY rowid", (row.seq,)
        )
        row.verdicts = {judge: reward for judge, reward, _, turn in verdicts if turn is None}
        row.first_value = next((credit["value"] for credit in reversed(credits.get(0, []))), None)
        return {"row": row, "head": head, "turns": turns, "verdicts": verdicts, "problems": problems}

    def _turn(self, seq: int, position: int) -> tuple[dict[str, Any], str]:
        """One turn and "", or a placeholder and what was wrong."""
        problem = f"Turn {position + 1} is not readable"
        turn: dict[str, Any] = {"thread": 0, "reward": 0.0, "body": {}, "tokens": b""}
        try:
            found = self._all(
                "SELECT thread, reward, body, tokens FROM turns WHERE trace_seq = ? AND position = ?", (seq, position)
            )
        except sqlite3.Error as error:
            return turn, f"{problem} ({error})."
        if not found:
            return turn, f"{problem}: it is missing."
        turn = dict(zip(turn, found[0], strict=True))
        body = _object(turn["body"])
        turn["body"] = body or {}
        return turn, "" if body is not None else f"{problem}: its record is not complete JSON."

    def labels(self, trace_id: str | None = None) -> list[dict[str, Any]]:
        """People's marks, oldest first; of one trace or of all."""
        where, values = ("", ()) if trace_id is None else ("WHERE trace_id = ?", (trace_id,))
        query = f"SELECT trace_id, turn, correct, note, created_at FROM labels {where} ORDER BY rowid"
        names = ("trace_id", "turn", "correct", "note", "created_at")
        return [{**dict(zip(names, row, strict=True)), "correct": bool(row[2])} for row in self._try_all(query, values)]

    def turn_verdicts(self) -> list[tuple[str, int, str, float]]:
        """All verdicts on single turns: (trace id, turn, judge, reward), oldest first."""
        return self._try_all(
            "SELECT traces.id, verdicts.turn, judge, reward FROM verdicts JOIN traces ON seq = trace_seq"
            " WHERE verdicts.turn IS NOT NULL ORDER BY verdicts.rowid"
        )

    def pictured(self) -> set[int]:
        """The sequence numbers of the traces whose first turn has an image."""
        query = """SELECT trace_seq FROM turns WHERE position = 0 AND instr(body, '"images":[[') > 0"""
        return {seq for (seq,) in self._try_all(query)}

    def credited(self) -> set[int]:
        """The sequence numbers of the traces whose turns have credit."""
        table = "credits" if self._has_credits() else "turns"
        return {seq for (seq,) in self._try_all(f"SELECT DISTINCT trace_seq FROM {table} WHERE advantage IS NOT NULL")}

    def heads(self, seqs: list[int]) -> dict[int, dict[str, Any]]:
        """The heads (task, threads, info) of these traces, keyed by sequence number; unreadable ones are left out."""
        heads = {}
        for seq in seqs:
            for (text,) in self._try_all("SELECT head FROM traces WHERE seq = ?", (seq,)):
                if (head := _object(text)) is not None:
                    heads[seq] = head
        return heads

    def image(self, digest: str) -> tuple[str, bytes] | None:
        """(media type, bytes) of an image, or None where it is not there or not readable."""
        found = self._try_all("SELECT media_type, data FROM images WHERE digest = ?", (digest,))
        if not found or not isinstance(found[0][1], bytes):
            return None
        return str(found[0][0]), found[0][1]


def _text(raw: bytes) -> str:
    """Stored text: the store allows lone surrogates (models cut emoji in two); anything else broken is replaced."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def _row(values: tuple) -> Row:
    """A row from the columns of `_COLUMNS`, each brought to its type whatever was stored."""
    texts = ["" if value is None else str(value) for value in values[1:10]]
    iteration, seed, created_at, turns = values[10:]
    return Row(
        values[0],
        *texts,
        iteration=iteration if isinstance(iteration, int) else None,
        seed=seed if isinstance(seed, int) else 0,
        created_at=float(created_at) if isinstance(created_at, int | float) else 0.0,
        turns=turns if isinstance(turns, int) else 0,
    )


def _object(text: str | bytes | None) -> dict[str, Any] | None:
    try:
        value = parse_json(text)  # type: ignore
    except (TypeError, AttributeError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _negative_log_prob(packed: bytes) -> tuple[float, int]:
    """(sum of -log p over the tokens that the policy chose, how many those are) of one packed action."""
    try:
        prompts, ids, logprobs, sampled = struct.unpack_from("<4I", packed)
        start = 16 + 4 * (prompts + ids)
        logprob_T = np.frombuffer(packed, "<f8", logprobs, start)
        if sampled:
            logprob_T = logprob_T[np.frombuffer(packed, "?", sampled, start + 8 * logprobs)]
    except (struct.error, ValueError, IndexError):
        return 0.0, 0
    return float(-logprob_T.sum()), int(logprob_T.size)


def unpack_tokens(packed: Any) -> tuple[tuple, tuple, tuple, tuple]:
    """`codec.unpack_tokens`, or four empty tuples for bytes that are not a packed action."""
    try:
        return codec.unpack_tokens(packed)
    except (struct.error, ValueError, TypeError, MemoryError):
        return (), (), (), ()
