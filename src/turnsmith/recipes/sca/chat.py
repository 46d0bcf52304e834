"""Self-challenging with a chat model: `turnsmith run sca --preset paper --agent FOLDER | openai:MODEL@BASE_URL`.

The loop is the recipe's: the model explores a world's tools and writes tasks as code, code decides which are kept, the
model plays them, judged by each task's own verifier, and learns from that. A model folder is challenger, executor and,
for the PAE-style arm, judge, and is trained. An endpoint writes, plays and is tested: its kept tasks and rollouts are
the run's, for `traces export` and for other models; the arms are left out.

Notable: the challenger is given a world's tools and rules, never a file of tasks. Train tasks of the oracle arm whose
truth is that of a test task are dropped.
"""

import asyncio
import copy
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import torch

from turnsmith.agents.hf_chat import LocalChat
from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.agents.load import load_policy
from turnsmith.agents.lora import add_adapter
from turnsmith.agents.openai_policy import OpenAIPolicy
from turnsmith.agents.tool_manner import ToolManner
from turnsmith.engine.chat import Chat
from turnsmith.engine.models import LanguageModel
from turnsmith.engine.openai_client import OpenAIClient, endpoint_of
from turnsmith.engine.sampling import Sampling
from turnsmith.envs.sandbox import SandboxPool
from turnsmith.envs.tools.code_task import CodeTask, from_json
from turnsmith.envs.tools.environment import ToolEnvironment
from turnsmith.errors import ParseError, UserError
from turnsmith.judges.base import Judge, Oracle
from turnsmith.judges.code_task import CodeTaskJudge
from turnsmith.judges.outcome_endpoint import parse_verdict
from turnsmith.learn.checkpoint import ModelFormat, TrainingState
from turnsmith.learn.fit import make_optimizer
from turnsmith.recipes.sca.chat_learning import Online, imitate, prefer, turns_of, usable
from turnsmith.recipes.sca.config import Arm, Config, arm_of
from turnsmith.recipes.sca.learning import won
from turnsmith.rollout.collect import Episode, Limits
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import console, episode_bar, progress_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.challenge import Checked, Filter, check, yields
from turnsmith.tasks.challenger import write_instruction, write_task
from turnsmith.trace.types import Task, Trace, Verdict
from turnsmith.worlds.desks import place_of

Agent = HFPolicy | OpenAIPolicy
ROUND = 100
_FILTERS = {"full": Filter.FULL, "solution": Filter.SOLUTION, "runs": Filter.RUNS}
_RUBRIC = (
    "You check the work of somebody who had a task and tools. You are given the task and all that was called and said. "
    "Decide whether the task was carried out, completely and as it was asked. Give your reasons in a few sentences, "
    "then end with one line: `Verdict: SUCCESS` or `Verdict: NOT SUCCESS`."
)


class ChatStudy:
    """One seed with a chat model."""

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.run, settings = config, run, config.chat
        self.place = place_of(settings.tools)
        self.human = OpenAIClient(endpoint_of(settings.user, "user")) if settings.user else None
        if self.place.official and self.human is None:
            raise UserError(f"the users of {settings.tools} are free text: --chat.user openai:MODEL@BASE_URL.")
        self.environment: ToolEnvironment = self.place.environment(self.human, settings.user)
        self.test = self.place.tasks("test", config.test_tasks)
        talks = self.place.users
        self.base = self.agent(config.agent, talks, "base")
        self.alone = talks and self.human is None
        """Whether self-made tasks are read by the executor as they are, with nobody to talk to."""
        self.rewards: dict[str, dict[str, float]] = {}
        self.kept = {key: value for key, value in run.config.items() if key not in ("name", "arms")}

    def agent(self, spec: str, talks: bool, version: str) -> Agent:
        """A chat model that uses this world's tools."""
        settings = self.config.chat
        sampling = Sampling(settings.temperature, max_new_tokens=settings.max_new_tokens)
        manner = ToolManner(self.place.world.specs, self.place.world.policy, talks)
        found = load_policy(spec, sampling=sampling, manner=manner, version=version)
        assert isinstance(found, HFPolicy | OpenAIPolicy)
        return found

    async def main(self) -> None:
        """From the first test to the last."""
        config, run = self.config, self.run
        run.report(status="running", recipe="sca", config=run.config)
        try:
            await self.evaluate(self.base, "zero-shot")
            tasks, checks = await self.challenges()
            if isinstance(self.base, HFPolicy):
                for name in config.arms:
                    await self.arm(arm_of(name), tasks, checks)
            else:
                await self.endpoint_rollouts(tasks, checks)
        finally:
            for one in (self.human, self.base if isinstance(self.base, OpenAIPolicy) else None):
                if one is not None:
                    await one.close()
        idle = sum(self.environment.gold(task) == {} for task in self.test) / max(1, len(self.test))
        summary = [
            {"name": name, "value": sum(of.values()) / max(1, len(of)), "unit": "pass@1"}
            for name, of in self.rewards.items()
        ]
        run.report(status="done", rewards=self.rewards, inaction=idle, test_tasks=len(self.test), summary=summary)

    async def play(
        self, policy: Agent, episodes: list[Episode], judge: Judge | None, environment: ToolEnvironment | None = None
    ) -> list[Trace]:
        """Episodes, stored."""
        with episode_bar(
            episodes[0].phase if episodes else "nothing", len(episodes), judge.name if judge else "oracle"
        ) as bar:
            return await collect_into(
                self.run.store, environment or self.environment, policy, episodes,
                Limits(self.config.horizon, turn_seconds=3600), workers=self.config.chat.workers, judge=judge,
                on_trace=bar,
            )  # fmt: skip

    async def evaluate(self, policy: Agent, name: str) -> None:
        """The held-out tasks, several episodes each."""
        n = self.config.evaluation_rollouts
        episodes = [
            Episode(f"eval-{name}-{place:04d}-{k}", task, 1_000_000 * k + place, f"eval-{name}")
            for place, task in enumerate(self.test)
            for k in range(n)
        ]
        by_task: dict[str, list[float]] = {}
        for trace in await self.play(policy, episodes, None):
            if (reward := trace.reward()) is not None:
                by_task.setdefault(trace.task.id, []).append(reward)
        self.rewards[name] = {task: sum(all_of) / len(all_of) for task, all_of in by_task.items()}
        one = sum(self.rewards[name].values()) / max(1, len(self.rewards[name]))
        any_of = sum(max(all_of) for all_of in by_task.values()) / max(1, len(by_task))
        every = sum(min(all_of) for all_of in by_task.values()) / max(1, len(by_task))
        self.run.log(phase=f"eval-{name}", pass_1=one, **{f"pass_at_{n}": any_of, f"pass_hat_{n}": every})
        console.print(f"{name}: pass@1 {100 * one:.1f} %, pass@{n} {100 * any_of:.1f} %, pass^{n} {100 * every:.1f} %")

    # -- tasks

    def chat(self) -> Chat:
        """The agent's model without a world's manner: challenger, proposer, judge."""
        return LocalChat(self.base) if isinstance(self.base, HFPolicy) else self.base.client

    @asynccontextmanager
    async def own_chat(self) -> AsyncIterator[Chat]:
        """The same for an event loop of its own."""
        if isinstance(self.base, HFPolicy):
            yield LocalChat(self.base)
        else:
            async with OpenAIClient(self.base.client.endpoint) as client:
                yield client

    async def challenges(self) -> tuple[list[CodeTask], list[Checked]]:
        """Self-made tasks and how far each came, round by round until enough pass every check."""
        config = self.config
        tasks: list[CodeTask] = []
        checks: list[Checked] = []
        unread: list[str] = []
        with SandboxPool(2, "fresh", allow_unsafe=config.chat.allow_unsafe) as pool:
            for first in range(0, config.most_proposals, ROUND):
                count = min(ROUND, config.most_proposals - first)
                made = await asyncio.to_thread(
                    self.run.once,
                    f"challenges/{first:05d}",
                    {**self.kept, "first": first},
                    lambda first=first, count=count: asyncio.run(self.round(first, count, pool)),
                )
                tasks += [from_json(row) for row in made["tasks"]]
                checks += [Checked(Filter(passed), reason) for passed, reason in made["checks"]]
                unread += made["unread"]
                if sum(one.kept_by(Filter.FULL) for one in checks) >= config.tasks:
                    break
        ladder = {"occasions": len(tasks) + len(unread), "unread": len(unread), **yields(checks)}
        self.run.report(ladder=ladder)
        console.print(f"of {ladder['occasions']} occasions {len(tasks)} tasks; kept: {ladder['kept']}")
        return tasks, checks

    async def round(self, first: int, count: int, pool: SandboxPool) -> dict[str, Any]:
        """Tasks and their checks, as JSON, and why other proposals could not be read."""
        written, missed = await self.written(first, count)
        found = self.checked(written, pool)
        rows = [[one.passed.value, one.reason] for one in found]
        return {"tasks": [one.to_json() for one in written], "checks": rows, "unread": missed}

    async def written(self, first: int, count: int) -> tuple[list[CodeTask], list[str]]:
        """What the challenger wrote, and why the rest could not be read."""
        config, missed = self.config, []
        sampling = Sampling(max_new_tokens=config.chat.task_tokens)
        places = asyncio.Semaphore(config.chat.workers)

        async def one(chat: Chat, number: int) -> CodeTask | None:
            seed = (config.seed << 24) + 1000 * number
            async with places:
                try:
                    return await write_task(chat, self.place.world, f"self/{number}", seed, config.chat.calls, sampling)
                except ParseError as error:
                    missed.append(str(error))
                    return None

        async with self.own_chat() as chat:
            found = await asyncio.gather(*(one(chat, number) for number in range(first, first + count)))
        return [task for task in found if task is not None], missed

    def checked(self, tasks: Sequence[CodeTask], pool: SandboxPool) -> list[Checked]:
        """How far each task comes, two at a time."""
        with ThreadPoolExecutor(2) as threads, progress_bar("checking tasks", len(tasks)) as advance:

            def one(task: CodeTask) -> Checked:
                found = check(task, self.place.world, pool)
                advance()
                return found

            return list(threads.map(one, tasks))

    def executor_task(self, name: str, instruction: str, code: CodeTask | None) -> Task:
        """A self-made task for an executor: with a model to play the user, the instruction is the user's brief."""
        hidden: dict[str, Any] = {} if code is None else {"code": code.to_json()}
        if self.place.users and self.human is not None:
            said = "Help the user who is writing to you."
            return Task(
                name, said, self.place.world.name, {"role": "help"}, "train", {}, {"brief": instruction, **hidden}
            )
        return Task(name, instruction, self.place.world.name, {"role": "alone"}, "train", {}, hidden)

    async def tasks_of(
        self, arm: Arm, tasks: Sequence[CodeTask], checks: Sequence[Checked], pool: SandboxPool
    ) -> tuple[list[Task], Judge]:
        """An arm's tasks and who judges its rollouts."""
        if arm.source == "oracle":
            truths = {truth_of(task) for task in self.test}
            drawn = self.place.tasks("train", 2 * arm.tasks, self.config.seed)
            apart = [task for task in drawn if truth_of(task) not in truths]
            return apart[: arm.tasks], Oracle()
        if arm.source == "pae":
            return await self.proposed(arm.tasks), ChatJudge(self.chat())
        kept = [task for task, one in zip(tasks, checks, strict=True) if one.kept_by(_FILTERS[arm.source])]
        kept = kept[: arm.tasks]
        judge = CodeTaskJudge({task.id: task for task in kept}, self.place.world, pool)
        return [self.executor_task(task.id, task.instruction, task) for task in kept], judge

    async def proposed(self, count: int) -> list[Task]:
        """PAE's tasks: instructions from the tools' descriptions alone."""
        said = await asyncio.to_thread(
            self.run.once, f"proposals/{count}", self.kept, lambda: asyncio.run(self.instructions(count))
        )
        return [self.executor_task(f"pae/{number}", text, None) for number, text in enumerate(said)]

    async def instructions(self, count: int) -> list[str]:
        """So many instructions, of twice as many occasions at most."""
        found: list[str] = []
        async with self.own_chat() as chat:
            for number in range(2 * count):
                try:
                    found.append(await write_instruction(chat, self.place.world, (self.config.seed << 24) + number))
                except ParseError:
                    continue
                if len(found) == count:
                    break
        return found

    # -- learning

    def executing(self, policy: Agent, arm: Arm) -> Agent:
        """The policy as it acts on an arm's tasks: self-made ones may have nobody to talk to."""
        if not self.alone or arm.source == "oracle":
            return policy
        manner = ToolManner(self.place.world.specs, self.place.world.policy, False)
        if isinstance(policy, OpenAIPolicy):
            return OpenAIPolicy(
                policy.client.endpoint, sampling=policy.sampling, version=policy.version, manner=manner
            )  # fmt: skip
        return HFPolicy(policy.model, policy.tokenizer, sampling=policy.sampling, version=policy.version, manner=manner)

    async def rollouts(self, policy: Agent, tasks: Sequence[Task], judge: Judge, phase: str, total: int) -> list[Trace]:
        """`total` episodes, as many a task as fit."""
        if not tasks:
            return []
        seed = self.config.seed << 24
        episodes = [Episode(f"{phase}-{n:05d}", tasks[n % len(tasks)], seed + n, phase) for n in range(total)]
        nobody = self.alone and tasks[0].params.get("role") == "alone"
        environment = ToolEnvironment(self.place.world, lambda task, _: None) if nobody else None
        return usable(await self.play(policy, episodes, judge, environment))

    async def arm(self, arm: Arm, tasks: Sequence[CodeTask], checks: Sequence[Checked]) -> None:
        """One executor: tasks, rollouts, learning, test."""
        config, base = self.config, self.base
        assert isinstance(base, HFPolicy)
        if arm.method.startswith("distill") and not config.chat.teacher:
            raise UserError(
                f"the arm {arm.name} learns from a teacher: --chat.teacher FOLDER or openai:MODEL@BASE_URL."
            )
        model: LanguageModel = copy.deepcopy(base.model)
        rank = config.chat.lora_rank
        if rank:
            model = add_adapter(model, rank, rank, 0.0, config.seed)  # pyright: ignore[reportAssignmentType]
        policy = HFPolicy(model, base.tokenizer, sampling=base.sampling, version=arm.name, manner=base.manner)
        with SandboxPool(2, "fresh", allow_unsafe=config.chat.allow_unsafe) as pool:
            chosen, judge = await self.tasks_of(arm, tasks, checks, pool)
            if arm.method in ("ppo", "grpo"):
                report = await self.online(policy, chosen, judge, arm)
            else:
                report = await self.offline(policy, chosen, judge, arm)
        self.run.log(phase=arm.name, tasks=len(chosen), **report)
        await self.evaluate(policy, arm.name)

    async def offline(self, policy: HFPolicy, chosen: Sequence[Task], judge: Judge, arm: Arm) -> dict[str, Any]:
        """Learning from the base model's rollouts, or a teacher's; arms with the same tasks share them."""
        config, acting, phase = self.config, self.base, f"train-{arm.source}-{arm.tasks}"
        if arm.method.startswith("distill"):
            acting, phase = self.agent(config.chat.teacher, self.place.users, "teacher"), f"teacher-{phase}"
        traces = await self.rollouts(self.executing(acting, arm), chosen, judge, phase, config.rollouts)
        if isinstance(acting, OpenAIPolicy) and acting is not self.base:
            await acting.close()
        good = [trace for trace in traces if won(trace, judge.name)]
        report: dict[str, Any] = {"episodes": len(traces), "successes": len(good)}
        learning = self.executing(policy, arm)
        assert isinstance(learning, HFPolicy)

        def make() -> Any:
            if arm.method == "dpo":
                report.update(prefer(learning, traces, judge.name, config))
            else:
                report.update(imitate(learning, traces if arm.method == "distill" else good, config))
            return learning.model

        inputs = {**self.kept, "arm": asdict(arm), "episodes": [trace.id for trace in traces]}
        self.run.once(f"models/{arm.name}", inputs, make, ModelFormat(policy.model, policy.tokenizer))
        return report

    async def online(self, policy: HFPolicy, chosen: Sequence[Task], judge: Judge, arm: Arm) -> dict[str, Any]:
        """PPO or GRPO: rounds of rollouts and clipped steps, as many rollouts in all as the other arms."""
        config, base = self.config, self.base
        assert isinstance(base, HFPolicy)
        acting = self.executing(policy, arm)
        assert isinstance(acting, HFPolicy)
        learner = Online(arm.method, base, config)
        each = max(1, config.rollouts // config.online_iterations)
        a_task = max(2, config.rollouts // max(1, arm.tasks))
        optimizer = make_optimizer(policy.model, learner.optim)
        report: dict[str, Any] = {}
        seen = self.run.finished(arm.name) or 0
        for past in range(1, seen + 1):  # what earlier rounds taught the critic, after a kill
            traces = usable(list(self.run.store.traces(phase=f"{arm.name}-{past:02d}")))
            rows = [[turn.prompt_ids for turn in turns_of(acting, trace)] for trace in traces]
            whole = [n for n, row in enumerate(rows) if row]
            reward = torch.tensor([float(won(traces[n], judge.name)) for n in whole])
            learner.again([rows[n] for n in whole], reward)
        state = TrainingState(policy.model, None, optimizer)
        for iteration in self.run.iterations(arm.name, config.online_iterations, state):
            rng = random.Random(f"{config.seed}/{iteration}")
            some = rng.sample(list(chosen), min(len(chosen), max(1, each // a_task)))
            acting.version = f"{arm.name}-{iteration - 1}"
            traces = await self.rollouts(acting, some, judge, f"{arm.name}-{iteration:02d}", each)
            if not traces:
                continue
            sequences = learner.credited(acting, traces, judge.name)
            found = learner.update(acting, sequences, optimizer)
            mean = sum(won(trace, judge.name) for trace in traces) / len(traces)
            report = {"iteration": iteration, "reward": mean, "clipped": found.clipped}
            self.run.log(phase=arm.name, **report)
        return report

    async def endpoint_rollouts(self, tasks: Sequence[CodeTask], checks: Sequence[Checked]) -> None:
        """An endpoint plays what it wrote and is judged by it; there is nothing here to train."""
        arm = Arm("full", self.config.tasks)
        with SandboxPool(2, "fresh", allow_unsafe=self.config.chat.allow_unsafe) as pool:
            chosen, judge = await self.tasks_of(arm, tasks, checks, pool)
            acting = self.executing(self.base, arm)
            traces = await self.rollouts(acting, chosen, judge, f"train-full-{arm.tasks}", self.config.rollouts)
            if acting is not self.base and isinstance(acting, OpenAIPolicy):
                await acting.close()
        good = sum(won(trace, judge.name) for trace in traces)
        self.run.log(phase="rollouts", tasks=len(chosen), episodes=len(traces), successes=good)
        console.print(f"{good} of {len(traces)} rollouts of its own {len(chosen)} tasks succeeded")
        console.print(f"an endpoint is not trained: turnsmith traces export {self.run.folder} FILE --format sft")


def truth_of(task: Task) -> str:
    """What a task of a world wants done: two with the same are the same task."""
    return json.dumps(task.hidden.get("actions", task.hidden.get("calls")), sort_keys=True)


class ChatJudge:
    """PAE's judge: the model itself reads the episode and says whether it went well."""

    name = "model"

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def judge(self, trace: Trace) -> Verdict:
        """1 where its last word is SUCCESS."""
        told = trace.task.hidden.get("brief", trace.task.instruction)
        lines = [f"Task: {told}"]
        for turn in trace.turns:
            lines += [f"Seen: {turn.observation.error or turn.observation.text}", f"Done: {turn.action.text}"]
        messages: list[Mapping[str, Any]] = [
            {"role": "system", "content": _RUBRIC},
            {"role": "user", "content": "\n".join(lines)},
        ]
        said = (await self._chat.chat(messages, Sampling(max_new_tokens=400), trace.seed)).text
        return Verdict(self.name, float(parse_verdict(said) is True), said[-200:])
