"""Digi-Q's settings: the three stages, the log, the arms; the presets."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from turnsmith.critics.change import EPSILON
from turnsmith.critics.qlearning import QConfig
from turnsmith.recipes.digiq.arm_names import LEARNERS
from turnsmith.recipes.shared import phone_policy as policies
from turnsmith.recipes.shared.digirl_filter import CreditConfig
from turnsmith.recipes.shared.phone import FeatureConfig, PhoneConfig
from turnsmith.recipes.shared.phone_policy import PolicyConfig
from turnsmith.runs.config import unknown_preset


@dataclass(frozen=True, slots=True)
class Representation:
    """Stage 1.

    Attributes:
        updates, batch_size, learning_rate: of the action reader.
        epsilon: from which pixel difference on a screen has changed.
        foresee: weight of foreseeing the next screen's vector, beside whether it changes; 0 in the paper.
        augment: the share of uses in which a screen is moved with its point, and, apart from that, recoloured; 0 in the
            paper and in the recorded results.
        model: a folder of a LLaVA-type model (Hugging Face layout) that reads actions instead of the small reader; its
            LoRA adapter is what learns. The paper's is LLaVA-1.5-7B. `foresee` and `augment` are the small reader's.
        lora_rank: of the adapter; α is twice that.
    """

    updates: int = 12_000
    batch_size: int = 32
    learning_rate: float = 5e-4
    epsilon: float = EPSILON
    foresee: float = 1.0
    augment: float = 0.0
    model: str = ""
    lora_rank: int = 128


@dataclass(frozen=True, slots=True)
class Extraction:
    """Stage 3.

    Attributes:
        candidates: N.
        states: logged states for which candidates are drawn.
        where: whether these are states of "all" episodes, as in the paper, or of rewarded ones, where a good policy
            will be again; critics learn from all episodes.
        temperature: of drawing them.
        pick: "best" imitates the best candidate where it gains `margin` over V, as the paper does; "softmax" one of
            every state, drawn by exp((Q − V) / β).
        pick_temperature: that β, in units of success.
        margin: what the best must gain (the paper: 0; the authors' code: 1/H).
        awr_temperature: β of the AWR arm; weights are clipped at 20.
        updates, batch_size, learning_rate: of every arm's actor.
    """

    candidates: int = 16
    states: int = 8000
    where: Literal["all", "successes"] = "successes"
    temperature: float = 1.0
    pick: Literal["softmax", "best"] = "softmax"
    pick_temperature: float = 0.03
    margin: float = 0.0
    awr_temperature: float = 0.05
    updates: int = 400
    batch_size: int = 32
    learning_rate: float = 1e-3


@dataclass(frozen=True, slots=True)
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

    name: str = "digiq-laptop-s0"
    seed: int = 0
    preset_name: str = "laptop"
    source: Annotated[tuple[str, ...], tyro.conf.arg(name="from")] = ()
    phases: tuple[str, ...] = ()
    episodes: int | None = None
    first: str = ""
    judge: str = "oracle"
    phone: PhoneConfig = field(default_factory=PhoneConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    representation: Representation = field(default_factory=Representation)
    critics: QConfig = field(default_factory=QConfig)
    extraction: Extraction = field(default_factory=Extraction)
    credit: CreditConfig = field(default_factory=lambda: CreditConfig(mix=0.1, threshold=0.02))
    step_critic: int = 300
    arms: tuple[str, ...] = (
        "fbc", "digirl", "digiq", "no-representation", "mc", "awr", "best-of-1", "digirl-likeliest", "digirl-ranked",
        "digiq-ranked",
    )  # fmt: skip
    offline_rollouts: int = 400
    test_tasks: int = 96
    test_rollouts: int = 2
    device: str = "cpu"

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's numbers."""
        presets = {
            "smoke": cls(
                name="digiq-smoke",
                preset_name="smoke",
                phone=PhoneConfig(phones=2, horizon=3, weather=0.3, false_positive=0.4),
                policy=policies.TINY_POLICY,
                features=FeatureConfig(16, 2),
                representation=Representation(2, 4, augment=0.6),
                critics=QConfig(updates=3, batch_size=4, width=16, value_updates=3),
                extraction=Extraction(3, 4, "all", updates=2, batch_size=4),
                arms=(*LEARNERS[:-1], "best-of-1", "digiq-ranked", "fbc@3-ranked-by-mc-2", "behaviour-likeliest"),
                offline_rollouts=3,
                test_tasks=1,
                test_rollouts=1,
            ),
            "laptop": cls(),
            "paper": cls(
                name="digiq-paper",
                preset_name="paper",
                offline_rollouts=1296,
                representation=Representation(1500, epsilon=30.0, foresee=0.0),
                critics=QConfig(
                    "direct", discount=0.95, decay=0.0, batch_size=128, learning_rate=1e-5, grad_clip=0.01, heads="max"
                ),
                extraction=Extraction(
                    16, 20_000, "all", 1.2, "best", margin=0.05, updates=900, batch_size=128, learning_rate=1e-4
                ),
                credit=CreditConfig(),
                test_rollouts=1,
            ),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]
