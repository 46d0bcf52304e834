"""DigiRL's settings: defaults and the preset `paper` are the paper's; `laptop` is what the recorded results were made
with. No torch here: `--help` reads this."""

from dataclasses import dataclass, field, replace
from typing import Literal

from turnsmith.recipes.shared.phone_config import (
    SMALL_FEATURES,
    SMALL_PHONE,
    SMALL_POLICY,
    TINY_FEATURES,
    TINY_PHONE,
    TINY_POLICY,
    CreditConfig,
    FeatureConfig,
    Fixed,
    PhoneConfig,
    PolicyConfig,
)
from turnsmith.runs.config import unknown_preset

EXTRAS = ("browser", "hf")

Arm = Literal["fbc", "digirl", "digirl-released", "digirl-awr", "digirl-no-step", "digirl-squared-error"]
"""What can be compared. The last four change one thing of `digirl` each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """Updates of one stage of learning: of the actor, of V_step, and of V_instruct."""

    actor: int
    step_critic: int
    instruction_critic: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorConfig:
    """How the actor learns, in every stage.

    Attributes:
        batch_size: steps in an update.
        learning_rate: of Adam, where a stage begins.
        schedule: "constant" is the authors'; "cosine" lets the rate fall to 0 until the end of the stage.
    """

    batch_size: int = 128
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftConfig:
    """The drift experiment: `iterations` of `rollouts` episodes while the days go by, `days_each` in each; then both
    copies are tested on the days that follow. 0 iterations leave it out."""

    iterations: int = 0
    rollouts: int = 16
    days_each: Fixed[int] = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """DigiRL on the local phone.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from.
        phone: tasks, weather, judge.
        policy: the first policy.
        first: a run whose first policy this one starts from, as all runs of the paper start from one checkpoint; ""
            makes one.
        features: frozen image vectors of the critics.
        credit: advantages, filter, curriculum.
        arms: which are run, one after the other on the same offline data; none makes the first policy alone.
        offline_rollouts: episodes of the first policy.
        offline: updates on them.
        iterations, rollouts: K and N of the online stage.
        online: updates of each iteration.
        actor: how the actor learns.
        test_tasks: held-out tasks.
        test_rollouts: episodes of each of them in an evaluation.
        drift: see there.
        device: of the policy and the image encoders, such as "cpu" or "cuda"; the phones' browser is on the CPU.
    """

    name: str = "digirl"
    seed: int = 0
    preset_name: Fixed[str] = "paper"
    phone: PhoneConfig = field(default_factory=PhoneConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    first: str = ""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    credit: CreditConfig = field(default_factory=CreditConfig)
    arms: tuple[Arm, ...] = ("fbc", "digirl")
    offline_rollouts: int = 1296
    offline: StageConfig = StageConfig(actor=600, step_critic=100, instruction_critic=100)
    iterations: int = 400
    rollouts: int = 16
    online: StageConfig = StageConfig(actor=20, step_critic=5, instruction_critic=5)
    actor: ActorConfig = field(default_factory=ActorConfig)
    test_tasks: int = 96
    test_rollouts: int = 1
    drift: DriftConfig = field(default_factory=DriftConfig)
    device: str = "cpu"

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop, general: on two cores, WebShop-like and General-like tasks; laptop makes the
        recorded results. paper: the paper's models and numbers, from folders of weights."""
        presets = {"smoke": _smoke, "laptop": _laptop, "general": _general, "paper": _paper}
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]()


def _smoke() -> Config:
    tiny = StageConfig(actor=2, step_critic=2, instruction_critic=2)
    return Config(
        name="digirl-smoke",
        preset_name="smoke",
        phone=TINY_PHONE,
        policy=TINY_POLICY,
        features=TINY_FEATURES,
        credit=CreditConfig(fraction=0.5),
        offline_rollouts=4,
        offline=tiny,
        iterations=1,
        rollouts=4,
        online=tiny,
        actor=ActorConfig(batch_size=4),
        test_tasks=2,
        drift=DriftConfig(iterations=1, rollouts=2, days_each=4),
    )


def _laptop() -> Config:
    return Config(
        name="digirl-laptop-s0",
        preset_name="laptop",
        phone=SMALL_PHONE,
        policy=SMALL_POLICY,
        features=SMALL_FEATURES,
        credit=CreditConfig(mix=0.1, threshold=0.02, fraction=0.25),
        offline_rollouts=240,
        offline=StageConfig(actor=400, step_critic=300, instruction_critic=100),
        iterations=4,
        rollouts=96,
        online=StageConfig(actor=200, step_critic=60, instruction_critic=40),
        actor=ActorConfig(batch_size=32, learning_rate=1e-3, schedule="cosine"),
        test_rollouts=2,
        drift=DriftConfig(iterations=2, rollouts=48),
    )


def _general() -> Config:
    return replace(
        _laptop(),
        name="digirl-general-s0",
        preset_name="general",
        phone=replace(SMALL_PHONE, kind="general"),
        credit=CreditConfig(mix=0.1, threshold=0.05, fraction=0.25),
    )


def _paper() -> Config:
    return Config(name="digirl-paper")
