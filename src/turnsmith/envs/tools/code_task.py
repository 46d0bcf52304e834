"""Code-as-Task, the noun: an instruction, a verification function, an example solution, three failure cases."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FAILURES = 3


@dataclass(frozen=True, slots=True)
class CodeTask:
    """A task that an agent wrote.

    Attributes:
        id: unique.
        instruction: for the executor, or the brief of the user whom it serves.
        verify: source with `def verify(answer) -> bool`; it reads the world through `tools`.
        solution: source that does the task through `tools`; it may set `answer`.
        failures: sources that do something near, and wrong.
        explored: what the challenger called before it wrote: (tool, arguments, output).
        about: further JSON of whoever made it: the challenger's name, what an audit needs.
    """

    id: str
    instruction: str
    verify: str
    solution: str
    failures: tuple[str, ...]
    explored: tuple[tuple[str, Mapping[str, Any], str], ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """One line of a JSONL file."""
        return json.loads(json.dumps(asdict(self)))


def from_json(row: Mapping[str, Any]) -> CodeTask:
    """A task from a line of a JSONL file.

    Raises:
        ValueError: if something is missing or of the wrong type.
    """
    for name, kind in (("instruction", str), ("verify", str), ("solution", str), ("failures", list)):
        if not isinstance(row.get(name), kind):
            raise ValueError(f'"{name}" is missing or not a {kind.__name__}')
    failures = tuple(row["failures"])
    if len(failures) != FAILURES or not all(isinstance(failure, str) for failure in failures):
        raise ValueError(f'"failures" has to be a list of {FAILURES} programs')
    explored = tuple((str(n), dict(a), str(o)) for n, a, o in row.get("explored", ()))
    return CodeTask(
        str(row.get("id", "")), row["instruction"], row["verify"], row["solution"], failures, explored,
        row.get("about", {}),
    )  # fmt: skip
