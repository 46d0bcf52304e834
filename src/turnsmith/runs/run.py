"""A run's folder: `config.json`, `run.db`, `metrics.jsonl`, `checkpoints/`, `report.json`, and later `report.html`.

Everything here survives a kill at any instant: JSON files are replaced by renaming, metrics are whole lines (a torn
last line is dropped on opening), traces are committed one by one by the store. One process at a time writes a run: it
holds `.lock`, which the system lets go of when the process ends, a `kill -9` included.
"""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from turnsmith import jsonl
from turnsmith.errors import UserError
from turnsmith.jsonl import iter_jsonl
from turnsmith.runs.once import JSON, Format, State, iterations, last_step, once, scratch
from turnsmith.trace.store import Store

T = TypeVar("T")
Status = Literal["running", "done", "stopped", "failed"]

_LOCK = ".lock"
_NAME = re.compile(r"[\w@+=,-][\w@+=,.-]*")


class Run:
    """One run on disk, open for writing.

    Attributes:
        folder: where everything is.
        store: the traces.
        config: the resolved configuration, as JSON.
        resumed: whether the folder held this run already.
    """

    def __init__(self, folder: str | Path, config: Mapping[str, Any], may_grow: Sequence[str] = ()) -> None:
        """Make the folder, or open it to go on when it holds a run of the same configuration.

        Args:
            folder: such as `runs/NAME`.
            config: JSON; it must name the recipe under "recipe".
            may_grow: settings that are lists and to which a run may be given more when it goes on (arms to compare).

        Raises:
            UserError: if the folder holds a run of another configuration or something that is not a run, cannot be
                written, or another process is at work on it.
        """
        self.folder = Path(folder)
        self.config = json.loads(json.dumps(config))
        stored = self.folder / "config.json"
        self.resumed = stored.exists()
        grown = False
        if self.resumed:
            before = read_json(stored)
            differing = [key for key in {*before, *self.config} if before.get(key) != self.config.get(key)]
            longer = [key for key in may_grow if key in differing and set(before.get(key, ())) < set(self.config[key])]
            changed = sorted({*differing} - {"command", *longer})
            grown = bool(longer)
            if changed:
                raise UserError(
                    f"{self.folder}: holds a run with other settings ({', '.join(changed)}). "
                    f"Choose another --name, or go on with the old one: turnsmith resume {self.folder}"
                )
        elif _is_something_else(self.folder):
            raise UserError(f"{self.folder}: is not empty and not a run. Choose another --name.")
        try:
            (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be made ({error.strerror}).") from error
        self._lock = lock(self.folder)
        if not self.resumed or grown:
            write_json(stored, self.config)
        self._metrics_path = self.folder / "metrics.jsonl"
        _drop_torn_line(self._metrics_path)
        self.store = Store(self.folder / "run.db")

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, UserError) and not self.resumed and self._holds_nothing():
            self.close()
            shutil.rmtree(self.folder, ignore_errors=True)  # a mistake that shows at the start leaves no run behind
            return
        if kind is not None:
            with suppress(UserError):  # where the disk is full, what went wrong first is what is told
                self.report(status="stopped" if issubclass(kind, KeyboardInterrupt) else "failed")
        self.close()

    def close(self) -> None:
        """Close the store and let others at the run; what was acknowledged is on disk without it."""
        self.store.close()
        self._lock.close()

    def _holds_nothing(self) -> bool:
        """Whether nothing was made yet: no trace, no line of metrics, nothing kept."""
        kept = (
            path for name in ("made", "checkpoints") for path in (self.folder / name).glob("**/*") if path.is_file()
        )
        made = [path for path in kept if path.name != "begun.json"]
        return not made and not self.metrics() and not self.store.count()

    def log(self, **metrics: Any) -> None:
        """Append one line to `metrics.jsonl`: numbers by name, with "iteration", "phase" and the like; adds "time".

        Raises:
            UserError: if the disk is full or may not be written; no half of a line stays behind.
        """
        line = json.dumps({"time": round(time.time(), 3), **metrics})
        try:
            with self._metrics_path.open("a", encoding="utf-8") as file:
                before = file.tell()
                try:
                    file.write(line + "\n")
                    file.flush()
                except OSError:
                    os.truncate(self._metrics_path, before)
                    raise
        except OSError as error:
            raise UserError(f"{self._metrics_path}: could not write ({error.strerror}).") from error

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl` so far."""
        if not self._metrics_path.exists():
            return []
        return [row for _, row in iter_jsonl(self._metrics_path)]

    def drop_metrics(self, keep: "Sequence[dict[str, Any]]") -> None:
        """Replace the metrics by `keep` (a resumed run drops what came after its checkpoint)."""
        text = "".join(json.dumps(row) + "\n" for row in keep)
        _replace(self._metrics_path, text)

    def once(self, name: str, inputs: Mapping[str, object], make: Callable[[], T], format: Format[T] = JSON) -> T:  # pyright: ignore[reportInvalidTypeVarUse]
        """A value made once and kept in `made/NAME`: see `runs.once.once`."""
        return once(self.folder / "made", name, inputs, make, format)

    def scratch(self, name: str) -> Path:
        """Where the `make` of a name may leave what it needs to go on after a kill: see `runs.once.scratch`."""
        return scratch(self.folder / "made", name)

    def iterations(self, name: str, count: int, state: State, *, first: int = 1, every: int = 1) -> Iterator[int]:
        """The turns of a loop that are still to be done; its state is in `checkpoints/NAME` (`runs.once.iterations`).

        What was logged in a turn that a kill cut off is dropped, so that each turn stands in the metrics once.
        """
        folder = self.folder / "checkpoints" / name
        done = last_step(folder)
        if done is None or done < count:
            self._cut_metrics(folder / "begun.json" if done is None else folder / f"step-{done}" / "metrics.json")
        return iterations(self.folder / "checkpoints", name, count, _Logged(self, state), first=first, every=every)

    def _cut_metrics(self, mark: Path) -> None:
        """Drop the lines of metrics beyond those that a mark counts; make the mark where there is none."""
        if mark.exists():
            lines = read_json(mark).get("lines")
            if not isinstance(lines, int):
                raise UserError(
                    f'{mark}: "lines" is missing, so where the metrics stood is not known. Remove the file.'
                )
            self.drop_metrics(self.metrics()[:lines])
        else:
            try:
                mark.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"{mark.parent}: cannot be made ({error.strerror}).") from error
            write_json(mark, {"lines": len(self.metrics())})

    def finished(self, name: str) -> int | None:
        """The number of the last saved turn of a loop; None before the first."""
        return last_step(self.folder / "checkpoints" / name)

    def report(self, *, status: Status | None = None, **fields: Any) -> None:
        """Merge fields into `report.json` ("summary", "rewards", …); adds "updated_at".

        Args:
            status: where the run stands; None leaves what it says. Only runs that are "done" count for claims.
            fields: JSON.
        """
        path = self.folder / "report.json"
        before = read_json(path) if path.exists() else {}
        told = {} if status is None else {"status": status}
        write_json(path, {**before, **told, **fields, "updated_at": round(time.time(), 3)})


class _Logged:
    """The state of a loop, saved together with how many lines of metrics there were."""

    def __init__(self, run: Run, state: State) -> None:
        self.run, self.state = run, state

    def save(self, folder: Path) -> None:
        """The state, and the number of lines."""
        self.state.save(folder)
        write_json(folder / "metrics.json", {"lines": len(self.run.metrics())})

    def load(self, folder: Path) -> None:
        """The state alone."""
        self.state.load(folder)


def lock(folder: Path) -> IO[str]:
    """Hold a run for this process alone, until the file is closed or the process ends, however it ends.

    Raises:
        UserError: if another process is at work on the run, or the folder may not be written.
    """
    path = folder / _LOCK
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror}), so the run cannot go on.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read(20).strip()
        file.close()
        if not isinstance(error, BlockingIOError):
            raise UserError(f"{folder}: cannot be locked here ({error.strerror}).") from error
        who = f" (process {holder})" if holder.isdecimal() else ""
        raise UserError(
            f"{folder}: another process{who} is at work on this run. Wait for it, end it, or choose another --name."
        ) from error
    with suppress(OSError):  # on a full disk the lock holds without its note
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
    return file


def _is_something_else(folder: Path) -> bool:
    """Whether a folder without settings holds more than a kill at a run's first instant leaves."""
    try:
        names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise UserError(f"{folder}: cannot be looked into ({error.strerror}).") from error
    return bool(names - {_LOCK, "checkpoints"}) or any((folder / "checkpoints").glob("*"))


def run_folder(name: str) -> Path:
    """The folder `runs/NAME` of a run to be made.

    Raises:
        UserError: if the name could lead out of `runs/`, or into another run.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"--name {name!r}: a name has letters, digits and any of . _ - + = , @ and does not begin with a dot."
        )
    return Path("runs") / name


def find_run(name: str | Path) -> Path:
    """The `run.db` that a person means by `runs/NAME`, a bare NAME below `runs/`, or the file itself.

    Raises:
        UserError: if there is none.
    """
    given = Path(name)
    for path in (given, given / "run.db", Path("runs") / given / "run.db"):
        if path.is_file():
            return path
    known = sorted(path.parent.name for path in Path("runs").glob("*/run.db"))
    found = f"Runs here: {', '.join(known)}." if known else "There are no runs here (no runs/*/run.db)."
    raise UserError(f"{name}: there is no run of this name. {found}")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        UserError: if it cannot be read or is not an object.
    """
    value = jsonl.read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: cannot be read (not a JSON object).")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object so that readers see the old file or the new one, never half of it.

    Raises:
        UserError: if the disk is full or the folder cannot be written.
    """
    _replace(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{path}: could not write ({error.strerror}). What was there before is intact.") from error


def _drop_torn_line(path: Path) -> None:
    """Cut off a last line that a kill left without its newline."""
    if not path.exists():
        return
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    if data and not data.endswith(b"\n"):
        _replace(path, data[: data.rfind(b"\n") + 1].decode(errors="replace"))
