"""Recorded claims: `results/NAME.json`, a list of figures with what made them.

A claim that does not hold is recorded as not holding. Values come from runs, never from the keyboard: recipes and
benchmarks call `record` at their end, with the command that regenerates the figure.
"""

import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from turnsmith.errors import UserError
from turnsmith.jsonl import parse_json

_GOAL = re.compile(r"(>=|<=|>|<|==)\s*(-?\d+(?:\.\d+)?)(?:\s*\+-\s*(\d+(?:\.\d+)?))?(\s*and interval above 0)?")


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure.

    Attributes:
        id: a stable name, such as "success_gain_points".
        claim: one sentence in words.
        value: the figure that the id names; None where it could not be measured (the note says why).
        goal: the condition as text: ">= 25", "== 1.51 +- 0.02", ">= 8 and interval above 0"; "" for a plain record.
        paper: the paper's figure, as text; "" where there is none.
        baseline: what it is compared with.
        ci95: the 95 % interval of `value`; None where there is none.
        seeds: the seeds that were run.
        note: settings, what was tried, what stands in the way.
    """

    id: str
    claim: str
    value: float | None
    goal: str = ""
    paper: str = ""
    baseline: float | str | None = None
    ci95: tuple[float, float] | None = None
    seeds: tuple[int, ...] = ()
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether value (and interval, where the goal says so) meets the goal; None for a plain record."""
        if not self.goal:
            return None
        match = _GOAL.fullmatch(self.goal.strip())
        if match is None:
            raise ValueError(f"claim {self.id}: cannot read the goal {self.goal!r}")
        sign, number, tolerance, interval = match[1], float(match[2]), float(match[3] or 0), match[4]
        if self.value is None:
            return False
        met = {
            ">=": self.value >= number,
            "<=": self.value <= number,
            ">": self.value > number,
            "<": self.value < number,
            "==": abs(self.value - number) <= tolerance,
        }[sign]
        return met and (not interval or (self.ci95 is not None and self.ci95[0] > 0))


def record(name: str, claims: Sequence[Claim], command: str, results: Path = Path("results")) -> Path:
    """Write `results/NAME.json`, replacing claims of the same id and keeping the others.

    Args:
        name: the recipe, or "bench_NAME".
        claims: what was measured.
        command: the command that regenerates the figures.
        results: the folder; it is created when missing.

    Returns:
        The path of the file.
    """
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{name}.json"
    stamp = {
        "command": command,
        "machine": machine(),
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    rows = {row["id"]: row for row in read_claims(path)} if path.exists() else {}
    for claim in claims:
        rows[claim.id] = {**asdict(claim), "holds": claim.holds, **stamp}
    with tempfile.NamedTemporaryFile("w", dir=results, suffix=".tmp", delete=False, encoding="utf-8") as file:
        json.dump(list(rows.values()), file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.replace(file.name, path)
    return path


def read_claims(path: Path) -> list[dict[str, Any]]:
    """The claims of one file.

    Raises:
        UserError: if the file is not a list of claims.
    """
    try:
        rows = parse_json(path.read_text(encoding="utf-8"))
        if not all(isinstance(row, dict) and "id" in row for row in rows):
            raise ValueError("not a list of claims")
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: not a file of claims ({error}). Run the recipe or benchmark again.") from error
    return rows


def machine() -> str:
    """The machine in words: processor, cores, memory, accelerator where torch sees one."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        model = found[1].strip() if found else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    text = f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB"
    try:
        import torch

        if torch.cuda.is_available():
            text += f", {torch.cuda.get_device_name(0)}"
    except ImportError:
        pass
    return text


def _commit() -> str:
    """The commit of the code that is running, with "+" where the tree differs from it; "" outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if dirty else "")
