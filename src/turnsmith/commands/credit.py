"""`turnsmith credit RUN [--method sweet|outcome|step|q]`: which turns of your logs made the difference.

RUN is a run with outcomes: one of yours, or logs that came in by `turnsmith traces import FILE RUN`. A small critic is
learned from these logs alone; what it says of an episode comes from fits that did not see it. Value and advantage of
every turn are written to the run, where `traces show`, `traces export --by credit` and the viewer have them.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnsmith.credit.record import record
from turnsmith.errors import UserError, require
from turnsmith.options import parse_options
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import find_run
from turnsmith.trace.store import Store
from turnsmith.trace.types import ORACLE

if TYPE_CHECKING:
    from turnsmith.critics.log_credit import LogCredit
    from turnsmith.trace.types import Trace, Turn

_WIDTH = 78
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Options:
    """How credit is given.

    Attributes:
        method: sweet (a critic of turns, which may read hidden information), outcome (less a learned baseline), step
            (difference of a fitted V) or q (Q − V).
        hidden: the field of the tasks' hidden information that the critic may read; "*" for all of it.
        model: a local Hugging Face model whose log-probabilities of the turns the critic may use.
        out: a JSONL file with one row a turn: {"trace", "turn", "advantage"}.
        judge: whose verdict is the outcome.
        phase: only traces of this phase.
        seed: of the cross-fitting.
        device: of the model, such as "cpu" or "cuda".
    """

    method: str = "sweet"
    hidden: str | None = None
    model: Path | None = None
    out: Path | None = None
    judge: str = ORACLE
    phase: str | None = None
    seed: int = 0
    device: str | None = None


def main(argv: list[str]) -> int:
    """Give credit, print the best and worst turns, and write it to the run."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith credit RUN [options]\n\n{__doc__}\nturnsmith credit RUN --help lists the options.")
        return 0
    name = argv[0]
    options = parse_options(Options, argv[1:], prog=f"turnsmith credit {name}", description=__doc__)
    require("torch", "hf")
    from turnsmith.critics.log_credit import METHODS, credit_log, hidden_texts
    from turnsmith.critics.turn_critic import CriticConfig

    if options.method not in METHODS:
        raise UserError(f"unknown method {options.method!r}. Methods: {', '.join(METHODS)}.")
    if options.hidden is not None and options.method != "sweet":
        raise UserError(f"--hidden is for --method sweet; {options.method} values what the agent saw.")
    database = find_run(name)
    with Store(database, read_only=True) as store:
        traces = list(store.traces(phase=options.phase))
    texts = hidden_texts(traces, options.hidden)
    likelihoods = _likelihoods(options, database.parent, traces, texts) if options.model is not None else ()
    with progress_bar("learning which turns matter", 1) as advance:
        so_far = 0.0

        def on_fit(done: int, total: int) -> None:
            nonlocal so_far
            advance(done / total - so_far)
            so_far = done / total

        credit = credit_log(
            traces,
            options.method,  # type: ignore[arg-type]
            hidden=texts,
            likelihoods=likelihoods,
            judge=options.judge,
            config=CriticConfig(seed=options.seed),
            on_fit=on_fit,
        )
    _write(database, credit, options.method)
    if options.out is not None:
        _write_rows(options.out, credit)
    _print(credit, options, name)
    return 0


def _likelihoods(
    options: Options, folder: Path, traces: "Sequence[Trace]", texts: Sequence[str]
) -> list[tuple[str, list[list[float]]]]:
    """Log-probabilities of the model, scored once for these traces and kept in the run's folder."""
    require("transformers", "hf")
    from turnsmith.agents.load import load_model, load_tokenizer
    from turnsmith.critics.turn_likelihood import turn_likelihoods
    from turnsmith.runs.once import once

    model_folder = options.model
    assert model_folder is not None
    if not model_folder.is_dir():
        raise UserError(f"--model {model_folder}: there is no such folder.")
    stamp = [[path.name, path.stat().st_size] for path in sorted(model_folder.iterdir()) if path.is_file()]
    inputs = {"model": str(model_folder.resolve()), "files": stamp, "traces": [trace.id for trace in traces]}
    loaded: list[Any] = []

    def scored(hidden: Sequence[str] | None, what: str) -> list[list[float]]:
        if not loaded:
            loaded.extend([load_model(model_folder, options.device), load_tokenizer(model_folder)[0]])
        with progress_bar(what, len(traces)) as advance:
            return turn_likelihoods(loaded[0].eval(), loaded[1], traces, hidden, on_trace=advance)

    root = folder / "cache"
    without = once(root, "credit/likelihood", inputs, lambda: scored(None, "reading with the model"))
    found = [("log-probability", without)]
    if options.hidden is not None:
        with_hidden = {**inputs, "hidden": options.hidden}
        make = lambda: scored(texts, "reading with hidden information")  # noqa: E731
        known = once(root, "credit/likelihood-hidden", with_hidden, make)
        pairs = zip(known, without, strict=True)
        gain = [[a - b for a, b in zip(*rows, strict=True)] for rows in pairs]
        found += [("log-probability with hidden", known), ("gain by hidden", gain)]
    return found


def _write(database: Path, credit: "LogCredit", method: str) -> None:
    ids = [trace.id for trace in credit.traces]
    values, advantages = (dict(zip(ids, rows, strict=True)) for rows in (credit.values, credit.advantages))
    with Store(database) as store:
        record(store, f"credit-{method}", 0, values=values, advantages=advantages)


def _write_rows(path: Path, credit: "LogCredit") -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for trace, advantages in zip(credit.traces, credit.advantages, strict=True):
                for turn, advantage in enumerate(advantages):
                    file.write(json.dumps({"trace": trace.id, "turn": turn, "advantage": advantage}) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: could not write ({error.strerror}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def _print(credit: "LogCredit", options: Options, name: str) -> None:
    from rich.text import Text

    from turnsmith.critics.log_credit import calibration

    def put(line: str, style: str = "") -> None:
        console.print(Text(line, style), soft_wrap=True)

    fitted = credit.fitted
    turns = sum(len(row) for row in credit.advantages)
    won = sum(credit.rewards) / len(credit.rewards)
    put(f"{len(credit.traces):,} episodes, {turns:,} turns, mean outcome {won:.2f}" + _left_out(credit.left_out))
    unit = "log-odds of success" if options.method == "sweet" else "probability of success"
    ranked = sorted(
        (advantage, number, turn)
        for number, row in enumerate(credit.advantages)
        for turn, advantage in enumerate(row)
    )  # fmt: skip
    if options.method != "outcome":
        for title, rows in (("best", ranked[::-1]), ("worst", ranked)):
            put(f"\nThe {title} turns ({unit}):", "bold")
            for advantage, number, turn in _different(credit, rows):
                trace = credit.traces[number]
                put(f"  {advantage:+.2f}  {trace.id} turn {turn}", "green" if title == "best" else "red")
                put(f"         {_said(trace.turns[turn])}")
        words = [(n, w) for n, w in fitted.telling if abs(w) > 1e-3]
        if words:
            put("\nWhat tells them:", "bold")
            for sign, label in ((1, "for"), (-1, "against")):
                for feature, weight in sorted((r for r in words if r[1] * sign > 0), key=lambda r: -abs(r[1]))[:_SHOWN]:
                    put(f"  {label:7}  {weight:+.2f}  {feature[:60]}")
    put("\nHow sure this is:", "bold")
    better = 100 * (1 - fitted.log_loss / fitted.base_loss) if fitted.base_loss else 0.0
    put(f"  outcomes of episodes not seen: {better:.0f} % of their uncertainty explained ({fitted.features})")
    if fitted.agreement == fitted.agreement:
        put(f"  two fits on different folds agree with a correlation of {fitted.agreement:.2f} on single turns")
    put("  value said, and what came of it:")
    for value, outcome, count in calibration(credit):
        put(f"    {value:.2f}  {outcome:.2f}  ({count:,} turns)")
    if better < 2:
        put("  This is next to nothing: take the credit for noise, or give more episodes.", "yellow")
    put(f"\nIn the run now: turnsmith traces show {name} ID" + (f"; and in {options.out}" if options.out else ""))


def _left_out(count: int) -> str:
    return f" ({count:,} traces without an outcome left out)" if count else ""


def _different(credit: "LogCredit", rows: Sequence[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """The first few turns that say different things."""
    found, texts = [], set()
    for row in rows:
        text = credit.traces[row[1]].turns[row[2]].action.text
        if text not in texts:
            texts.add(text)
            found.append(row)
        if len(found) == _SHOWN:
            break
    return found


def _said(turn: "Turn") -> str:
    from turnsmith.commands.traces_show import printable
    from turnsmith.critics.turn_words import said

    text = " ".join(printable(said(turn).text).split())
    return text if len(text) <= _WIDTH - 9 else text[: _WIDTH - 10] + "…"
