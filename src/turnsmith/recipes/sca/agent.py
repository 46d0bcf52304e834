"""The one small model of the recipe: executor, challenger, proposer and judge are roles of it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from turnsmith.agents.base import Context
from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.agents.log_policy import END, LogPolicy
from turnsmith.engine.forward import Prompt
from turnsmith.engine.sampling import Sampling
from turnsmith.engine.score import score
from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.environment import ToolEnvironment
from turnsmith.learn import sft
from turnsmith.learn.examples import Example
from turnsmith.learn.fit import Progress
from turnsmith.learn.optim import OptimConfig
from turnsmith.recipes.sca.config import Config, Pretraining, Size
from turnsmith.rollout.collect import Limits, collect, evaluation_episodes
from turnsmith.trace.types import Task, Trace, Verdict
from turnsmith.worlds import retail
from turnsmith.worlds.retail.compact import Seen as _Seen
from turnsmith.worlds.retail.compact import says, tool_words
from turnsmith.worlds.retail.demonstrator import ScriptedChallenger, ScriptedHelper
from turnsmith.worlds.retail.language import RetailLanguage
from turnsmith.worlds.retail.requests import SWAPS_OFTEN
from turnsmith.worlds.retail.tasks import random_task, user_of

NEW_TOKENS = {"help": 28, "challenge": 120, "propose": 40}


def new_policy(size: Size, seed: int, version: str, role: str = "help") -> LogPolicy:
    """A model with random weights, and the shop's language."""
    language = RetailLanguage()
    model = new_copy_llama(
        len(language.vocabulary), size.width, size.layers, size.heads, context=2048, seed=seed, smear=2
    )
    return LogPolicy(model, language, Sampling(max_new_tokens=NEW_TOKENS[role]), version)


def with_role(policy: LogPolicy, role: str, version: str) -> LogPolicy:
    """The same weights in another role."""
    return LogPolicy(policy.model, policy.language, Sampling(max_new_tokens=NEW_TOKENS[role]), version)


def helper_environment(world: DatabaseWorld) -> ToolEnvironment:
    """Where executors act: fresh databases, and the users of the tasks."""
    return ToolEnvironment(world, lambda task, _seed: user_of(world, task))


def challenger_environment(world: DatabaseWorld) -> ToolEnvironment:
    """Where challengers act: fresh databases and nobody to talk to."""
    return ToolEnvironment(world, lambda _task, _seed: None)


def challenge_tasks(world: DatabaseWorld, count: int, seed: int, role: str) -> list[Task]:
    """Occasions to write a task, each about a random user: a challenger knows the id, a proposer the profile."""
    rng = random.Random(f"{role}/{seed}")
    users = sorted(world.base.tables["users"])
    made = []
    for number in range(count):
        user_id = rng.choice(users)
        words = ["user", (user_id,)]
        if role == "propose":
            output = world.fresh().call("get_user_details", {"user_id": user_id})
            seen = _Seen()
            seen.mark(user_id)
            words = tool_words(seen, "get_user_details", output)
        params = {"role": role, "user_id": user_id, "plan": rng.randrange(2**31), "words": list(says(words))}
        made.append(Task(f"{role}/{seed}/{number}", "Write a task for this user.", world.name, params))
    return made


def log_ids(policy: LogPolicy, trace: Trace) -> list[tuple[list[int], bool]]:
    """The log of an episode as stretches of token ids, and whether the agent said them."""
    last = trace.turns[-1]
    context = Context(trace.task, last.observation, trace.turns[:-1])
    ids = list(last.action.token_ids) or policy.encode_log([last.action.text])
    return [*policy.stretches(context, policy.language.read(context)[0]), (ids, True)]


def example_of(policy: LogPolicy, trace: Trace, weight: float = 1.0) -> Example:
    """An episode as one example: the agent's tokens count. What was sampled is trained on as it was sampled."""
    stretches = log_ids(policy, trace)
    prompt = [*stretches[0][0], *stretches[1][0]]
    tokens = [token for ids, _ in stretches[2:] for token in ids]
    mask = [said for ids, said in stretches[2:] for _ in ids]
    return Example(tuple(prompt), tuple(tokens), tuple(mask), weight)


async def demonstrations(config: Pretraining, seed: int, noise: float) -> dict[str, list[Trace]]:
    """Episodes of the scripted agents in made-up shops, by role."""
    found: dict[str, list[Trace]] = {"help": [], "challenge": [], "propose": []}
    limits = Limits(horizon=24)
    for number in range(config.worlds):
        world = retail.synthetic_world(1000 * seed + number, config.users)
        rng = random.Random(f"{seed}/{number}")
        count = -(-(config.helpers + config.judged) // config.worlds)
        tasks = [random_task(f"{number}/{i}", world.base, rng, kinds=SWAPS_OFTEN) for i in range(count)]
        helper = ScriptedHelper(tasks, world.base, noise)
        episodes = evaluation_episodes(tasks, seed, phase=f"help{number}")
        found["help"] += await collect(helper_environment(world), helper, episodes, limits, workers=16)
        for role, wanted in (("challenge", config.challenges), ("propose", config.proposals)):
            occasions = challenge_tasks(world, -(-wanted // config.worlds), seed, role)
            challenger = ScriptedChallenger(world.base)
            episodes = evaluation_episodes(occasions, seed, phase=f"{role}{number}")
            traces = await collect(challenger_environment(world), challenger, episodes, limits, workers=16)
            found[role] += [trace for trace in traces if trace.turns[-1].action.call is not None]
    return found


def pretraining_examples(
    policy: LogPolicy, episodes: dict[str, list[Trace]], config: Pretraining, seed: int
) -> list[Example]:
    """Everything that the model learns its trade from, in all four roles."""
    rng = random.Random(seed)
    helpers = episodes["help"]
    rng.shuffle(helpers)
    examples = [example_of(policy, trace) for trace in helpers[: config.helpers]]
    for trace in helpers[config.helpers :]:
        good = (trace.reward() or 0.0) > 0.5
        good = good != (rng.random() < config.judge_noise)
        examples.append(judged_example(policy, trace, good))
    for role in ("challenge", "propose"):
        examples += [example_of(policy, trace) for trace in episodes[role]]
    return examples


def judged_example(policy: LogPolicy, trace: Trace, good: bool) -> Example:
    """An episode, and what its judge says."""
    answer = policy.encode_log(["good" if good else "bad"])
    return Example(judge_prompt(policy, trace), tuple(answer), (True,) * len(answer))


def judge_prompt(policy: LogPolicy, trace: Trace) -> tuple[int, ...]:
    """What the judge reads: the whole episode."""
    return (*(token for ids, _ in log_ids(policy, trace) for token in ids), *policy.encode_log(["judge"]))


class ModelJudge:
    """PAE's judge: the model itself says whether an episode went well, having read it."""

    name = "model"

    def __init__(self, policy: LogPolicy) -> None:
        self._policy = policy

    async def judge(self, trace: Trace) -> Verdict:
        """1 where "good" is likelier than "bad"."""
        return self.verdicts([trace])[0]

    def verdicts(self, traces: Sequence[Trace]) -> list[Verdict]:
        """A verdict a trace."""
        policy = self._policy
        prompts = [Prompt(judge_prompt(policy, trace)) for trace in traces for _ in range(2)]
        answers = [policy.encode_log([word]) for _ in traces for word in ("good", "bad")]
        with policy.lock:
            scores = [sum(row) for row in score(policy.model, prompts, answers)]
        return [
            Verdict(self.name, float(scores[2 * number] > scores[2 * number + 1]), "by its own reading")
            for number in range(len(traces))
        ]


def train(
    policy: LogPolicy,
    examples: Sequence[Example],
    optim: OptimConfig,
    on_update: Callable[[Progress], bool | None] | None = None,
) -> list[float]:
    """Supervised training in place."""
    torch.manual_seed(optim.seed)
    with policy.lock:
        return sft.train(policy.model, examples, optim, on_update=on_update)


def end_of(trace: Trace) -> bool:
    """Whether the agent's last word ended with an end token (it was not cut off)."""
    ids = trace.turns[-1].action.token_ids if trace.turns else ()
    return not ids or ids[-1] == END


def settings_hash(config: Config) -> dict[str, object]:
    """What pretraining depends on."""
    return {"size": asdict(config.size), "pretraining": asdict(config.pretraining), "seed": config.seed}
