"""The tables of a run's SQLite file: how they are made, recognised, and brought up to date.

A store carries SQLite's `application_id`, so a foreign database is never mistaken for a run, and its schema version in
`meta`. An older store is migrated when it is opened for writing, each step in one transaction: a migration that is
killed half-way leaves the old version, intact.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from turnsmith.errors import UserError

SCHEMA_VERSION = 2

_CREDITS = """CREATE TABLE credits (
        trace_seq INTEGER NOT NULL REFERENCES traces (seq) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        learner TEXT NOT NULL,
        iteration INTEGER NOT NULL,
        value REAL,
        advantage REAL,
        UNIQUE (trace_seq, position, learner, iteration)
    )"""


def _verdicts_of_steps(judge: str, reward: str, condition: str = "IS NOT NULL") -> str:
    return (
        f"INSERT INTO verdicts SELECT trace_seq, {judge}, {reward}, '', position FROM turns"
        f" WHERE json_valid(body) AND {judge} {condition} AND {reward} IS NOT NULL"
        " AND json_extract(body, '$.info.evaluator') IS NOT NULL"
    )


# MIGRATIONS[n] turns a store of version n into one of version n + 1: SQL statements, without BEGIN and COMMIT.
MIGRATIONS: dict[int, tuple[str, ...]] = {
    # 1: one value and advantage a turn, of an unknown learner, in columns; now credits, several a turn.
    1: (
        _CREDITS,
        "INSERT INTO credits SELECT trace_seq, position, '', 0, value, advantage FROM turns"
        " WHERE value IS NOT NULL OR advantage IS NOT NULL",
        "ALTER TABLE turns DROP COLUMN value",
        "ALTER TABLE turns DROP COLUMN advantage",
        # 1: what a judge said of a step stood in the turn's info; now it is a verdict on that turn.
        _verdicts_of_steps("'oracle'", "json_extract(body, '$.info.oracle')"),
        _verdicts_of_steps("json_extract(body, '$.info.evaluator')", "reward", "!= 'oracle'"),
    ),
}

_READABLE = 1
"""The oldest version that is read as it is; what is older must be migrated first."""

_APPLICATION_ID = 0x54757277  # "Turw"

# Measured with images of 20 to 60 KB: pages of 8 KB take a quarter less processor time than SQLite's own 4 KB, and 4 %
# of the file is unfilled (4 KB: 2 %; 16 KB: 8 %, and hardly faster). Rarer checkpoints rewrite fewer pages.
_PAGE_BYTES = 8 * 1024
_CHECKPOINT_BYTES = 16 * 1024 * 1024
_BUSY_SECONDS = 60.0

_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE images (digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, data BLOB NOT NULL)",
    # What lists show and filter has a column; the rest of a trace is JSON in `head`.
    """CREATE TABLE traces (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        task_id TEXT NOT NULL,
        instruction TEXT NOT NULL,
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
    )""",
    "CREATE INDEX traces_by_task ON traces (task_id)",
    "CREATE INDEX traces_by_phase ON traces (phase, iteration)",
    """CREATE TABLE turns (
        trace_seq INTEGER NOT NULL REFERENCES traces (seq) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        thread INTEGER NOT NULL,
        reward REAL NOT NULL,
        body TEXT NOT NULL,
        tokens BLOB NOT NULL,
        PRIMARY KEY (trace_seq, position)
    )""",
    _CREDITS,
    """CREATE TABLE verdicts (
        trace_seq INTEGER NOT NULL REFERENCES traces (seq) ON DELETE CASCADE,
        judge TEXT NOT NULL,
        reward REAL NOT NULL,
        reason TEXT NOT NULL,
        turn INTEGER
    )""",
    "CREATE INDEX verdicts_by_trace ON verdicts (trace_seq, judge)",
    """CREATE TABLE labels (
        trace_id TEXT NOT NULL,
        turn INTEGER,
        correct INTEGER NOT NULL,
        note TEXT NOT NULL,
        created_at REAL NOT NULL
    )""",
    "CREATE INDEX labels_by_trace ON labels (trace_id)",
)


def open_database(path: Path, read_only: bool) -> sqlite3.Connection:
    """A connection to the store at `path`, created or migrated where that is needed and `read_only` allows it.

    Raises:
        UserError: if the file is missing (read-only), is not a store, is of a newer version, is of an older version and
            `read_only`, or cannot be opened.
    """
    if read_only and not path.exists():
        raise UserError(f"{path}: there is no run here.")
    try:
        db = _connect(path, "mode=ro" if read_only else "mode=rwc")
        try:
            if read_only:
                db = _readable(db, path)
            if not read_only and _is_empty(db):
                _make_writable(db)
                _create(db)
            _check(db, path, read_only)
            if not read_only:
                _make_writable(db)
                _migrate(db)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise UserError(f"{path}: cannot be opened as a run ({error}).") from error
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when anything is raised; waits while another process writes."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # after some errors SQLite has rolled back by itself
            db.execute("ROLLBACK")
        raise


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?{mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    # Model output may hold lone surrogates (an emoji cut in two), which are not UTF-8.
    db.text_factory = lambda data: data.decode("utf-8", "surrogatepass")
    db.execute("PRAGMA foreign_keys=ON")
    return db


def _readable(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """The connection, or for a closed run in a folder that may not be written to one that needs no files beside it."""
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        db.close()
        db = _connect(path, "mode=ro&immutable=1")
    return db


def _make_writable(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # means something in a new file only
    patience = time.monotonic() + _BUSY_SECONDS
    while True:  # SQLite does not wait by itself here while other processes turn the same new file to WAL
        try:
            db.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > patience:
                raise
            time.sleep(0.01)
    db.execute("PRAGMA synchronous=NORMAL")
    page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
    db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_BYTES // page_bytes}")


def _is_empty(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _create(db: sqlite3.Connection) -> None:
    """Make the tables of an empty file; two processes may try at the same instant."""
    with transaction(db):
        if _is_empty(db):
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute("INSERT INTO meta VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
            db.execute(f"PRAGMA application_id={_APPLICATION_ID}")


def credits_query(db: sqlite3.Connection) -> str:
    """What selects (position, learner, iteration, value, advantage) of a trace, oldest credits first, in this store."""
    if _version(db) >= 2:
        return "SELECT position, learner, iteration, value, advantage FROM credits WHERE trace_seq = ? ORDER BY rowid"
    return (
        "SELECT position, '', 0, value, advantage FROM turns WHERE trace_seq = ?"
        " AND (value IS NOT NULL OR advantage IS NOT NULL) ORDER BY position"
    )


def _version(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if row is None or not str(row[0]).isdecimal():
        raise sqlite3.DatabaseError("it is damaged: it does not say which version of the store it is")
    return int(row[0])


def _check(db: sqlite3.Connection, path: Path, read_only: bool) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise UserError(f"{path}: this SQLite file is not a Turnsmith run.")
    version = _version(db)
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{path}: written by a newer Turnsmith (store version {version}, this one reads up to {SCHEMA_VERSION}). "
            "Update the checkout: git pull"
        )
    if version < _READABLE and read_only:
        raise UserError(
            f"{path}: store version {version} is older than {_READABLE}. "
            f"Migrate it (the traces stay as they are) with: turnsmith traces migrate {path.parent}"
        )


def _migrate(db: sqlite3.Connection) -> None:
    while _version(db) < SCHEMA_VERSION:
        with transaction(db):
            version = _version(db)  # again: another process may have been faster
            if version < SCHEMA_VERSION:
                for statement in MIGRATIONS[version]:
                    db.execute(statement)
                db.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(version + 1),))
