"""The challenger's part: write proposals, check them in the sandbox, audit what the filters keep."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from turnsmith.agents.base import Context
from turnsmith.agents.log_policy import LogPolicy
from turnsmith.envs.sandbox import SandboxPool
from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.code_task import CodeTask
from turnsmith.errors import ParseError
from turnsmith.recipes.sca.agent import challenge_tasks, challenger_environment, with_role
from turnsmith.recipes.sca.config import Config
from turnsmith.rollout.collect import Episode, Limits
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import episode_bar, progress_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.challenge import Audited, Checked, Filter, audit, check, precision
from turnsmith.trace.types import Task, Trace
from turnsmith.worlds.retail.challenges import code_task, parse_proposal, request_in, same_as_official, truth
from turnsmith.worlds.retail.compact import log_of

ROUND = 400


async def proposals(
    run: Run, world: DatabaseWorld, policy: LogPolicy, role: str, first: int, count: int, seed: int
) -> list[CodeTask]:
    """What challengers (or PAE's proposers) wrote on these occasions and can be read, as code."""
    occasions = challenge_tasks(world, first + count, seed, role)[first:]
    episodes = [
        Episode(f"{role}-{first + n:05d}", task, (seed << 20) + first + n, role) for n, task in enumerate(occasions)
    ]
    acting = with_role(policy, role, f"{policy.version}-{role}")
    with episode_bar(f"{role}: writing", len(episodes)) as bar:
        traces = await collect_into(
            run.store, challenger_environment(world), acting, episodes, Limits(horizon=6), workers=64, on_trace=bar
        )
    return [task for trace in traces if (task := task_in(trace, world, role == "propose")) is not None]


def task_in(trace: Trace, world: DatabaseWorld, only_task: bool) -> CodeTask | None:
    """The task that an episode ended with; None where it ended with none."""
    call = trace.turns[-1].action.call if trace.turns else None
    if call is None or call.name != "propose":
        return None
    seen = log_of(Context(trace.task, trace.turns[-1].observation, trace.turns[:-1]))[1]
    explored = [
        (turn.action.call.name, dict(turn.action.call.arguments), following.observation.text)
        for turn, following in zip(trace.turns, trace.turns[1:], strict=False)
        if turn.action.call is not None
    ]
    try:
        proposal = parse_proposal(str(call.arguments["text"]), seen, only_task)
    except ParseError:
        return None
    return code_task(trace.id, proposal, str(trace.task.params["user_id"]), world, explored)


async def self_made(
    run: Run, config: Config, world: DatabaseWorld, policy: LogPolicy, test: Sequence[Task]
) -> tuple[list[CodeTask], list[Checked]]:
    """Proposals and how far each came, round by round until the strictest filter has kept enough of them.

    Proposals that an official test task could be are dropped before they are checked.
    """
    tasks: list[CodeTask] = []
    checks: list[Checked] = []
    for first in range(0, config.most_proposals, ROUND):
        count = min(ROUND, config.most_proposals - first)
        written = await proposals(run, world, policy, "challenge", first, count, config.seed)
        fresh = [task for task in written if not same_as_official(request_in(task), test)]
        checked = run.once(
            f"checks/{first:05d}",
            {"tasks": [task.id for task in fresh], "policy": policy.version},
            lambda fresh=fresh: [asdict(found) for found in check_all(fresh, world)],
        )
        tasks += fresh
        checks += [Checked(Filter(row["passed"]), row["reason"]) for row in checked]
        if sum(found.kept_by(Filter.FULL) for found in checks) >= config.tasks:
            break
    return tasks, checks


def check_all(tasks: Sequence[CodeTask], world: DatabaseWorld) -> list[Checked]:
    """How far each task comes; two at a time."""
    with SandboxPool(2, "server") as pool, progress_bar("checking tasks", len(tasks)) as advance:

        def one(task: CodeTask) -> Checked:
            found = check(task, world, pool)
            advance()
            return found

        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(one, tasks))


def audits(
    tasks: Sequence[CodeTask], checks: Sequence[Checked], world: DatabaseWorld, most: int
) -> dict[str, dict[str, Any]]:
    """What an oracle says of the first tasks that each filter keeps: right ones, infeasible ones, wrong verifiers."""
    oracle = truth(world)
    known: dict[str, Audited] = {}
    found: dict[str, dict[str, Any]] = {}
    with SandboxPool(2, "server") as pool, ThreadPoolExecutor(2) as threads:
        for filter in Filter:
            kept = [task for task, one in zip(tasks, checks, strict=True) if one.kept_by(filter)][:most]
            new = [task for task in kept if task.id not in known]
            known |= dict(
                zip(
                    [task.id for task in new],
                    threads.map(lambda task: audit(task, oracle, world, pool), new),
                    strict=True,
                )
            )
            rows = [known[task.id] for task in kept]
            right, total = precision(rows)
            found[filter.value] = {
                "right": right,
                "audited": total,
                "precision": right / total if total else None,
                "infeasible": sum(not row.feasible for row in rows),
                "false_negatives": sum(row.feasible and row.false_negatives > 0 for row in rows),
                "false_positives": sum(row.false_positives > 0 for row in rows),
            }
    return found
