"""A process of the soak that writes traces and says of each that it is stored, until it is killed.

`python -m turnsmith.bench.soak_writer FOLDER FIRST` appends traces FIRST, FIRST + 1, … to FOLDER/run.db and prints each
number once `append` has returned.
"""

import sys
import time
from pathlib import Path

from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE, Action, Call, ImageRef, Observation, Outcome, Task, Trace, Turn, Verdict


def trace_of(number: int) -> Trace:
    """A trace with pictures of its own; the same number makes the same trace."""
    turns = tuple(
        Turn(
            Observation(f"page {number}", (ImageRef.of(f"{number}/{place}".encode() * 4000),), info={"elements": []}),
            Action("Action: Click [1]", Call("click", {"mark": 1}), token_ids=(1, 2), logprobs=(-0.5, -0.25)),
        )
        for place in range(3)
    )
    task = Task(f"task-{number % 20}", "Find the lamp", "browser", {"site": "shop"})
    return Trace(f"soak-{number}", task, turns, Outcome.SUCCESS, (Verdict(ORACLE, 1.0),), seed=number)


def main(folder: str, first: str) -> None:
    """Write for ever."""
    number = int(first)
    with Store(Path(folder) / "run.db") as store:
        while True:
            store.append(trace_of(number))
            print(number, flush=True)
            number += 1
            time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:3])
