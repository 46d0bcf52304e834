"""`turnsmith bench credit`: how many turns a second `turnsmith credit` judges, a critic from scratch included.

600 made dialogues of six turns, in which asking for the one thing that `hidden` calls broken decides. The whole way is
timed: words to features, choosing features and ridge, cross-fitting twice. How well the turns that decide are told from
the rest is printed beside it.
"""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from turnsmith.errors import UserError, require
from turnsmith.evaluate.claims import Claim, record
from turnsmith.options import parse_options
from turnsmith.trace.types import ORACLE, Action, Observation, Outcome, Task, Trace, Turn, Verdict

_FULL = 600
TURNS = 6
_PARTS = tuple(f"{kind} {place}" for kind in ("pump", "valve", "filter", "sensor") for place in ("inlet", "outlet"))
_TALK = ("One moment please.", "I am looking into it.", "Thanks for waiting.", "Let me see what I can do for you.")


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured.

    Attributes:
        episodes: how many dialogues; the claim is recorded for 600 only.
        results: the folder for results/bench_credit.json.
    """

    episodes: int = _FULL
    results: Annotated[Path, tyro.conf.arg(help="the folder of results")] = Path("results")


def main(argv: list[str]) -> int:
    """Measure, print, and record the claim."""
    options = parse_options(Options, argv, prog="turnsmith bench credit", description=__doc__)
    if options.episodes < 40:
        raise UserError("bench credit needs at least --episodes 40.")
    require("torch", "hf")
    from turnsmith.critics.log_credit import credit_log, hidden_texts
    from turnsmith.evaluate.ranking import auc

    log, labels = made_log(options.episodes)
    began = time.perf_counter()
    credit = credit_log(log, "sweet", hidden=hidden_texts(log, "report"))
    seconds = time.perf_counter() - began
    rate = options.episodes * TURNS / seconds
    found = auc([a for row in credit.advantages for a in row], labels) or 0.0
    print(f"{options.episodes:,} dialogues of {TURNS} turns in {seconds:.1f} s: {rate:.0f} turns a second")
    print(f"AUC for the turns that decide: {found:.3f}")
    if options.episodes == _FULL:
        claim = Claim(
            "turns_per_s",
            f"Turns judged a second by turnsmith credit, {_FULL} dialogues of {TURNS} turns, critic from scratch",
            round(rate, 1),
            goal=">= 6",  # ten minutes
            note=f"{seconds:.0f} s in all; AUC for the turns that decide {found:.3f}",
        )
        print(f"recorded in {record('bench_credit', [claim], 'turnsmith bench credit', options.results)}")
    else:
        print(f"Not recorded: the claim is about {_FULL} dialogues.")
    return 0


def made_log(count: int, seed: int = 0) -> tuple[list[Trace], list[bool]]:
    """Dialogues, and of each turn whether it helps to decide the outcome."""
    source, log, labels = random.Random(seed), [], []
    for index in range(count):
        broken = source.sample(_PARTS, 3)
        turns, hits = [], 0
        for _ in range(TURNS):
            part = source.choice(_PARTS) if source.random() < 0.6 else ""
            text = f"Did you look at the {part}?" if part else source.choice(_TALK)
            labels.append(part in broken)
            hits += part in broken
            turns.append(Turn(Observation("Okay, go on."), Action(text)))
        won = (hits >= 1) != (source.random() < 0.1)
        task = Task(f"task-{index}", "The machine stopped.", "imported", hidden={"report": ", ".join(broken)})
        outcome = Outcome.SUCCESS if won else Outcome.FAILURE
        log.append(Trace(f"log-{index}", task, tuple(turns), outcome, (Verdict(ORACLE, float(won)),)))
    return log, labels
