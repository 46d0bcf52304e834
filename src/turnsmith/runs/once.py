"""Make a thing once: kept under a name with what it was made of, read back when that is the same, resumed after a kill.

Two verbs, on a `Run` as on any folder:

- `once`: a value (a table, a data set, fitted weights). What is returned was read back from disk, so a run that goes on
  sees the very thing that the first one saw.
- `iterations`: a loop whose state is saved after each turn of it (rounds of an agent's learning, updates of a model).
  After a kill it goes on behind the last turn that was saved.

Both rest on `whole_folder`: a folder that appears at once and complete, or not at all. Nothing here knows torch: how a
value or a state is written is the business of a `Format` or a `State` (`learn.checkpoint` has those for models).
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from turnsmith.errors import UserError, disk_trouble
from turnsmith.jsonl import read_json

T = TypeVar("T")

_STEP = re.compile(r"step-(\d+)")
_NAME = re.compile(r"[\w@+=,][\w@+=,. -]*(/[\w@+=,][\w@+=,. -]*)*")
_INPUTS = "inputs.json"
_DONE = "step.json"


class Format(Protocol[T]):
    """How a kind of value lies on disk. What `write` puts into the empty folder, `read` gets back."""

    def write(self, value: T, folder: Path) -> None:
        """Put a value into an empty folder."""
        ...

    def read(self, folder: Path) -> T:
        """Get it back."""
        ...


class State(Protocol):
    """What a loop of `iterations` changes, and is to be put back to after a kill."""

    def save(self, folder: Path) -> None:
        """Write everything that the next turn depends on into an empty folder."""
        ...

    def load(self, folder: Path) -> None:
        """Be what was saved."""
        ...


class JsonFormat(Generic[T]):
    """A JSON value in `value.json`. Tuples come back as lists; `decode` makes more of it than JSON."""

    def __init__(self, decode: Callable[[Any], T] = lambda value: value, encode: Callable[[T], object] = lambda v: v):
        self._decode, self._encode = decode, encode

    def write(self, value: T, folder: Path) -> None:
        """One file, keys in their order."""
        (folder / "value.json").write_text(json.dumps(self._encode(value), ensure_ascii=False), encoding="utf-8")

    def read(self, folder: Path) -> T:
        """The value, decoded."""
        return self._decode(read_json(folder / "value.json"))


JSON: JsonFormat[Any] = JsonFormat()


def once(root: Path, name: str, inputs: Mapping[str, object], make: Callable[[], T], format: Format[T] = JSON) -> T:  # pyright: ignore[reportInvalidTypeVarUse]
    """The value of this name, made of these inputs: read back where it is kept, else made and kept.

    Args:
        root: the folder of all that is kept.
        name: of the value, such as "critics/td"; it becomes a folder below `root`.
        inputs: JSON that says what the value is made of: settings, seeds, hashes. A value that was made of other
            inputs is made anew and replaced.
        make: makes it. A long one may leave what it needs to go on in `scratch(root, name)`.
        format: how it lies on disk.

    Returns:
        What `format` reads back, on the first call too.

    Raises:
        UserError: if the name cannot be a folder, the disk is full, or what is kept cannot be read.
    """
    place = _place(root, name)
    made_of = json.loads(json.dumps(dict(inputs)))
    if not _kept(place, made_of):
        value = make()
        with whole_folder(place) as folder:
            format.write(value, folder)
            (folder / _INPUTS).write_text(json.dumps(made_of, ensure_ascii=False, indent=1), encoding="utf-8")
        shutil.rmtree(scratch(root, name), ignore_errors=True)
    try:
        return format.read(place)
    except Exception as error:  # each format has its own ways to fail on damage
        raise UserError(
            f"{place}: what is kept here cannot be read ({error}). Remove it to have it made anew."
        ) from error


def scratch(root: Path, name: str) -> Path:
    """A folder for what a long `make` needs to go on after a kill; it is gone once the value is kept."""
    place = _place(root, name)
    return place.with_name(f".{place.name}.scratch")


def iterations(root: Path, name: str, count: int, state: State, *, first: int = 1, every: int = 1) -> Iterator[int]:
    """The numbers `first` … `count` of a loop's turns that are still to be done; `state` is saved as they are finished.

    A turn is finished when the next number is asked for, so its body may fail or be killed anywhere and is then done
    again from the state before it. The last saved turn is in `root/name/step-N`; those before it are removed.

    Args:
        root: the folder of all loops.
        name: of this one.
        count: the last number.
        state: loaded from the last saved turn before the first number comes, where there is one.
        first: the first number; `first - 1` turns are taken as done.
        every: save after each turn whose number is a multiple of this, and after the last.

    Raises:
        UserError: if the name cannot be a folder or the disk is full.
    """
    folder = _place(root, name)
    _keep_last(folder)
    done = last_step(folder)
    if done is not None:
        state.load(folder / f"step-{done}")
    for number in range(first if done is None else done + 1, count + 1):
        yield number
        if number % every == 0 or number == count:
            with whole_folder(folder / f"step-{number}") as step:
                state.save(step)
                (step / _DONE).write_text(json.dumps({"step": number}), encoding="utf-8")
            _keep_last(folder)


def _keep_last(folder: Path) -> None:
    for older in saved_steps(folder)[:-1]:
        remove_folder(folder / f"step-{older}")


def last_step(folder: Path) -> int | None:
    """The number of the last saved turn in a loop's folder; None before the first."""
    return max(saved_steps(folder), default=None)


def saved_steps(folder: Path, mark: str = _DONE) -> list[int]:
    """The numbers of the complete `step-N` folders in a folder, ascending: those that hold the file `mark`."""
    names = [_STEP.fullmatch(path.name) for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name[1]) for name in names if name and (folder / name[0] / mark).exists())


@contextlib.contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """An empty folder to be filled, which then becomes `place` in one rename; one that is there already is replaced.

    A kill inside leaves `place` as it was. What was written is on disk before the rename.

    Raises:
        UserError: if it could not be written (the disk is full, the folder may not be written).
    """
    partial = place.with_name(f".{place.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        _sync(partial)
        remove_folder(place)
        os.rename(partial, place)
    except Exception as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not isinstance(error, OSError) and disk_trouble(error) is None:
            raise
        raise UserError(f"{place}: could not be written ({error}). What was there before is intact.") from error


def _place(root: Path, name: str) -> Path:
    if not _NAME.fullmatch(name) or ".." in name:
        raise UserError(
            f"{name!r} cannot name what a run keeps: use letters, digits and - _ @ + = , . between slashes."
        )
    return root / name


def _kept(place: Path, made_of: object) -> bool:
    """Whether a value lies here that was made of these inputs."""
    try:
        return read_json(place / _INPUTS) == made_of
    except UserError:
        return False


def remove_folder(folder: Path) -> None:
    """Take a folder away at once: what is half removed must not look whole."""
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.rename(folder, old)
        shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Force the files of a folder to disk, so that the rename never outruns them."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
