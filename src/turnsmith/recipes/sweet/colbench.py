"""SWEET-RL on ColBench's backend tasks with a Hugging Face model: the paper's own setting.

    turnsmith run sweet --preset paper --model FOLDER --colbench.log offline.jsonl --colbench.test test.jsonl
        --colbench.simulator openai:MODEL@BASE_URL

The arms are those of `recipe`, on chats: a turn is one example (its chat, its reply), an episode is its turns. The
critic reads the reference solution in front of the chat; no actor does. Without a log, the model's own dialogues about
`--colbench.train` are the data. What the log has no tokens for is encoded with the model's own chat template.
"""

import asyncio
import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from turnsmith.agents.base import Context as Seen
from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.agents.load import load_local
from turnsmith.agents.lora import add_adapter
from turnsmith.agents.manner import with_secret
from turnsmith.critics.turn_ratio import TurnHead, fit_head, rank_by_head, rank_by_ratio
from turnsmith.engine.forward import Prompt
from turnsmith.engine.models import LanguageModel
from turnsmith.engine.openai_client import OpenAIClient, endpoint_of
from turnsmith.engine.sampling import Sampling, turn_seed
from turnsmith.envs.dialogue import DialogueEnvironment
from turnsmith.errors import UserError
from turnsmith.evaluate.summary import rewards_by_task
from turnsmith.learn.checkpoint import ModelFormat
from turnsmith.learn.examples import Example, context_at
from turnsmith.learn.preference import Comparison, PreferenceConfig, pair
from turnsmith.learn.preference import train as train_preferences
from turnsmith.learn.sft import train as train_sft
from turnsmith.recipes.sweet.config import SWEET_ARMS, Arm, Config
from turnsmith.recipes.sweet.critic import HeadFormat
from turnsmith.recipes.sweet.data import Context, answer_anchor, better_and_worse, outcome_of, turn_comparison
from turnsmith.rollout.collect import Episode, Limits
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.once import JsonFormat
from turnsmith.runs.progress import console, episode_bar, progress_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.types import Action, Outcome, Task, Trace
from turnsmith.worlds.programs.backend import BackendDialogues, BackendManner
from turnsmith.worlds.programs.colbench import read_tasks, read_trajectories

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn of the log as tokens.

    Attributes:
        task: whose.
        prompt: what the actor reads.
        hidden_prompt: the same chat with the reference in front, for critics.
        reply: what was said.
        answers, success: whether it handed the work in, and how the dialogue ended.
    """

    task: Task
    prompt: Ids
    hidden_prompt: Ids
    reply: Ids
    answers: bool
    success: bool


class _Critic:
    """Ranks candidates of a turn. `net` is a language model, or the ablation's head."""

    def __init__(self, config: Config, arm: Arm, base: LanguageModel, net: LanguageModel | TurnHead) -> None:
        self.config, self.arm, self.base, self.net = config, arm, base, net

    def rank(self, turns: Sequence[tuple[Ids, Ids]], candidates: Sequence[Sequence[Ids]]) -> list[list[float]]:
        """A of each candidate; a turn is (the actor's prompt, the critic's)."""
        read = [plain if self.arm is Arm.NO_HIDDEN else hidden for plain, hidden in turns]
        if isinstance(self.net, TurnHead):
            return rank_by_head(self.net, read, candidates)
        plain = [prompt for prompt, _ in turns] if self.config.rank_reference == "without_hidden" else None
        return rank_by_ratio(self.net, self.base, read, candidates, plain, mean=self.arm is not Arm.NO_NORM)


def learn_on_colbench(config: Config, run: Run) -> None:
    """All arms, trained and tested.

    Raises:
        UserError: if a file, the model or the simulator is missing or wrong.
    """
    settings = config.colbench
    if not config.model:
        raise UserError("ColBench needs a model to train: --model FOLDER.")
    if not settings.log and not settings.train:
        raise UserError("ColBench needs data: --colbench.log FILE (trajectories) or --colbench.train FILE (tasks).")
    if (settings.test or not settings.log) and not settings.simulator:
        raise UserError("whoever talks needs somebody to talk to: --colbench.simulator openai:MODEL@BASE_URL.")
    if Arm.ORACLE in config.arms:
        raise UserError("there is no oracle of turns for Python tasks: leave oracle out of --arms.")
    run.report(status="running", recipe="sweet", config=run.config)
    study = _Study(config, run)
    study.learn()


class _Study:
    """What all arms share: the model as it came, the log, the test tasks."""

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.run, settings = config, run, config.colbench
        sampling = Sampling(settings.temperature, max_new_tokens=settings.max_new_tokens)
        self.policy = load_local(config.model, sampling=sampling, manner=BackendManner(), version="base")
        self.test = read_tasks(Path(settings.test), "test", config.test_tasks) if settings.test else []
        self.kept = {key: value for key, value in run.config.items() if key not in ("name", "arms", "best_of")}

    @property
    def base(self) -> LanguageModel:
        """The model as it came."""
        return self.policy.model

    def learn(self) -> None:
        """Every arm, in order."""
        config, run = self.config, self.run
        log = self.offline()
        check_overlap([trace.task for trace in log], self.test)
        good = sum(outcome_of(trace) > 0.5 for trace in log)
        console.print(f"offline: {len(log):,} dialogues, {good:,} succeeded")
        turns = [self.turns_of(trace) for trace in log]
        rewards: dict[str, dict[str, float]] = {}
        for arm in config.arms:
            critic = self.critic(arm, log, turns) if arm in SWEET_ARMS else None
            policy = self.policy if arm is Arm.ZERO_SHOT else self.trained(arm, log, turns, critic)
            if self.test:
                rewards[arm.value] = self.tested(policy, arm.value)
            if arm is Arm.SWEET and critic is not None and self.test:
                for count in config.best_of:
                    self.tested(_BestOf(self, critic, count), f"best-of-{count}")
        run.report(status="done", rewards=rewards)

    def offline(self) -> list[Trace]:
        """The data: a log's first so many trajectories, or the model's own dialogues."""
        config, settings = self.config, self.config.colbench
        if settings.log:
            return read_trajectories(Path(settings.log))[: config.tasks * config.attempts]
        tasks = read_tasks(Path(settings.train), "train", config.tasks)
        traces = self.played(self.policy, tasks * config.attempts, "offline")
        return [trace for trace in traces if trace.turns and trace.outcome is not Outcome.INFRA_ERROR]

    def played(self, policy: "HFPolicy | _BestOf", tasks: Sequence[Task], phase: str) -> list[Trace]:
        """Dialogues about tasks, stored."""
        settings = self.config.colbench
        episodes = [
            Episode(f"{phase}-{number:06d}", task, turn_seed(self.config.seed, number), phase)
            for number, task in enumerate(tasks)
        ]

        async def play() -> list[Trace]:
            async with OpenAIClient(endpoint_of(settings.simulator, "simulator")) as human:
                dialogues = BackendDialogues(human, limit=settings.turns, allow_unsafe=settings.allow_unsafe)
                async with DialogueEnvironment(dialogues) as environment:
                    with episode_bar(phase, len(episodes)) as bar:
                        return await collect_into(
                            self.run.store, environment, policy, episodes, Limits(settings.turns, turn_seconds=3600),
                            workers=settings.workers, on_trace=bar,
                        )  # fmt: skip

        return asyncio.run(play())

    def tested(self, policy: "HFPolicy | _BestOf", name: str) -> dict[str, float]:
        """Rewards of the test tasks."""
        traces = self.played(policy, self.test, f"eval-{name}")
        rewards = rewards_by_task(traces)
        ends = [trace.turns[-1].info for trace in traces if trace.turns]
        self.run.log(
            phase=f"eval-{name}",
            success=sum(rewards.values()) / max(1, len(rewards)),
            official=sum(bool(end.get("official_success")) for end in ends) / max(1, len(ends)),
            tests=sum(float(end.get("tests", 0.0)) for end in ends) / max(1, len(ends)),
            turns=sum(len(trace.turns) for trace in traces) / max(1, len(traces)),
        )
        console.print(f"{name}: {100 * sum(rewards.values()) / max(1, len(rewards)):.1f} % success")
        return rewards

    def turns_of(self, trace: Trace) -> list[_Turn]:
        """An episode's turns as tokens: those that were sampled as they were, others by the chat template."""
        found = []
        for index, turn in enumerate(trace.turns):
            action, seen = turn.action, context_at(trace, index)
            prompt = action.prompt_ids or self.policy.encode_prompt(seen)[0]
            reply = action.token_ids or self.policy.encode_response(action.text)
            answers = action.call is not None and action.call.name == "answer"
            won = outcome_of(trace) > 0.5
            found.append(_Turn(trace.task, prompt, self.hidden_prompt(trace.task, seen), reply, answers, won))
        return found

    def hidden_prompt(self, task: Task, seen: Seen) -> Ids:
        """The chat with the reference in front: what a critic reads."""
        chat = with_secret(BackendManner().messages(seen), str(task.hidden["ground_truth"]))
        return self.policy.encode_chat(chat)[0]

    def fresh(self) -> LanguageModel:
        """A copy of the model that may learn; with an adapter where one is asked for."""
        model, rank = copy.deepcopy(self.base), self.config.colbench.lora_rank
        return add_adapter(model, rank, rank, 0.0, self.config.seed) if rank else model  # pyright: ignore

    def pairs(self, log: Sequence[Trace], turns: Sequence[Sequence[_Turn]], hidden: bool) -> list[Comparison]:
        """Of each task every success against every failure, an example a turn."""
        of = {trace.id: each for trace, each in zip(log, turns, strict=True)}

        def side(trace: Trace) -> list[Example]:
            return [example(one.hidden_prompt if hidden else one.prompt, one.reply) for one in of[trace.id]]

        return [pair(side(better), side(worse)) for better, worse in better_and_worse(log)]

    def critic(self, arm: Arm, log: Sequence[Trace], turns: Sequence[Sequence[_Turn]]) -> _Critic:
        """The critic of an arm, fitted on outcomes, or read back."""
        config = self.config
        optim = replace(config.critic, seed=config.seed)
        reads = arm is not Arm.NO_HIDDEN
        if arm is Arm.REGRESSION:
            head = TurnHead(copy.deepcopy(self.base))

            def headed() -> TurnHead:
                if pairs := self.pairs(log, turns, reads):
                    fit_head(head, pairs, config.beta, optim)
                return head

            return _Critic(
                config, arm, self.base, self.run.once("critic/regression", self.kept, headed, HeadFormat(head))
            )
        reduction = "sum" if arm is Arm.NO_NORM else config.critic_reduction
        preference = PreferenceConfig(beta=config.beta, nll=config.nll, reduction=reduction)
        model = self.fresh()

        def fitted() -> LanguageModel:
            return self.prefer(f"critic {arm.value}", model, self.pairs(log, turns, reads), preference, optim)

        net = self.run.once(f"critic/{arm.value}", self.kept, fitted, ModelFormat(model))
        return _Critic(config, arm, self.base, net.eval())

    def trained(
        self, arm: Arm, log: Sequence[Trace], turns: Sequence[Sequence[_Turn]], critic: _Critic | None
    ) -> HFPolicy:
        """The policy of an arm, trained or read back."""
        config, model = self.config, self.fresh()
        preference = PreferenceConfig(beta=config.beta, nll=config.nll)

        def learned() -> LanguageModel:
            if critic is not None:
                made = self.comparisons(critic, [one for each in turns for one in each])
                return self.prefer(arm.value, model, made, preference, replace(config.actor, seed=config.seed))
            if arm is Arm.MTDPO:
                pairs = self.pairs(log, turns, False)
                return self.prefer("mtdpo", model, pairs, preference, replace(config.mtdpo, seed=config.seed))
            examples = [example(one.prompt, one.reply) for each in turns for one in each if one.success]
            if not examples:
                console.print("rft: no dialogue succeeded, so there is nothing to learn from")
                return model
            optim = replace(config.rft, seed=config.seed)
            with progress_bar("rft", optim.updates(len(examples))) as advance:
                train_sft(model, examples, optim, on_update=lambda _: advance())
            return model

        net = self.run.once(f"policy/{arm.value}", self.kept, learned, ModelFormat(model, self.policy.tokenizer))
        return HFPolicy(
            net, self.policy.tokenizer, sampling=self.policy.sampling, version=arm.value, manner=BackendManner()
        )

    def prefer(
        self, what: str, model: LanguageModel, made: list[Comparison], preference: PreferenceConfig, optim
    ) -> LanguageModel:
        """Learn from comparisons, if there are any."""
        if not made:
            console.print(f"{what}: no task has a success and a failure, so there is nothing to learn from")
            return model
        with progress_bar(f"{what}: {len(made):,} comparisons", optim.updates(len(made))) as advance:
            train_preferences(model, made, preference, optim, on_update=lambda _: advance())
        return model

    def comparisons(self, critic: _Critic, turns: Sequence[_Turn]) -> list[Comparison]:
        """Pairs of the candidates of turns, as the critic ranks them; all arms share the candidates."""
        config = self.config
        chosen = list(turns)
        random.Random(f"contexts/{config.seed}").shuffle(chosen)
        chosen = [one for one in chosen[: config.contexts] if config.rank_answers or not one.answers]
        inputs = {**self.kept, "turns": len(chosen)}
        drawn = self.run.once("candidates", inputs, lambda: self.draw([one.prompt for one in chosen]), _CANDIDATES)
        scores = critic.rank([(one.prompt, one.hidden_prompt) for one in chosen], drawn)
        source = random.Random(f"pairs/{config.seed}")
        contexts = [Context(one.task, one.prompt, (), one.reply, one.answers, one.success) for one in chosen]
        found = [
            turn_comparison(context, group, rated, config.pairs, config.pairing, source)
            for context, group, rated in zip(contexts, drawn, scores, strict=True)
        ]
        if not config.rank_answers:
            every = [Context(one.task, one.prompt, (), one.reply, one.answers, one.success) for one in turns]
            found += [answer_anchor(context) for context in every]
        return [one for one in found if one is not None]

    def draw(self, prompts: Sequence[Ids]) -> list[list[Ids]]:
        """Candidates of the policy for each prompt."""
        found: list[list[Ids]] = []
        count, seed = self.config.candidates, self.config.seed
        with progress_bar(f"{count} candidates a turn", len(prompts)) as advance:
            for start in range(0, len(prompts), 8):
                part = [Prompt(ids) for ids in prompts[start : start + 8]]
                first = turn_seed(seed, 10_000_000 + start)
                seeds = [turn_seed(first, place) for place in range(len(part) * count)]
                rows = [prompt for prompt in part for _ in range(count)]
                drawn = iter(asyncio.run(self.policy.complete(rows, seeds, self.policy.sampling)))
                found += [[next(drawn).token_ids for _ in range(count)] for _ in part]
                advance(len(part))
        return found


class _BestOf:
    """The model as it came with the best of N candidates a turn, ranked by a critic that reads the reference."""

    def __init__(self, study: _Study, critic: _Critic, count: int) -> None:
        self._study, self._critic, self._count = study, critic, count
        self._tasks = {task.id: task for task in study.test}
        self.version = f"best-of-{count}"

    async def act(self, contexts: Sequence[Seen]) -> list[Action]:
        """One action a context; see `agents.base.Policy`."""
        policy, count = self._study.policy, self._count
        prompts = [Prompt(*policy.encode_prompt(context)) for context in contexts]
        seeds = [turn_seed(context.seed, place) for context in contexts for place in range(count)]
        drawn = await policy.complete([p for p in prompts for _ in range(count)], seeds, policy.sampling)
        found = []
        for place, (context, prompt) in enumerate(zip(contexts, prompts, strict=True)):
            group = drawn[place * count : (place + 1) * count]
            hidden = self._study.hidden_prompt(self._tasks[context.task.id], context)
            [scores] = self._critic.rank([(tuple(prompt.ids), hidden)], [[one.token_ids for one in group]])
            best = group[max(range(count), key=scores.__getitem__)]
            found.append(policy.action(prompt, best.token_ids, best.logprobs, best.stop))
        return found

    async def log_prob(self, steps: Sequence[tuple[Seen, Action]]) -> list[list[float]]:
        """Of the model as it came."""
        return await self._study.policy.log_prob(steps)


_CANDIDATES: JsonFormat[list[list[Ids]]] = JsonFormat(lambda rows: [[tuple(ids) for ids in group] for group in rows])


def example(prompt: Ids, reply: Ids) -> Example:
    """A reply, all of whose tokens count."""
    return Example(prompt, reply, (True,) * len(reply))
