"""Settings of Self-Challenging agents: the defaults are the paper's (arXiv 2506.01716); presets say what differs."""

from dataclasses import dataclass, field
from typing import Literal

from turnsmith.learn.optim import OptimConfig
from turnsmith.runs.config import LATER, unknown_preset

EXTRAS = ("hf",)

Source = Literal["full", "solution", "runs", "pae", "oracle"]
"""Where an arm's tasks come from: self-made ones by their filter, PAE's, or the benchmark's own train split."""
Method = Literal["rft", "dpo", "ppo", "grpo", "distill", "distill_successes"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One executor: which tasks it learns from, how many, and how.

    Attributes:
        source: of the tasks.
        tasks: how many; rollouts a task follow from the fixed number of all rollouts.
        method: of learning.
    """

    source: Source
    tasks: int
    method: Method = "rft"

    @property
    def name(self) -> str:
        """For files and people."""
        return f"{self.method}-{self.source}-{self.tasks}"


def arm_of(name: str) -> Arm:
    """The arm of a name such as "rft-full-800".

    Raises:
        ValueError: if it is none.
    """
    method, source, tasks = name.split("-")
    return Arm(source, int(tasks), method)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of a small model that is made from scratch."""

    width: int = 128
    layers: int = 3
    heads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """What the small model knows before it meets the shop: episodes of scripted, noisy agents in made-up shops.

    Attributes:
        worlds, users: how many made-up shops, and users of each.
        helpers, challenges, proposals, judged: episodes of each role.
        noise: probability that the scripted helper makes each request's write wrongly.
        judge_noise: share of the judge's labels that are wrong.
        optim: training on all of it.
    """

    worlds: int = 6
    users: int = 120
    helpers: int = 4500
    challenges: int = 6000
    proposals: int = 300
    judged: int = 600
    noise: float = 0.5
    judge_noise: float = 0.15
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(batch_size=16, max_updates=1600))


SMALL_UPDATE = OptimConfig(learning_rate=5e-4, batch_size=16, epochs=4, warmup_updates=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A chat model (`--agent`) as challenger and executor, instead of the small one.

    Attributes:
        tools: the world: a name of `worlds.desks` (tau_retail, tau_airline, with or without _synthetic, m3_trade …).
        user: who plays the users: openai:MODEL@BASE_URL. Without one, users of made-up worlds work by rule, and what an
            agent wrote itself is read by the executor as its instruction.
        teacher: whose rollouts are distilled: a model folder or openai:MODEL@BASE_URL.
        calls: how often a challenger may call tools before it writes.
        temperature, max_new_tokens: of the executor's sampling.
        task_tokens: the longest task, in tokens.
        lora_rank: of an adapter that learns instead of all weights; 0 trains all.
        workers: episodes at once.
        allow_unsafe: run checks without a sandbox where this machine has none.
    """

    tools: str = "tau_retail"
    user: str = ""
    teacher: str = ""
    calls: int = 8
    temperature: float = 1.0
    max_new_tokens: int = 1024
    task_tokens: int = 2000
    lora_rank: int = 0
    workers: int = 16
    allow_unsafe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Self-challenging on tau-bench's retail world, or with a chat model (`--agent`) on any world of tools.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from.
        world: "official" (tau-bench's database and test tasks) or "synthetic" (made up; needs no data).
        size: of challenger, executor and judge, which are one model; `teacher`: of the distillation's teacher.
        pretraining: before anything.
        tasks: how many self-made tasks an arm learns from.
        rollouts: in all, whatever the number of tasks.
        most_proposals: the challenger writes at most so many.
        arms: by name, METHOD-SOURCE-TASKS.
        update: training of an arm; `online_iterations` and `online_rate`: of PPO and GRPO.
        dpo_beta, dpo_nll: of the DPO arm.
        horizon: most actions of an episode.
        evaluation_rollouts: episodes a test task.
        test_tasks: at most so many; most_writes: of a test task.
        audited: at most so many tasks a filter.
        agent: a chat model: a model folder (it is trained), or openai:MODEL@BASE_URL (it writes tasks, is tested on the
            test tasks and plays its own; nothing is trained); "" makes a small model from scratch.
        chat: with an agent.
    """

    name: str = "sca-paper"
    seed: int = 0
    preset_name: str = "paper"
    world: Literal["official", "synthetic"] = "official"
    size: Size = field(default_factory=Size)
    teacher: Size = field(default_factory=lambda: Size(width=192, layers=4))
    pretraining: Pretraining = field(default_factory=Pretraining)
    tasks: int = 800
    rollouts: int = 12_000
    most_proposals: int = 16_000
    arms: tuple[str, ...] = (
        "rft-full-800", "rft-full-400", "rft-full-200", "rft-pae-800", "rft-runs-800", "rft-solution-800",
        "rft-oracle-400", "dpo-full-800", "ppo-full-800", "grpo-full-800", "distill-full-800",
        "distill_successes-full-800",
    )  # fmt: skip
    update: OptimConfig = field(default_factory=lambda: SMALL_UPDATE)
    online_iterations: int = 8
    online_rate: float = 2e-4
    dpo_beta: float = 0.1
    dpo_nll: float = 0.3
    horizon: int = 30
    evaluation_rollouts: int = 4
    test_tasks: int = 115
    most_writes: int = 4
    audited: int = 400
    agent: str = field(default="", metadata=LATER)
    chat: Chat = field(default_factory=Chat, metadata=LATER)

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results on two cores. paper: the paper's numbers of tasks."""
        presets = {
            "smoke": cls(
                name="sca-smoke",
                preset_name="smoke",
                world="synthetic",
                size=Size(width=32, layers=2, heads=2),
                teacher=Size(width=32, layers=2, heads=2),
                pretraining=Pretraining(
                    worlds=1,
                    users=20,
                    helpers=40,
                    challenges=40,
                    proposals=8,
                    judged=8,
                    optim=OptimConfig(batch_size=8, max_updates=20),
                ),
                tasks=4,
                rollouts=8,
                most_proposals=24,
                arms=("rft-full-4", "rft-pae-4", "rft-oracle-4", "dpo-full-4", "grpo-full-4", "distill-full-4"),
                update=OptimConfig(batch_size=4, warmup_updates=1, max_updates=2),
                online_iterations=2,
                horizon=8,
                evaluation_rollouts=2,
                test_tasks=4,
                audited=4,
            ),
            "laptop": cls(
                name="sca-laptop-s0",
                preset_name="laptop",
                rollouts=1_600,
                most_proposals=12_000,
                horizon=16,
                most_writes=2,
            ),
            "paper": cls(),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]
