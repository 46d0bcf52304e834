"""Self-Challenging agents (arXiv 2506.01716) on tau-bench's retail world.

    model = trained on noisy scripted agents of made-up shops          (small models; large ones come trained)
    tasks = []
    until enough: challenger explores with the tools, writes (instruction, verifier, solution, 3 failure cases)
                  keep it iff all runs, the solution passes, every failure case fails
    rollouts of the executor on the tasks, judged by each task's own verifier
    executor = model trained on what succeeded                          (or DPO, PPO, GRPO; or a teacher's rollouts)
    evaluate on the benchmark's own test tasks, which nobody saw

The arms differ in where tasks come from (the filter, PAE's proposer, the benchmark's train split) and in how the
executor learns; all have the same number of rollouts and updates by the same settings.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from turnsmith.agents.log_policy import LogPolicy
from turnsmith.envs.sandbox import SandboxPool
from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.code_task import CodeTask
from turnsmith.envs.tools.environment import ToolEnvironment
from turnsmith.evaluate.passes import mean_passes
from turnsmith.judges.base import Judge, Oracle
from turnsmith.judges.code_task import CodeTaskJudge
from turnsmith.learn.checkpoint import ModelFormat
from turnsmith.recipes.sca.agent import (
    ModelJudge,
    demonstrations,
    helper_environment,
    new_policy,
    pretraining_examples,
    settings_hash,
    train,
)  # fmt: skip
from turnsmith.recipes.sca.challenge import audits, proposals, self_made
from turnsmith.recipes.sca.chat import ChatStudy
from turnsmith.recipes.sca.claims import record_claims
from turnsmith.recipes.sca.config import Arm, Config, arm_of
from turnsmith.recipes.sca.learning import copy_of, imitate, online, prefer, rollouts, usable, won
from turnsmith.rollout.collect import Episode, Limits
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.config import changed, to_json
from turnsmith.runs.progress import console, episode_bar, progress_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.challenge import Checked, Filter, yields
from turnsmith.trace.types import Task, Trace
from turnsmith.view.report import write_report
from turnsmith.worlds import retail
from turnsmith.worlds.retail.challenges import executor_task, same_as_official
from turnsmith.worlds.retail.tasks import official_tasks, random_task, requests_of

_FILTERS = {"full": Filter.FULL, "solution": Filter.SOLUTION, "runs": Filter.RUNS}


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    with Run(Path("runs") / config.name, to_json("sca", config), may_grow=("arms",)) as run:
        asyncio.run((ChatStudy if config.agent else Study)(config, run).main())
    if config.preset_name == "laptop" and not changed(config):
        record_claims(config)
    return write_report(run.folder, traces=10)


class Study:
    """One seed: its world, its model, its tasks, its arms."""

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.run = config, run
        self.world = retail.official_world() if config.world == "official" else retail.synthetic_world(77, 60)
        self.environment: ToolEnvironment = helper_environment(self.world)
        self.test, self.left_out = test_tasks(config, self.world)
        self.rewards: dict[str, dict[str, float]] = {}
        self.table: list[dict[str, Any]] = []

    async def main(self) -> None:
        """The whole study, from top to bottom."""
        began, run, config = time.time(), self.run, self.config
        torch.set_num_threads(min(2, torch.get_num_threads()))
        run.report(status="running", recipe="sca", config=run.config)
        base = await self.pretrained(config.size, "base", config.pretraining.noise)
        await self.evaluate(base, "zero-shot")
        tasks, checks = await self.challenges(base)
        for name in config.arms:
            await self.arm(arm_of(name), base, tasks, checks)
        self.print_table()
        run.report(
            status="done", rewards=self.rewards, table=self.table, seconds=round(time.time() - began, 1),
            test_tasks=len(self.test), left_out=dict(self.left_out), inaction=self.inaction(),
            summary=[{"name": row["arm"], "value": row["pass@1"], "unit": "pass@1"} for row in self.table],
        )  # fmt: skip

    async def pretrained(self, size: Any, name: str, noise: float) -> LogPolicy:
        """A model of this size that learned from scripted agents that err so often."""
        config = self.config
        policy = new_policy(size, config.seed, name)
        episodes = None
        inputs = {**settings_hash(config), "size": asdict(size), "noise": noise}
        if not (self.run.folder / "made" / "models" / name).exists():
            episodes = await demonstrations(config.pretraining, config.seed, noise)

        def make() -> Any:
            assert episodes is not None
            examples = pretraining_examples(policy, episodes, config.pretraining, config.seed)
            optim = replace(config.pretraining.optim, epochs=1000, seed=config.seed)
            with progress_bar(f"{name}: learning", optim.max_updates or 0) as advance:
                train(policy, examples, optim, lambda p: advance(note=f"loss {p.loss:.2f}"))
            return policy.model

        self.run.once(f"models/{name}", inputs, make, ModelFormat(policy.model))
        return policy

    async def evaluate(self, policy: LogPolicy, name: str) -> None:
        """The held-out tasks, several episodes each, at temperature 1."""
        config, n = self.config, self.config.evaluation_rollouts
        policy.version = name
        episodes = [
            Episode(f"eval-{name}-{place:04d}-{k}", task, 1_000_000 * k + place, f"eval-{name}")
            for place, task in enumerate(self.test)
            for k in range(n)
        ]
        with episode_bar(f"{name}: test", len(episodes)) as bar:
            traces = await collect_into(
                self.run.store, self.environment, policy, episodes, Limits(horizon=config.horizon), workers=64,
                on_trace=bar,
            )  # fmt: skip
        by_task: dict[str, list[float]] = {}
        for trace in traces:
            if (reward := trace.reward()) is not None:
                by_task.setdefault(trace.task.id, []).append(reward)
        counts = [(int(sum(rewards)), len(rewards)) for rewards in by_task.values() if len(rewards) == n]
        at, hat = mean_passes([c for c, _ in counts], [n for _, n in counts], n) if counts else (0.0, 0.0)
        self.rewards[name] = {task: sum(rewards) / len(rewards) for task, rewards in by_task.items()}
        one = sum(self.rewards[name].values()) / max(1, len(self.rewards[name]))
        self.table.append({"arm": name, "pass@1": one, f"pass@{n}": at, f"pass^{n}": hat})
        self.run.log(phase=f"eval-{name}", pass_1=one, **{f"pass_at_{n}": at, f"pass_hat_{n}": hat})

    async def challenges(self, base: LogPolicy) -> tuple[list[CodeTask], list[Checked]]:
        """Self-made tasks, how far each came, and the audit of what each filter keeps."""
        tasks, checks = await self_made(self.run, self.config, self.world, base, self.test)
        found = yields(checks)
        inputs = {"tasks": [task.id for task in tasks], "audited": self.config.audited}
        audited = self.run.once("audit", inputs, lambda: audits(tasks, checks, self.world, self.config.audited))
        occasions = len(self.run.store.summaries(phase="challenge"))
        self.run.report(ladder={"occasions": occasions, **found}, audit=audited)
        kept = ", ".join(f"{name} {number}" for name, number in found["kept"].items())
        console.print(f"of {occasions} occasions {len(tasks)} proposals; kept: {kept}")
        return tasks, checks

    async def arm(self, arm: Arm, base: LogPolicy, tasks: Sequence[CodeTask], checks: Sequence[Checked]) -> None:
        """One executor: tasks, rollouts, learning, test."""
        config, run = self.config, self.run
        chosen, judge, pool = await self.tasks_of(arm, base, tasks, checks)
        try:
            policy = copy_of(base, arm.name)
            if arm.method in ("ppo", "grpo"):
                report = await online(run, self.environment, policy, chosen, judge, arm, config)
            else:
                report = await self.offline(arm, policy, base, chosen, judge)
        finally:
            if pool is not None:
                pool.close()
        run.log(phase=arm.name, tasks=len(chosen), **report)
        await self.evaluate(policy, arm.name)

    async def offline(
        self, arm: Arm, policy: LogPolicy, base: LogPolicy, chosen: Sequence[Task], judge: Judge
    ) -> dict[str, Any]:
        """Learning from rollouts of the base model (or of the teacher), which arms with the same tasks share."""
        config, run = self.config, self.run
        acting, phase = base, f"train-{arm.source}-{arm.tasks}"
        if arm.method.startswith("distill"):
            acting = await self.pretrained(config.teacher, "teacher", config.pretraining.noise / 2)
            phase = f"teacher-{arm.source}-{arm.tasks}"
        acting.version = "base" if acting is base else "teacher"
        traces = usable(await rollouts(run, self.environment, acting, chosen, config.rollouts, judge, phase, config))
        good = [trace for trace in traces if won(trace, judge.name)]
        report: dict[str, Any] = {"episodes": len(traces), "successes": len(good)}

        def make() -> Any:
            if arm.method == "dpo":
                report.update(prefer(policy, traces, judge.name, config))
            else:
                report.update(imitate(policy, traces if arm.method == "distill" else good, config))
            return policy.model

        inputs = {"arm": asdict(arm), "episodes": [trace.id for trace in traces]}
        run.once(f"models/{arm.name}", inputs, make, ModelFormat(policy.model))
        return report

    async def tasks_of(
        self, arm: Arm, base: LogPolicy, tasks: Sequence[CodeTask], checks: Sequence[Checked]
    ) -> tuple[list[Task], Judge, SandboxPool | None]:
        """An arm's tasks and who judges its rollouts."""
        config = self.config
        if arm.source == "oracle":
            return self.oracle_tasks(arm.tasks), Oracle(), None
        if arm.source == "pae":
            written = await proposals(self.run, self.world, base, "propose", 0, 2 * arm.tasks, config.seed)
            made = [task for proposal in written if (task := executor_task(proposal, self.world)) is not None]
            return made[: arm.tasks], ModelJudge(base), None
        kept = [task for task, one in zip(tasks, checks, strict=True) if one.kept_by(_FILTERS[arm.source])]
        pairs = [(code, task) for code in kept if (task := executor_task(code, self.world)) is not None][: arm.tasks]
        pool = SandboxPool(2, "server")
        judge = CodeTaskJudge({task.id: code for code, task in pairs}, self.world, pool)
        return [task for _, task in pairs], judge, pool

    def oracle_tasks(self, count: int) -> list[Task]:
        """The benchmark's own training tasks, those left out that ask for a write of a test task."""
        if self.config.world == "official":
            found = list(official_tasks(self.world, "train", self.config.most_writes).tasks)
        else:
            rng = random.Random(self.config.seed)
            found = [random_task(f"train/{n}", self.world.base, rng) for n in range(2 * count)]
        apart = [
            task for task in found if not any(same_as_official(request, self.test) for request in requests_of(task))
        ]
        return apart[:count]

    def inaction(self) -> dict[str, float]:
        """What doing nothing earns on the test tasks, and transferring the user at once: the same state."""
        idle = [float(self.environment.gold(task) == {}) for task in self.test]
        share = sum(idle) / max(1, len(idle))
        return {"do nothing": share, "transfer at once": share}

    def print_table(self) -> None:
        """Pass@1, pass@k and pass^k of every arm, with the inaction baselines."""
        n = self.config.evaluation_rollouts
        table = Table(title=f"{len(self.test)} held-out tasks, {n} episodes each", box=SIMPLE_HEAD)
        for heading in ("arm", "pass@1", f"pass@{n}", f"pass^{n}"):
            table.add_column(heading, justify="left" if heading == "arm" else "right")
        for name, share in self.inaction().items():
            table.add_row(name, *[f"{100 * share:.1f}"] * 3)
        for row in self.table:
            table.add_row(row["arm"], *(f"{100 * value:.1f}" for key, value in row.items() if key != "arm"))
        console.print(table)


def test_tasks(config: Config, world: DatabaseWorld) -> tuple[list[Task], dict[str, int]]:
    """The held-out tasks, the same for every seed, and why others are not among them."""
    if config.world == "official":
        found = official_tasks(world, "test", config.most_writes)
        return list(found.tasks)[: config.test_tasks], dict(found.left_out)
    rng = random.Random("test")
    return [random_task(f"test/{n}", world.base, rng, split="test") for n in range(config.test_tasks)], {}


__all__ = ["Config", "Trace", "main"]
