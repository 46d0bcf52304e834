"""Digi-Q's settings: the three stages, the log, the arms. Defaults and the preset `paper` are the paper's; `laptop` is
what the recorded results were made with. No torch here: `--help` reads this."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from turnsmith.critics.config import EPSILON, SMALL_CRITICS, QConfig
from turnsmith.recipes.digiq.arm_names import LEARNERS
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RepresentationConfig:
    """Stage 1: what reads actions.

    Attributes:
        kind: "llava" fine-tunes a LLaVA-type model as the paper does, here by a LoRA adapter; "small" a small
            network of ours that starts from the image vectors' autoencoder.
        model: of "llava": its folder in the Hugging Face layout. The paper's is LLaVA-1.5-7B.
        lora_rank: of the adapter; α is twice that.
        updates, batch_size, learning_rate: of the fine-tuning.
        epsilon: from which mean squared pixel difference on a screen has changed.
        foresee: of "small": weight of foreseeing the next screen's vector, beside whether it changes.
        augment: of "small": the share of uses in which a screen is moved with its point, and, apart from that,
            recoloured.
    """

    kind: Literal["llava", "small"] = "llava"
    model: str = ""
    lora_rank: int = 128
    updates: int = 1500
    batch_size: Fixed[int] = 16
    learning_rate: Fixed[float] = 2e-5
    epsilon: float = 30.0
    foresee: Fixed[float] = 0.0
    augment: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionConfig:
    """Stage 3: a policy from Q.

    Attributes:
        candidates: N.
        states: logged states for which candidates are drawn.
        where: whether these are states of "all" episodes, or of rewarded ones, where a good policy will be again;
            critics learn from all episodes.
        temperature: of drawing them.
        pick: "best" imitates the best candidate where it gains `margin` over V; "softmax" one of every state, drawn by
            exp((Q − V) / β).
        pick_temperature: that β, in units of success.
        margin: what the best must gain (the authors' code: 1/H).
        awr_temperature: β of the AWR arm; weights are clipped at 20.
        updates, batch_size, learning_rate: of every arm's actor.
        schedule: of its rate.
    """

    candidates: int = 16
    states: int = 20_000
    where: Literal["all", "successes"] = "all"
    temperature: float = 1.2
    pick: Literal["softmax", "best"] = "best"
    pick_temperature: float = 0.03
    margin: Fixed[float] = 0.0
    awr_temperature: Fixed[float] = 0.05
    updates: int = 900
    batch_size: Fixed[int] = 128
    learning_rate: Fixed[float] = 1e-4
    schedule: Fixed[Literal["constant", "cosine"]] = "constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Digi-Q on logged device episodes.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from.
        source: runs with logged device episodes (`--from RUN RUN`); none: the run makes its own.
        phases: which of their phases are learned from; none: all that are no evaluations or demonstrations.
        episodes: how many of these episodes are used, oldest first; None for all.
        first: without a source, a run whose first policy makes the log, as in `digirl`; "" makes one.
        judge: whose verdict on an episode counts where no judge was asked after each step.
        phone, policy, features: as in `digirl`; the policy is made only without a source.
        representation, critics, extraction: the three stages.
        credit: of the `digirl` arm.
        step_critic: updates of that arm's V_step.
        arms: which are run; a run that has ended may be given more and keeps what it has. Results combine the runs
            that have the same.
        offline_rollouts: episodes of the first policy, without a source.
        test_tasks: held-out tasks; 0 leaves the evaluation out (a log of a phone that is not at hand).
        test_rollouts: episodes of each of them in an evaluation.
        device: of the policy and the image encoders, such as "cpu" or "cuda"; the phones' browser is on the CPU.
    """

    name: str = "digiq"
    seed: int = 0
    preset_name: Fixed[str] = "paper"
    source: Annotated[tuple[str, ...], tyro.conf.arg(name="from")] = ()
    phases: tuple[str, ...] = ()
    episodes: int | None = None
    first: str = ""
    judge: str = "oracle"
    phone: PhoneConfig = field(default_factory=PhoneConfig)
    policy: Fixed[PolicyConfig] = field(default_factory=PolicyConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    representation: RepresentationConfig = field(default_factory=RepresentationConfig)
    critics: QConfig = field(default_factory=QConfig)
    extraction: ExtractionConfig = field(default_factory=ExtractionConfig)
    credit: Fixed[CreditConfig] = field(default_factory=CreditConfig)
    step_critic: Fixed[int] = 100
    arms: tuple[str, ...] = ("fbc", "digirl", "digiq", "mc", "awr", "reinforce", "best-of-1")
    offline_rollouts: int = 1296
    test_tasks: int = 96
    test_rollouts: int = 1
    device: str = "cpu"

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's models and numbers, from folders of
        weights."""
        presets = {"smoke": _smoke, "laptop": _laptop, "paper": _paper}
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]()


def _smoke() -> Config:
    return Config(
        name="digiq-smoke",
        preset_name="smoke",
        phone=TINY_PHONE,
        policy=TINY_POLICY,
        features=TINY_FEATURES,
        representation=RepresentationConfig(kind="small", updates=2, batch_size=4, epsilon=EPSILON, augment=0.6),
        critics=QConfig(
            form="advantage", decay=0.5, updates=3, batch_size=4, learning_rate=1e-3, grad_clip=1.0, width=16,
            value_updates=3,
        ),
        extraction=ExtractionConfig(candidates=3, states=4, pick="softmax", updates=2, batch_size=4),
        arms=(*LEARNERS[:-1], "best-of-1", "digiq-ranked", "fbc@3-ranked-by-mc-2", "behaviour-likeliest"),
        offline_rollouts=3,
        test_tasks=1,
    )  # fmt: skip


def _laptop() -> Config:
    return Config(
        name="digiq-laptop-s0",
        preset_name="laptop",
        phone=SMALL_PHONE,
        policy=SMALL_POLICY,
        features=SMALL_FEATURES,
        representation=RepresentationConfig(
            kind="small", updates=12_000, batch_size=32, learning_rate=5e-4, epsilon=EPSILON, foresee=1.0
        ),
        critics=SMALL_CRITICS,
        extraction=ExtractionConfig(
            states=8000,
            where="successes",
            temperature=1.0,
            pick="softmax",
            updates=400,
            batch_size=32,
            learning_rate=1e-3,
            schedule="cosine",
        ),
        credit=CreditConfig(mix=0.1, threshold=0.02),
        step_critic=300,
        arms=(
            "fbc", "digirl", "digiq", "no-representation", "mc", "awr", "best-of-1", "digirl-likeliest",
            "digirl-ranked", "digiq-ranked",
        ),
        offline_rollouts=400,
        test_rollouts=2,
    )  # fmt: skip


def _paper() -> Config:
    return Config(name="digiq-paper")
