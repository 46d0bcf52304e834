"""`turnsmith eval colbench FILE --agent POLICY --simulator openai:MODEL@BASE_URL`: ColBench's dialogues.

FILE has tasks in ColBench's form, one JSON object a line: of backend programming (with "test_cases") or of frontend
design (HTML as "ground_truth"). The agent is an endpoint or a model folder; the simulator, which alone sees the
reference, plays the person who is helped (a vision-language model for frontend design). docs/dialogue.md has the whole
way.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnsmith.errors import UserError
from turnsmith.jsonl import iter_jsonl
from turnsmith.options import parse_options

if TYPE_CHECKING:
    from turnsmith.runs.run import Run
    from turnsmith.trace.types import Task, Trace

USAGE = "turnsmith eval colbench FILE --agent POLICY --simulator openai:MODEL@BASE_URL"


@dataclass(frozen=True, slots=True)
class Options:
    """How to evaluate.

    Attributes:
        agent: a model folder, or openai:MODEL@BASE_URL.
        simulator: who is helped: openai:MODEL@BASE_URL.
        count: the first so many tasks of the file (ColBench's test split is the first 1,000; 0 takes all).
        attempts: episodes of each task.
        turns: the agent's turns; at the last one its words are its answer.
        temperature, max_new_tokens: of the agent's sampling.
        clip: a folder with a CLIP model, for frontend design; without one, similarity is structural and says so.
        tailwind: a local copy of Tailwind's stylesheet, which pages of frontend design are drawn with.
        against: a finished run on the same tasks: who wins how often, task by task.
        workers: episodes at once.
        seed: of the sampling.
        allow_unsafe: run answers without a sandbox where this machine has none.
        name: the run's folder is `runs/NAME`; without one, "colbench" with the date and time.
    """

    agent: str
    simulator: str
    count: int = 1000
    attempts: int = 1
    turns: int = 10
    temperature: float = 1.0
    max_new_tokens: int = 1024
    clip: Path | None = None
    tailwind: Path | None = None
    against: str = ""
    workers: int = 8
    seed: int = 0
    allow_unsafe: bool = False
    name: str = ""


def main(argv: list[str]) -> int:
    """Evaluate, print the table, and write the run with its report."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: {USAGE}\n\n{__doc__}\n{USAGE} --help lists the options.")
        return 0
    file = Path(argv[0])
    options = parse_options(Options, argv[1:], prog=f"turnsmith eval colbench {file}", description=__doc__)
    if options.attempts < 1 or options.turns < 1 or options.workers < 1:
        raise UserError("--attempts, --turns and --workers have to be at least 1.")
    from turnsmith.runs.run import Run, run_folder

    design, tasks = read(file, options.count)
    name = options.name or f"colbench-{datetime.now():%Y%m%d-%H%M%S}"
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()}
    config = {"recipe": "eval", "policy": options.agent, "tasks": str(file), **settings, "name": name}
    with Run(run_folder(name), config) as run:
        asyncio.run(_evaluate(options, design, tasks, run))
    from turnsmith.view.report import write_report

    print(f"report: {write_report(run.folder)}")
    return 0


def read(file: Path, count: int) -> "tuple[bool, list[Task]]":
    """Whether a file is about pages, and its tasks.

    Raises:
        UserError: if it has none.
    """
    from turnsmith.worlds.frontend import tasks as frontend
    from turnsmith.worlds.programs import colbench

    first = next((row for _, row in iter_jsonl(file)), None)
    if first is None:
        raise UserError(f"{file}: there are no tasks in this file.")
    design = frontend.is_design(first)
    reader = frontend.read_tasks if design else colbench.read_tasks
    return design, reader(file, "test", count or None)


async def _evaluate(options: Options, design: bool, tasks: "Sequence[Task]", run: "Run") -> None:
    from turnsmith.agents.load import load_policy
    from turnsmith.engine.openai_client import OpenAIClient, endpoint_of
    from turnsmith.engine.sampling import Sampling
    from turnsmith.envs.dialogue import DialogueEnvironment
    from turnsmith.rollout.collect import Episode, Limits
    from turnsmith.rollout.stored import collect_into
    from turnsmith.runs.progress import console, episode_bar
    from turnsmith.worlds.frontend.design import DesignDialogues, DesignManner
    from turnsmith.worlds.programs.backend import BackendDialogues, BackendManner

    run.report(status="running", recipe="eval", config=run.config)
    human = OpenAIClient(endpoint_of(options.simulator, "simulator"))
    dialogues: DesignDialogues | BackendDialogues
    if design:
        dialogues = DesignDialogues(human, _similarity(options.clip), options.tailwind, options.turns)
    else:
        dialogues = BackendDialogues(human, limit=options.turns, allow_unsafe=options.allow_unsafe)
    sampling = Sampling(temperature=options.temperature, max_new_tokens=options.max_new_tokens)
    agent = load_policy(options.agent, sampling=sampling, manner=DesignManner() if design else BackendManner())
    episodes = [
        Episode(f"eval-{index:05d}-{k}", task, (options.seed << 24) + 1000 * index + k, "eval")
        for index, task in enumerate(tasks)
        for k in range(options.attempts)
    ]
    try:
        async with DialogueEnvironment(dialogues) as environment:
            with episode_bar("dialogues", len(episodes)) as on_trace:
                traces = await collect_into(
                    run.store, environment, agent, episodes, Limits(options.turns, turn_seconds=600),
                    workers=options.workers, on_trace=on_trace,
                )  # fmt: skip
    finally:
        await human.close()
    found = numbers(traces, design)
    if not found["episodes"]:
        kinds = ", ".join(sorted({str(trace.info.get("infra_error", "")) for trace in traces}))
        raise UserError(
            f"there is no result: all {len(traces)} dialogues were lost to machinery ({kinds}). "
            f"Look at them: turnsmith traces ls {run.folder}"
        )
    console.print(_table(options.agent, found))
    if options.against:
        found["against"] = compare(traces, options.against, design)
        console.print(_line(found["against"]))
    from turnsmith.evaluate.summary import rewards_by_task

    unit = str(found.get("measure", "success"))
    row = {"name": options.agent, "value": found["value"], "low": found["low"], "high": found["high"], "unit": unit}
    run.report(status="done", summary=[row], numbers=found, rewards=rewards_by_task(traces))


def _similarity(clip: Path | None) -> Any:
    from turnsmith.worlds.frontend.similarity import StructuralSimilarity

    if clip is None:
        return StructuralSimilarity()
    from turnsmith.errors import require

    for package in ("torch", "transformers"):
        require(package, "hf")
    from turnsmith.worlds.frontend.clip import ClipSimilarity

    return ClipSimilarity(clip)


def numbers(traces: "Sequence[Trace]", design: bool) -> dict[str, Any]:
    """What these dialogues amount to; those lost to machinery are counted and in nothing else."""
    from turnsmith.evaluate.stats import bootstrap_mean, wilson
    from turnsmith.trace.types import Outcome

    played = [trace for trace in traces if trace.outcome is not Outcome.INFRA_ERROR and trace.turns]
    ends = [trace.turns[-1].info for trace in played]
    common = {
        "episodes": len(played),
        "infra_errors": len(traces) - len(played),
        "turns": _mean([len(trace.turns) for trace in played]),
    }
    if not played:
        return common
    if design:
        value, low, high = bootstrap_mean([float(end["similarity"]) for end in ends])
        unseen = _mean([not end["rendered"] for end in ends])
        measure = str(ends[0]["measure"])
        return {**common, "measure": measure, "value": value, "low": low, "high": high, "without_picture": unseen}
    wins = sum(bool(end["success"]) for end in ends)
    low, high = wilson(wins, len(ends))
    shares = {name: _mean([end[name] for end in ends]) for name in ("tests", "official_tests", "official_success")}
    return {**common, "value": wins / len(ends), "low": low, "high": high, **shares}


def compare(traces: "Sequence[Trace]", against: str, design: bool) -> dict[str, Any]:
    """These dialogues against those of another run: share of tasks won (a tie is half), and the mean difference.

    Raises:
        UserError: if the other run has none of these tasks, or measured something else.
    """
    from turnsmith.evaluate.stats import bootstrap_mean, paired_bootstrap
    from turnsmith.evaluate.summary import rewards_by_task
    from turnsmith.runs.run import find_run
    from turnsmith.trace.store import Store

    with Store(find_run(against), read_only=True) as store:
        others = list(store.traces(phase="eval"))
    measures = {str(t.turns[-1].info.get("measure", "success")) for t in (*traces, *others) if t.turns}
    if len(measures) > 1:
        raise UserError(f"--against {against}: one run measured {' and the other '.join(sorted(measures))}.")
    ours, theirs = rewards_by_task(traces), rewards_by_task(others)
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        raise UserError(f"--against {against}: it has none of these tasks.")
    wins = [0.5 if ours[task] == theirs[task] else float(ours[task] > theirs[task]) for task in shared]
    rate, low, high = bootstrap_mean(wins)
    difference = paired_bootstrap([theirs[task] for task in shared], [ours[task] for task in shared])
    return {
        "run": against, "tasks": len(shared), "win_rate": rate, "low": low, "high": high,
        "difference": difference[0], "difference_low": difference[1], "difference_high": difference[2],
    }  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _table(name: str, found: Mapping[str, Any]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(name), title_justify="left", box=SIMPLE_HEAD, show_header=False)

    def bounds(factor: float, form: str) -> str:
        return f"{factor * found['low']:{form}} to {factor * found['high']:{form}}"

    if "measure" in found:
        table.add_row(f"{found['measure']} similarity", f"{found['value']:.3f}", f"95 %: {bounds(1, '.3f')}")
        table.add_row("pages without a picture", f"{100 * found['without_picture']:.1f} %", "")
    else:
        table.add_row("success", f"{100 * found['value']:.1f} %", f"95 %: {bounds(100, '.1f')} %")
        table.add_row("tests passed", f"{100 * found['tests']:.1f} %", "")
        table.add_row("success, official scorer", f"{100 * found['official_success']:.1f} %", "")
        table.add_row("tests passed, official scorer", f"{100 * found['official_tests']:.1f} %", "")
    table.add_row("dialogues", str(found["episodes"]), f"{found['turns']:.1f} turns each")
    if found["infra_errors"]:
        table.add_row("lost to machinery", str(found["infra_errors"]), "in no figure above")
    return table


def _line(found: Mapping[str, Any]) -> str:
    return (
        f"against {found['run']}: wins {100 * found['win_rate']:.1f} % of {found['tasks']} tasks "
        f"(95 %: {100 * found['low']:.1f} to {100 * found['high']:.1f} %)"
    )
