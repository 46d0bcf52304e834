"""Settings of TTI: the defaults are the paper's (arXiv 2506.07976), presets say what differs. No torch here."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.replay import Replay
from turnsmith.recipes.shared.web_config import Demonstrations, Lora, PolicyConfig, SmallModel, WebConfig
from turnsmith.runs.config import unknown_preset
from turnsmith.tasks.horizon import Horizons, Schedule

EXTRAS = ("browser", "hf")


class Arm(StrEnum):
    """What is compared: the training horizon by iteration. All spend as many environment steps and updates."""

    FIXED_SHORT = "fixed_short"
    """h_min throughout."""
    FIXED_LONG = "fixed_long"
    """h_max throughout."""
    ADDITIVE = "additive"
    """h_min + step · i, up to h_max."""
    MULTIPLICATIVE = "multiplicative"
    """h_min · i, up to h_max: the paper's choice."""
    REVERSED = "reversed"
    """The multiplicative curriculum backwards: is it the order that helps?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """More at test time, compared at equal tokens on the first test tasks: what each method is set to.

    Attributes:
        arm: whose final policy is tried.
        tasks: how many of the test tasks; 0 leaves all of it out.
        answers: re-check: answers that end an episode (1 is the policy as it is).
        forced: budget forcing: how often an action is held back.
        samples: best of n.
    """

    arm: Arm = Arm.MULTIPLICATIVE
    tasks: int = 62
    answers: tuple[int, ...] = (2, 3, 4)
    forced: tuple[int, ...] = (1, 2, 3)
    samples: tuple[int, ...] = (3, 5)


PAPER_UPDATE = OptimConfig(
    learning_rate=4e-6,
    batch_size=64,
    epochs=1,
    warmup_updates=20,
    schedule="cosine",
    betas=(0.9, 0.999),
    weight_decay=0.01,
    grad_clip=0.01,
)
"""AdamW on WebVoyager (WebArena: 1e-6): 4 a device, accumulated twice, 8 devices; one pass over what was drawn."""

_PAPER_POLICY = PolicyConfig(
    model="gemma-3-12b-it",
    rendering="tti",
    lora=Lora(rank=0),
    freeze=("vision_tower",),
    top_p=0.95,
    max_new_tokens=1024,
)
"""The paper leaves the vision tower as it is."""

SMALL_OPTIM = OptimConfig(learning_rate=1e-3, batch_size=8, warmup_updates=20, schedule="constant")
"""For the small models, all of whose weights learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """TTI on the long tasks of the local sites (`worlds/sites/hunt.py`).

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from (recorded results combine the seeds of one preset).
        web: sites, sessions, screenshots; its horizon is not used.
        tasks: a task file of yours instead (docs/tasks.md): its split "train" is trained on, its split "test" is the
            test. They may be anywhere on the web; WebArena's and the local sites' have their oracle.
        judge: who rewards training and tests: "oracle", or another by its name (docs/own_judge.md).
        policy: who acts and learns.
        demonstrations: of the warm start, good and bad alike.
        sft: training on them; `max_updates` updates, saved every `sft_slice`.
        sft_slice: after so many updates a warm start that is killed goes on.
        arms: what is compared; a run that goes on may be given more.
        horizons: h_min, h_max, the additive step, and the horizon of the test; each arm sets the schedule.
        iterations: K.
        steps: environment steps of an iteration; what an iteration leaves is the next one's.
        update: training in each iteration: one pass, or `max_updates` updates.
        keep: trajectories that an update draws from the successes of all iterations.
        replay: by what they are drawn.
        rename: learn everything under new names (`learn.transforms.rename`); for small policies.
        test_tasks: of the evaluation.
        pictures: how many of its episodes are recorded with screenshots where the policy sees none.
        thinking: re-check, budget forcing and best of n.
    """

    name: str = "tti-paper"
    seed: int = 0
    preset_name: str = "paper"
    web: WebConfig = field(default_factory=lambda: WebConfig(sessions=128))
    tasks: str = ""
    judge: str = "oracle"
    policy: PolicyConfig = _PAPER_POLICY
    demonstrations: Demonstrations = field(default_factory=lambda: Demonstrations(count=0))
    sft: OptimConfig = SMALL_OPTIM
    sft_slice: int = 100
    arms: tuple[Arm, ...] = tuple(Arm)
    horizons: Horizons = field(default_factory=Horizons)
    iterations: int = 15
    steps: int = 5120
    update: OptimConfig = PAPER_UPDATE
    keep: int = 512
    replay: Replay = field(default_factory=Replay)
    rename: bool = False
    test_tasks: int = 427
    pictures: int = 0
    thinking: Thinking = field(default_factory=Thinking)

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's model and sizes, for GPUs."""
        presets = {"smoke": _smoke, "laptop": _laptop, "paper": cls}
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]()

    def horizons_of(self, arm: Arm) -> Horizons:
        """The training horizons of an arm."""
        long = arm is Arm.FIXED_LONG
        schedules: dict[Arm, Schedule] = {
            Arm.FIXED_SHORT: "fixed",
            Arm.FIXED_LONG: "fixed",
            Arm.ADDITIVE: "additive",
            Arm.MULTIPLICATIVE: "multiplicative",
            Arm.REVERSED: "multiplicative",
        }
        return replace(
            self.horizons,
            schedule=schedules[arm],
            shortest=self.horizons.longest if long else self.horizons.shortest,
            reverse=arm is Arm.REVERSED,
        )


def _laptop() -> Config:
    """Two CPU cores, a small policy. The curriculum reaches h_max half-way, as the paper's does."""
    return Config(
        name="tti-laptop-s0",
        preset_name="laptop",
        web=WebConfig(sessions=8, screenshots=False),
        policy=PolicyConfig(model="shipped", lora=Lora(rank=0), max_new_tokens=64),
        demonstrations=Demonstrations(count=400, noise=0.4, wander=0.0, detour=0.03, roam=0.5),
        sft=OptimConfig(learning_rate=1e-3, max_updates=2500, epochs=10_000, warmup_updates=20, schedule="constant"),
        horizons=Horizons(shortest=8, longest=24, step=4, test=24),
        iterations=5,
        steps=640,
        update=OptimConfig(learning_rate=3e-4, max_updates=80, epochs=10_000, warmup_updates=5, schedule="constant"),
        rename=True,
        test_tasks=90,
        pictures=6,
        thinking=Thinking(tasks=24, answers=(2,), forced=(1,), samples=(3,)),
    )


def _smoke() -> Config:
    """Under a minute."""
    return Config(
        name="tti-smoke",
        preset_name="smoke",
        web=WebConfig(sites=("shop",), sessions=2, screenshots=False),
        policy=PolicyConfig(
            model="scratch",
            scratch=SmallModel(vocab_size=1300, width=32),
            lora=Lora(rank=0),
            max_new_tokens=16,
        ),
        demonstrations=Demonstrations(count=3, noise=0.4, wander=0.0, detour=0.06, roam=0.5),
        sft=OptimConfig(learning_rate=1e-3, max_updates=4, epochs=10_000, warmup_updates=1, schedule="constant"),
        sft_slice=2,
        arms=(Arm.FIXED_SHORT, Arm.MULTIPLICATIVE),
        horizons=Horizons(shortest=2, longest=4, test=4),
        iterations=2,
        steps=8,
        update=OptimConfig(learning_rate=1e-3, max_updates=1, epochs=10_000, warmup_updates=1, schedule="constant"),
        keep=4,
        rename=True,
        test_tasks=2,
        pictures=1,
        thinking=Thinking(tasks=1, answers=(2,), forced=(1,), samples=(2,)),
    )
