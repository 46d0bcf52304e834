"""`turnsmith bench store`: how fast traces with screenshots are written and read back at random.

10,000 traces of 10 turns, each turn with its own screenshot of 40 KB (incompressible bytes: a JPEG to the disk), one
commit a trace. The floor stands beside it: the same bytes appended to a plain file, in turns with the store so that
both see the same machine. Making the pictures is not counted.
"""

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from turnsmith.errors import UserError
from turnsmith.evaluate.claims import Claim, record
from turnsmith.options import parse_options
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Call, ImageRef, Observation, Outcome, Task, Trace, Turn, Verdict

TURNS = 10
SCREENSHOT_BYTES = 40_000
_FULL = 10_000
_BATCH = 100  # traces between two looks at the plain file


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured.

    Attributes:
        traces: how many are written; the claims are recorded for 10,000 only.
        reads: how many are read back at random.
        folder: where the temporary run is made (default: the system's temporary folder); it takes 4.5 GB.
        results: the folder for results/bench_store.json.
    """

    traces: int = _FULL
    reads: int = 2_000
    folder: Path | None = None
    results: Annotated[Path, tyro.conf.arg(help="the folder of results")] = Path("results")


@dataclass(slots=True)
class Figures:
    """Seconds of every operation."""

    append: list[float] = field(default_factory=list)
    plain_file: float = 0.0
    read_cold: list[float] = field(default_factory=list)
    read_warm: list[float] = field(default_factory=list)
    list_all: list[float] = field(default_factory=list)
    file_bytes: int = 0
    load: float = 0.0


def main(argv: list[str]) -> int:
    """Measure, print the table, and record the claims."""
    options = parse_options(Options, argv, prog="turnsmith bench store", description=__doc__)
    if options.traces < _BATCH or options.reads < 1:
        raise UserError(f"bench store needs at least --traces {_BATCH} and --reads 1.")
    _check_disk(options)
    try:
        with tempfile.TemporaryDirectory(prefix="turnsmith-bench-store-", dir=options.folder) as folder:
            figures = _measure(Path(folder), options)
    except OSError as error:
        raise UserError(f"{options.folder or tempfile.gettempdir()}: could not write ({error.strerror}).") from error
    _print(figures, options)
    if options.traces == _FULL:
        path = record("bench_store", _claims(figures), "turnsmith bench store", options.results)
        print(f"recorded in {path}")
    else:
        print(f"Not recorded: the claims are about {_FULL:,} traces.")
    return 0


def _check_disk(options: Options) -> None:
    folder = options.folder or Path(tempfile.gettempdir())
    if not folder.is_dir():
        raise UserError(f"{folder}: is not a folder. Name another with --folder.")
    needed = int(options.traces * TURNS * SCREENSHOT_BYTES * 1.3) + 200_000_000
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: {free / 1e9:.1f} GB are free, but {options.traces:,} traces need {needed / 1e9:.1f} GB. "
            "Use --traces N for fewer, or --folder for another disk."
        )


def _measure(folder: Path, options: Options) -> Figures:
    figures = Figures(load=os.getloadavg()[0])
    database = folder / "run.db"
    with Store(database) as store, (folder / "plain").open("wb") as plain:
        batch: list[Trace] = []
        for trace in _progress(_traces(options.traces), options.traces, "writing"):
            batch.append(trace)
            if len(batch) == _BATCH:
                figures.append += [_seconds(lambda t=t: store.append(t)) for t in batch]
                figures.plain_file += _seconds(lambda b=batch: _write_plain(plain, b))
                batch = []
        figures.append += [_seconds(lambda t=t: store.append(t)) for t in batch]
    figures.file_bytes = database.stat().st_size
    rng = random.Random(1)
    chosen = [f"trace-{rng.randrange(options.traces):06}" for _ in range(options.reads)]
    _forget(database)
    with Store(database, read_only=True) as store:
        # the second pass reads what the first one brought in, so that nothing comes from the disk
        for seconds, name in ((figures.read_cold, "reading cold"), (figures.read_warm, "reading cached")):
            for trace_id in _progress(chosen, options.reads, name):
                seconds.append(_seconds(lambda i=trace_id: store.with_images(store.get(i))))
        figures.list_all = [_seconds(store.summaries) for _ in range(5)]
    return figures


def _traces(count: int) -> Iterator[Trace]:
    """Traces as a browser run makes them: an element list, a thought and action with tokens, a distinct screenshot."""
    rng = random.Random(0)
    pictures = [rng.randbytes(SCREENSHOT_BYTES - 8) for _ in range(64)]
    elements = "\t".join(f'[{mark}]: <a> "Product {mark} of the shop";' for mark in range(40))
    for number in range(count):
        turns = []
        for position in range(TURNS):
            picture = (number * TURNS + position).to_bytes(8, "big") + rng.choice(pictures)
            action = Action(
                f"Thought: the product is in row {position}.\nAction: Click [{position}]",
                Call("click", {"mark": position}),
                prompt_ids=tuple(range(400)),
                token_ids=tuple(range(40)),
                logprobs=(-0.5,) * 40,
            )
            turns.append(Turn(Observation(elements, (ImageRef.of(picture),), info={"url": "http://shop/"}), action))
        task = Task(f"task-{number % 500}", "Find the cheapest red shoe", "browser", {"site": "shop"})
        verdict = Verdict("oracle", float(number % 2))
        outcome = Outcome.SUCCESS if number % 2 else Outcome.FAILURE
        yield Trace(f"trace-{number:06}", task, tuple(turns), outcome, (verdict,), info={"phase": "train"})


def _write_plain(file, traces: list[Trace]) -> None:
    """The floor: the same screenshots appended to one file and synced (the store syncs at its checkpoints)."""
    file.seek(0)  # over and over the same stretch, so that the disk need not hold everything twice
    for trace in traces:
        for turn in trace.turns:
            file.write(turn.observation.images[0].data)
    file.flush()
    os.fsync(file.fileno())


def _forget(path: Path) -> None:
    """Ask the system to drop the file from its page cache, where it can."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _progress(items, total: int, name: str):
    return track(items, name, total, console=Console(stderr=True), transient=True)


def _print(figures: Figures, options: Options) -> None:
    trace_megabytes = TURNS * SCREENSHOT_BYTES / 1e6
    plain_traces = options.traces // _BATCH * _BATCH
    table = Table(title=f"{options.traces:,} traces of {TURNS} turns, {trace_megabytes:g} MB each", box=SIMPLE_HEAD)
    for heading in ("what", "traces/s", "MB/s", "median ms", "p95 ms"):
        table.add_column(heading, justify="left" if heading == "what" else "right")

    def row(name: str, seconds: list[float]) -> None:
        rate = len(seconds) / sum(seconds)
        median, p95 = statistics.median(seconds) * 1e3, statistics.quantiles(seconds, n=20)[-1] * 1e3
        table.add_row(name, f"{rate:,.0f}", f"{rate * trace_megabytes:,.0f}", f"{median:.2f}", f"{p95:.2f}")

    row("write, one commit a trace", figures.append)
    rate = plain_traces / figures.plain_file
    table.add_row("  floor: plain file, synced", f"{rate:,.0f}", f"{rate * trace_megabytes:,.0f}", "", "")
    row("read at random with images, cold", figures.read_cold)
    row("read at random with images, cached", figures.read_warm)
    listing = statistics.median(figures.list_all)
    table.add_row("list all", f"{options.traces / listing:,.0f}", "", f"{listing * 1e3:.0f}", "")
    Console().print(table)
    written = options.traces * trace_megabytes * 1e6
    print(
        f"{written / 1e6:,.0f} MB of screenshots; the run's file, with texts and tokens, has "
        f"{figures.file_bytes / 1e6:,.0f} MB; load {figures.load:.1f} at the start"
    )


def _claims(figures: Figures) -> list[Claim]:
    megabytes = TURNS * SCREENSHOT_BYTES / 1e6
    write, warm, cold = (
        len(seconds) / sum(seconds) for seconds in (figures.append, figures.read_warm, figures.read_cold)
    )
    plain = _FULL / figures.plain_file
    setting = f"{_FULL:,} traces of {TURNS} turns with {SCREENSHOT_BYTES / 1e3:g} KB screenshots"
    return [
        Claim(
            "traces_per_s_write",
            f"Traces written a second, one commit each: {setting}",
            round(write, 1),
            baseline=f"a plain file, synced, side by side: {plain:.0f}",
            note=f"{write * megabytes:.0f} MB/s, plain file {plain * megabytes:.0f} MB/s; median "
            f"{statistics.median(figures.append) * 1e3:.2f} ms a trace; load {figures.load:.1f}",
        ),
        Claim(
            "traces_per_s_random_read",
            f"Traces read back at random with all images: {setting}",
            round(warm, 1),
            note=f"{warm * megabytes:.0f} MB/s from the page cache; {cold:.0f} traces/s after dropping it; "
            f"listing all takes {statistics.median(figures.list_all) * 1e3:.0f} ms",
        ),
    ]
