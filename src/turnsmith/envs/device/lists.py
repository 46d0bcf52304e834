"""The authors' task lists, and the audit of what their two sides share.

The lists are text files with one instruction a line: general_train.txt, general_test.txt, webshop_train.txt and
webshop_test.txt in `$TURNSMITH_DATA/device`. They speak of real apps and sites, so they are for phones over adb; nobody
but a judge knows whether they were done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from turnsmith.data import data_file
from turnsmith.errors import UserError
from turnsmith.trace.types import Task

EVALUATED = 96
"""The authors evaluate on the first lines of a test list."""


def load_list(path: str | Path, split: str = "test") -> list[Task]:
    """The tasks of a list, one a line, in the order of the file.

    A line that occurs again is a task again: ids hold the number of the line.

    Raises:
        UserError: if the file cannot be read or holds no instruction.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    tasks = [
        Task(f"{path.stem}-{number}", text, "device", split=split, provenance={"source": path.name, "line": number})
        for number, line in enumerate(lines, start=1)
        if (text := line.strip())
    ]
    if not tasks:
        raise UserError(f"{path}: there is no instruction in it. Write one a line.")
    return tasks


def authors_list(kind: Literal["general", "webshop"], split: Literal["train", "test"]) -> list[Task]:
    """One of the authors' four lists.

    Raises:
        UserError: if the data are not there.
    """
    name = f"device/{kind}_{split}.txt"
    path = data_file(name)
    if path is None:
        raise UserError(f"{name} is not there. Set TURNSMITH_DATA to the folder that holds it.")
    return load_list(path, split)


@dataclass(frozen=True, slots=True)
class Audit:
    """What a test list shares with a training list.

    Attributes:
        test, train: how many lines each has.
        shared: how many test lines are also training lines, up to the kind of their quotation marks and their case.
        first: how many of the test lines are evaluated (the first ones).
        first_shared: how many of those are training lines.
        first_unique: how many different instructions those are.
        first_bare: how many of those name nothing but a site ("Go to ebay.com").
    """

    test: int
    train: int
    shared: int
    first: int
    first_shared: int
    first_unique: int
    first_bare: int

    def __str__(self) -> str:
        return (
            f"{self.shared} of {self.test} test lines are among the {self.train} training lines; of the first "
            f"{self.first}, {self.first_shared} are, {self.first_unique} differ from one another, and "
            f"{self.first_bare} name nothing but a site"
        )


def audit(train: Sequence[Task], test: Sequence[Task], first: int = EVALUATED) -> Audit:
    """Compare two lists line by line."""
    known = {_plain(task.instruction) for task in train}
    texts = [_plain(task.instruction) for task in test]
    head = texts[:first]
    return Audit(
        test=len(texts),
        train=len(train),
        shared=sum(text in known for text in texts),
        first=len(head),
        first_shared=sum(text in known for text in head),
        first_unique=len(set(head)),
        first_bare=sum(text.startswith("go to ") and "," not in text for text in head),
    )


def _plain(text: str) -> str:
    """An instruction up to quotation marks, case and spacing."""
    for mark in '"“”‘’':
        text = text.replace(mark, "'")
    return " ".join(text.split()).casefold()
