"""The list of a run's traces in memory: kept up to date while the run writes, filtered and sorted in milliseconds.

About 2 KB a trace, so that 10,000 traces cost 20 MB. New traces and verdicts are read when SQLite says that something
was committed. Values can change under any trace, so they are read anew, but for at most a twentieth of the time: the
viewer shares the machine with the run. Surprise needs every token of every turn and comes in the background.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

from turnsmith.trace.types import ORACLE
from turnsmith.view.queries import Database, Row

_FACETS = ("site", "phase", "iteration", "outcome", "environment", "split", "policy")
_SURPRISE_BATCH = 200
_SORTS = {
    "newest": lambda row: -row.seq,
    "oldest": lambda row: row.seq,
    "longest": lambda row: (-row.turns, row.seq),
    "shortest": lambda row: (row.turns, row.seq),
    "surprise": lambda row: (row.surprise is None, -(row.surprise or 0.0), row.seq),
    "value_error": lambda row: (row.value_error is None, -(row.value_error or 0.0), row.seq),
}


class Rows:
    """The rows of one database. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.problems: list[str] = []
        self._rows: list[Row] = []
        self._by_seq: dict[int, Row] = {}
        self._facets: dict[str, set[str]] = {name: set() for name in (*_FACETS, "judges")}
        self._version = -2
        self._verdict_rowid = 0
        self._values_version, self._values_after = -2, 0.0
        self._lock = threading.RLock()
        self._surprise_upto = 0
        self._surprise_thread: threading.Thread | None = None
        self._closed = False

    def all(self) -> list[Row]:
        """All rows in the order of appending, as of now."""
        with self._lock:
            version = self.database.version()
            if version != self._version:
                self._read_new()
                self._version = version
            if version != self._values_version and time.monotonic() >= self._values_after:
                self._read_values()
                self._values_version = version
            return self._rows

    def _read_new(self) -> None:
        """Traces and verdicts: they are only ever added."""
        new, problems = self.database.rows_after(self._rows[-1].seq if self._rows else 0)
        self._rows = [*self._rows, *new]
        self._by_seq.update((row.seq, row) for row in new)
        self.problems = problems or self.problems
        verdicts, self._verdict_rowid = self.database.verdicts_after(self._verdict_rowid)
        for seq, judge, reward in verdicts:
            if seq in self._by_seq:
                self._by_seq[seq].verdicts[judge] = reward
        labels = self.database.label_counts()
        for row in self._rows:
            row.labels = labels.get(row.id, 0)
        for name in _FACETS:
            self._facets[name].update(_facet(row, name) for row in new)
        self._facets["judges"].update(judge for _, judge, _ in verdicts if judge != ORACLE)

    def _read_values(self) -> None:
        """V(s_1) of every trace. Credit may be written to any of them at any time, so all are read anew."""
        began = time.monotonic()
        values = self.database.first_values()
        for row in self._rows:
            row.first_value = values.get(row.seq)
        cost = time.monotonic() - began
        self._values_after = time.monotonic() + (20 * cost if cost > 0.02 else 0.0)

    def close(self) -> None:
        """Stop the background work."""
        self._closed = True
        if self._surprise_thread is not None:
            self._surprise_thread.join(timeout=5)

    # Surprise

    def surprise_ready(self) -> float:
        """Go on computing surprise where there is something to do; the fraction of traces that is done."""
        rows = self.all()
        if not rows:
            return 1.0
        with self._lock:
            idle = self._surprise_thread is None or not self._surprise_thread.is_alive()
            if self._surprise_upto < rows[-1].seq and idle:
                self._surprise_thread = threading.Thread(target=self._compute_surprise, daemon=True)
                self._surprise_thread.start()
        return min(1.0, self._surprise_upto / rows[-1].seq)

    def _compute_surprise(self) -> None:
        while not self._closed:
            by_seq = {row.seq: row for row in self.all() if row.seq > self._surprise_upto}
            if not by_seq:
                return
            first = min(by_seq)
            last = first + _SURPRISE_BATCH - 1
            for seq, surprise in self.database.surprise(first, last).items():
                if seq in by_seq:
                    by_seq[seq].surprise = surprise
            self._surprise_upto = min(last, max(by_seq))
            time.sleep(0.002)  # lists go first

    # Lists

    def select(self, query: Mapping[str, str]) -> dict[str, Any]:
        """A window of the filtered, sorted list.

        Args:
            query: any of `outcome`, `site`, `phase`, `iteration`, `environment`, `split`, `policy` (equality), `task`
                (id, or words of the instruction), `min_turns`, `max_turns`, `disagree` (a judge's name, or "any"),
                `labelled` ("yes", "no"), `sort` (newest, oldest, longest, shortest, surprise, value_error), `offset`,
                `limit`.

        Returns:
            `{"total", "offset", "rows", "facets", "surprise_ready"}`; rows are `Row` objects.
        """
        rows = self.all()
        sort = query.get("sort", "newest")
        kept = [row for row in rows if _matches(row, query)]
        kept.sort(key=_SORTS.get(sort, _SORTS["newest"]))
        offset, limit = _integer(query.get("offset"), 0), min(500, _integer(query.get("limit"), 100))
        return {
            "total": len(kept),
            "offset": offset,
            "rows": kept[offset : offset + limit],
            "facets": {name: _natural(choices) for name, choices in self._facets.items()},
            "surprise_ready": self.surprise_ready(),
        }


def _matches(row: Row, query: Mapping[str, str]) -> bool:
    for name in _FACETS:
        wanted = query.get(name)
        if wanted and _facet(row, name) != wanted:
            return False
    if text := query.get("task", "").casefold():
        words = f"{row.task_id} {row.instruction} {row.id}".casefold()
        if not all(word in words for word in text.split()):
            return False
    if row.turns < _integer(query.get("min_turns"), 0) or row.turns > _integer(query.get("max_turns"), 10**9):
        return False
    if (labelled := query.get("labelled")) and (row.labels > 0) != (labelled == "yes"):
        return False
    judge = query.get("disagree")
    return not judge or disagrees(row, None if judge == "any" else judge)


def disagrees(row: Row, judge: str | None = None) -> bool:
    """Whether this judge (or any, with None) says otherwise than the oracle about the whole trace."""
    oracle = row.verdicts.get(ORACLE)
    if oracle is None:
        return False
    names = [name for name in row.verdicts if name != ORACLE] if judge is None else [judge]
    return any(name in row.verdicts and (row.verdicts[name] > 0.5) != (oracle > 0.5) for name in names)


def _facet(row: Row, name: str) -> str:
    value = getattr(row, name)
    return "" if value is None else str(value)


def _natural(texts: set[str]) -> list[str]:
    """Up to 200 choices, numbers in their order and before words."""
    named = texts - {""}
    return sorted(named, key=lambda text: (not text.isdigit(), float(text) if text.isdigit() else 0.0, text))[:200]


def _integer(text: str | None, default: int) -> int:
    try:
        return max(0, int(text)) if text else default
    except ValueError:
        return default
