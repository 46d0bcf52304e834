"""`turnsmith eval tools WORLD --agent POLICY [--user openai:MODEL@BASE_URL]`: agents that use tools, by chat.

WORLD is tau_retail or tau_airline (tau-bench's own tasks; a model has to play their users), one of those with
_synthetic behind it (made up, users by rule where no model plays them), m3_trade, m3_travel, m3_message, or
tau2_retail, tau2_airline (the official package, in a Python of its own). The agent is an endpoint or a model folder.
docs/tools.md says what success is.
"""

import asyncio
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from turnsmith.errors import UserError
from turnsmith.options import parse_options

if TYPE_CHECKING:
    from turnsmith.agents.manner import Manner
    from turnsmith.engine.openai_client import OpenAIClient
    from turnsmith.envs.base import Environment
    from turnsmith.runs.run import Run
    from turnsmith.trace.types import Task

USAGE = "turnsmith eval tools WORLD --agent POLICY [--user openai:MODEL@BASE_URL]"


@dataclass(frozen=True, slots=True)
class Options:
    """How to evaluate.

    Attributes:
        agent: a model folder, or openai:MODEL@BASE_URL.
        user: who plays the users: openai:MODEL@BASE_URL; without one they work by rule, where there is one.
        split: train, dev or test.
        count: at most so many tasks.
        attempts: episodes of each task: k of pass@k and pass^k.
        horizon: the most actions of an episode.
        temperature, max_new_tokens: of the agent's sampling.
        workers: episodes at once.
        seed: of the sampling, and of made-up tasks.
        name: the run's folder is `runs/NAME`; without one, the world with the date and time.
    """

    agent: str
    user: str = ""
    split: Literal["train", "dev", "test"] = "test"
    count: int = 115
    attempts: int = 4
    horizon: int = 30
    temperature: float = 1.0
    max_new_tokens: int = 1024
    workers: int = 8
    seed: int = 0
    name: str = ""


def main(argv: list[str]) -> int:
    """Evaluate, print the table, and write the run with its report."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: {USAGE}\n\n{__doc__}\n{USAGE} --help lists the options.")
        return 0
    world = argv[0]
    options = parse_options(Options, argv[1:], prog=f"turnsmith eval tools {world}", description=__doc__)
    if options.attempts < 1 or options.count < 1 or options.workers < 1:
        raise UserError("--attempts, --count and --workers have to be at least 1.")
    from turnsmith.runs.run import Run, run_folder

    name = options.name or f"{world}-{datetime.now():%Y%m%d-%H%M%S}"
    config = {"recipe": "eval", "policy": options.agent, "world": world, **asdict(options), "name": name}
    with Run(run_folder(name), config) as run:
        asyncio.run(_evaluate(world, options, run))
    from turnsmith.view.report import write_report

    print(f"report: {write_report(run.folder)}")
    return 0


async def _evaluate(world: str, options: Options, run: "Run") -> None:
    from turnsmith.agents.load import load_policy
    from turnsmith.engine.openai_client import OpenAIClient, endpoint_of
    from turnsmith.engine.sampling import Sampling
    from turnsmith.evaluate.summary import rewards_by_task
    from turnsmith.rollout.collect import Episode, Limits
    from turnsmith.rollout.stored import collect_into
    from turnsmith.runs.progress import console, episode_bar

    run.report(status="running", recipe="eval", config=run.config)
    human = OpenAIClient(endpoint_of(options.user, "user")) if options.user else None
    environment, tasks, manner, idle = _scene(world, options, human)
    sampling = Sampling(temperature=options.temperature, max_new_tokens=options.max_new_tokens)
    agent = load_policy(options.agent, sampling=sampling, manner=manner)
    episodes = [
        Episode(f"eval-{index:05d}-{k}", task, (options.seed << 24) + 1000 * index + k, "eval")
        for index, task in enumerate(tasks)
        for k in range(options.attempts)
    ]
    try:
        async with environment:
            with episode_bar(world, len(episodes)) as on_trace:
                limits = Limits(options.horizon, turn_seconds=600)
                traces = await collect_into(
                    run.store, environment, agent, episodes, limits, workers=options.workers, on_trace=on_trace
                )
    finally:
        if human is not None:
            await human.close()
    attempts: dict[str, list[float]] = {}
    for trace in traces:
        if (reward := trace.reward()) is not None:
            attempts.setdefault(trace.task.id, []).append(reward)
    if not attempts:
        kinds = ", ".join(sorted({str(trace.info.get("infra_error", "")) for trace in traces}))
        raise UserError(f"there is no result: all {len(traces)} episodes were lost to machinery ({kinds}).")
    found = {**passes(attempts, options.attempts), **({} if idle is None else {"inaction": idle})}
    console.print(_table(world, options.agent, found))
    row = {"name": options.agent, "value": found["pass@1"], "unit": "pass@1"}
    run.report(status="done", summary=[row], numbers=found, rewards=rewards_by_task(traces))


def _scene(
    world: str, options: Options, human: "OpenAIClient | None"
) -> "tuple[Environment, list[Task], Manner, float | None]":
    """Environment, tasks, how an agent is spoken to, and what doing nothing earns (None where that is not known).

    Raises:
        UserError: if there is no such world, or nobody plays its users.
    """
    from turnsmith.agents.human import ChatUser
    from turnsmith.agents.tool_manner import ToolManner
    from turnsmith.envs.tools.tau2 import Tau2Environment
    from turnsmith.worlds.desks import place_of

    unplayed = UserError(f"the users of {world} are free text: --user openai:MODEL@BASE_URL plays them.")
    if world.startswith("tau2_"):
        if human is None:
            raise unplayed
        model = human.endpoint.model
        official = Tau2Environment(
            world.removeprefix("tau2_"), lambda task, seed: ChatUser(human, str(task.hidden["brief"]), seed, model)
        )
        found = official.tasks(options.split)[: options.count]
        return official, found, ToolManner(official.specs, official.policy, True), None
    place = place_of(world)
    if place.official and human is None:
        raise unplayed
    tasks = place.tasks(options.split, options.count, options.seed)
    environment = place.environment(human, "" if human is None else human.endpoint.model)
    idle = sum(environment.gold(task) == {} for task in tasks) / max(1, len(tasks))
    return environment, tasks, ToolManner(place.world.specs, place.world.policy, place.users), idle


def passes(attempts: dict[str, list[float]], k: int) -> dict[str, Any]:
    """pass@1 of all tasks, pass@k and pass^k of those with k attempts, kept apart; and how many that are."""
    from turnsmith.evaluate.passes import mean_passes

    whole = [rewards for rewards in attempts.values() if len(rewards) == k]
    one = sum(sum(rewards) / len(rewards) for rewards in attempts.values()) / len(attempts)
    found: dict[str, Any] = {"pass@1": one, "tasks": len(attempts), "whole": len(whole)}
    if k > 1 and whole:
        any_of, all_of = mean_passes([int(sum(rewards)) for rewards in whole], [k] * len(whole), k)
        found |= {f"pass@{k}": any_of, f"pass^{k}": all_of}
    return found


def _table(world: str, agent: str, found: dict[str, Any]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    names = [name for name in found if name.startswith("pass")]
    table = Table(title=f"{world}: {found['tasks']} tasks", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", overflow="fold")
    for name in names:
        table.add_column(name, justify="right")
    table.add_row(escape(agent), *(f"{100 * found[name]:.1f} %" for name in names))
    for idle in ("do nothing", "transfer at once") if "inaction" in found else ():
        table.add_row(idle, *(f"{100 * found['inaction']:.1f} %" for _ in names))
    return table
