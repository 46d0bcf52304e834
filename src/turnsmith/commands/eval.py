"""`turnsmith eval POLICY [options]`: play tasks with a policy and say how well it does.

POLICY is a model folder, a checkpoint of a run, `shipped` (the small one in the package), or `openai:MODEL@BASE_URL`.
Tasks are those of the local sites, or your own: `--tasks FILE`, one JSON object a line (id, instruction, start_url).

Dialogues of ColBench: turnsmith eval colbench FILE --agent POLICY --simulator openai:MODEL@BASE_URL
Tools, with users:     turnsmith eval tools WORLD --agent POLICY [--user openai:MODEL@BASE_URL]
"""

import asyncio
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from turnsmith.errors import UserError
from turnsmith.options import parse_options

if TYPE_CHECKING:
    from turnsmith.runs.run import Run
    from turnsmith.trace.types import Trace


@dataclass(frozen=True, slots=True)
class Options:
    """How to evaluate.

    Attributes:
        tasks: a task file; without one, tasks of the local sites are drawn.
        sites: which local sites.
        split: of the local sites' tasks.
        count: how many tasks.
        judge: who says what a success is: oracle (the sites' own, WebArena's), exact, contains, regex, url, state:URL,
            unit:FILE, llm:MODEL@URL or module:Class; auto is the oracle, or what a task's hidden part can be judged by.
        horizon: the most actions of an episode.
        temperature: of sampling.
        max_new_tokens: the most tokens of one response.
        rendering: how prompts are written, and the action grammar with it; without one, as the model was made, else
            "turnsmith", whose agents type without sending and press keys (docs/browser.md).
        observation: what is observed: the element list and what else the page says (page), the element list alone, the
            accessibility tree, or the list and the tree (both).
        screenshots: record (and show to vision-language models) the screenshot with marks.
        sessions: browser sessions at once.
        seed: of tasks and sampling.
        name: the run's folder is `runs/NAME`; without one, "eval" with the date and time.
    """

    tasks: Path | None = None
    sites: tuple[str, ...] = ("shop", "forum", "docs", "recipes", "courses")
    split: str = "test"
    count: int = 64
    judge: str = "auto"
    horizon: int = 12
    temperature: float = 1.0
    max_new_tokens: int = 512
    rendering: Literal["compact", "webvoyager", "tti", "turnsmith"] | None = None
    observation: Literal["page", "elements", "tree", "both"] = "page"
    screenshots: bool = False
    sessions: int = 4
    seed: int = 0
    name: str = ""


def main(argv: list[str]) -> int:
    """Evaluate, print the table, and write the run with its report."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith eval POLICY [options]\n\n{__doc__}\nturnsmith eval POLICY --help lists the options.")
        return 0

    if argv[0] in ("colbench", "tools"):
        return importlib.import_module(f"turnsmith.commands.eval_{argv[0]}").main(argv[1:])
    policy = argv[0]
    options = parse_options(Options, argv[1:], prog=f"turnsmith eval {policy}", description=__doc__)
    from turnsmith.runs.run import Run, run_folder

    name = options.name or f"eval-{datetime.now():%Y%m%d-%H%M%S}"
    config = {"recipe": "eval", "policy": policy, **_json(options), "name": name}
    with Run(run_folder(name), config) as run:
        asyncio.run(_evaluate(policy, options, run))
    from turnsmith.view.report import write_report

    print(f"report: {write_report(run.folder)}")
    return 0


def _json(options: Options) -> dict[str, object]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in _fields(options).items()}


def _fields(options: Options) -> dict[str, object]:
    return {name: getattr(options, name) for name in Options.__slots__}


async def _evaluate(spec: str, options: Options, run: "Run") -> None:
    from turnsmith.agents.load import load_policy
    from turnsmith.engine.sampling import Sampling
    from turnsmith.envs.browser import BrowserEnvironment, ObservationConfig
    from turnsmith.judges.named import closed, judge_named
    from turnsmith.recipes.shared.web import model_folder
    from turnsmith.recipes.shared.web_tasks import FileTasks
    from turnsmith.rollout.collect import Limits, evaluation_episodes
    from turnsmith.rollout.stored import collect_into
    from turnsmith.runs.progress import episode_bar
    from turnsmith.trace.types import ORACLE
    from turnsmith.worlds.sites.server import LocalSites
    from turnsmith.worlds.sites.tasks import generate

    run.report(status="running", recipe="eval", config=run.config)
    if options.tasks is not None:
        source = FileTasks(str(options.tasks))
        tasks, host = source.tasks[: options.count], source.host()
    else:
        tasks, host = generate(options.sites, options.split, options.count, options.seed), LocalSites()
    if not tasks:
        raise UserError(f"{options.tasks}: there are no tasks in this file.")
    if options.judge.startswith("state:") and options.sessions > 1:
        raise UserError("--judge state:URL: episodes share that state. Play one at a time: --sessions 1.")
    judge = judge_named(options.judge, tasks)
    decides = ORACLE if judge is None else judge.name
    sampling = Sampling(temperature=options.temperature, max_new_tokens=options.max_new_tokens)
    policy = load_policy(model_folder(spec), rendering=options.rendering, sampling=sampling, unsaid="turnsmith")
    observation = ObservationConfig(
        elements=options.observation != "tree",
        page_text=options.observation == "page",
        tree="viewport" if options.observation in ("tree", "both") else False,
        screenshot="marked" if options.screenshots else None,
    )
    episodes = evaluation_episodes(tasks, options.seed)
    try:
        async with BrowserEnvironment(host, options.sessions, observation) as environment:
            with episode_bar("evaluating", len(episodes), decides) as on_trace:
                traces = await collect_into(
                    run.store,
                    environment,
                    policy,
                    episodes,
                    Limits(horizon=options.horizon),
                    workers=options.sessions,
                    judge=judge,
                    on_trace=on_trace,
                )
    finally:
        await closed(judge)
    _tell(run, spec, traces, decides)


def _tell(run: "Run", spec: str, traces: "Sequence[Trace]", decides: str) -> None:
    """Print what came of it by the judge that decides, and keep it in the run's report.

    Raises:
        UserError: if every episode was lost to machinery.
    """
    from turnsmith.evaluate.show import summary_table
    from turnsmith.evaluate.summary import summarize
    from turnsmith.runs.progress import console

    summary = summarize(traces, decides)
    if not summary.episodes and not summary.unjudged:
        kinds = ", ".join(sorted({str(trace.info.get("infra_error", "")) for trace in traces}))
        raise UserError(
            f"there is no result: all {len(traces)} episodes were lost to machinery ({kinds}). "
            f"Look at them: turnsmith traces ls {run.folder}"
        )
    console.print(summary_table({spec: summary}, f"Success by {decides}"))
    if summary.unjudged:
        console.print(
            f"{summary.unjudged} episodes are not judged: their tasks have no oracle, so they are in no rate. "
            f"Judge them: turnsmith traces judge {run.folder} --judge llm:MODEL@URL (docs/own_judge.md)"
        )
    low, high = summary.interval
    row = {"name": spec, "value": summary.success, "low": low, "high": high, "unit": "success"}
    run.report(status="done", summary=[row] if summary.episodes else [])
