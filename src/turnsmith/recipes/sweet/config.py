"""Settings of SWEET-RL: defaults are the paper's (arXiv 2503.15478, table 5), presets say what differs. No torch."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Literal

import tyro

from turnsmith.learn.optim import OptimConfig
from turnsmith.runs.config import LATER, unknown_preset

EXTRAS = ("hf",)


class Arm(StrEnum):
    """What is compared: all start from the same policy and learn from the same dialogues."""

    ZERO_SHOT = "zero_shot"
    RFT = "rft"
    """Supervised on the dialogues that succeeded."""
    MTDPO = "mtdpo"
    """DPO of whole dialogues."""
    SWEET = "sweet"
    NO_HIDDEN = "no_hidden"
    """The critic does not see the hidden specification."""
    NO_NORM = "no_norm"
    """The critic sums log-ratios instead of taking a turn's mean."""
    REGRESSION = "regression"
    """The critic is a head on mean hidden states."""
    ORACLE = "oracle"
    """Candidates ranked by the truth: what a perfect critic would give (a control, not a method)."""


SWEET_ARMS = (Arm.SWEET, Arm.NO_HIDDEN, Arm.NO_NORM, Arm.REGRESSION, Arm.ORACLE)

_PAPER = OptimConfig(
    learning_rate=2e-7, batch_size=8, warmup_updates=0, schedule="constant", betas=(0.9, 0.95), weight_decay=0.0
)
_SMALL = OptimConfig(learning_rate=3e-4, batch_size=16, warmup_updates=10, schedule="linear", final_rate=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The policy that all arms start from: a small model pre-trained on scripted dialogues of mixed quality.

    Attributes:
        dialogues: how many; half of them have the hidden specification in front, so that a critic can read it.
        quality, quality_hidden: how likely a scripted question is useful, without and with it in front.
        optim: of the training.
        width, layers, heads: of the model.
    """

    dialogues: int = 24_000
    quality: float = 0.8
    quality_hidden: float = 0.95
    optim: OptimConfig = field(default_factory=lambda: replace(_SMALL, learning_rate=2e-3, batch_size=32))
    width: int = 96
    layers: int = 3
    heads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ColBench:
    """ColBench's backend tasks with a Hugging Face model (`--model FOLDER`) instead of the local world.

    Attributes:
        log: offline trajectories in the official form, which all arms learn from.
        train: or a file of tasks: the model's own dialogues about them are the offline data.
        test: a file of held-out tasks; without one the policies are trained and not tested.
        simulator: who plays the person: openai:MODEL@BASE_URL.
        turns: of the agent, of an episode.
        temperature, max_new_tokens: of the agent's sampling.
        lora_rank: of an adapter that learns instead of all weights; 0 (paper) trains all.
        workers: dialogues at once.
        allow_unsafe: run answers without a sandbox where this machine has none.
    """

    log: str = ""
    train: str = ""
    test: str = ""
    simulator: str = ""
    turns: int = 10
    temperature: float = 1.0
    max_new_tokens: int = 1024
    lora_rank: int = 0
    workers: int = 16
    allow_unsafe: bool = False

    @property
    def asked_for(self) -> bool:
        """Whether any of its files is named."""
        return bool(self.log or self.train or self.test)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """SWEET-RL on hidden-specification programs (`worlds/programs`), on ColBench, or on logs of your own (`--from`).

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of everything but the test tasks.
        preset_name: which preset these settings started from.
        source: a run with outcomes to learn from instead of the local world (`--from RUN`); "" for the local world.
        model: with `source` or `colbench`: the folder of a Hugging Face model; "" trains a small one from scratch.
        colbench: its files, with a Hugging Face model.
        sweep: numbers of training tasks: a whole run each, and a table of all.
        base: the policy that all start from (local world).
        arms: which of `Arm` are run.
        tasks: training tasks; `attempts` dialogues each are the offline data (paper: 5,000 by 3).
        attempts: see tasks.
        test_tasks: held-out tasks.
        candidates: of each turn (paper: 16).
        contexts: turns for which candidates are drawn; the paper takes those of the first 10 % of trajectories.
        pairs: of each turn's candidates, best against worst; the paper has one, the authors' code four.
        pairing: "ranked" takes i-th best against i-th worst, "halves" random ones of the upper and lower half (paper).
        rank_answers: also let the critic rank turns that answer (paper); else they are anchored by NLL on what
            successful dialogues answered, and the critic learns from the other turns alone.
        critic_reduction: "turn_mean" (paper, a mean over each turn's tokens), or "trajectory_mean" (authors' code).
        rank_reference: "with_hidden" (paper): both log-likelihoods of the ranking see the hidden specification;
            "without_hidden" (authors' code): the reference's does not.
        beta: β and β′.
        nll: weight of the NLL term of every arm that compares (paper: 0.01).
        critic, actor, mtdpo, rft: how each is trained.
        best_of: N of the best-of-N comparison at test time, with the critic ranking; () leaves it out.
    """

    name: str = "sweet-paper"
    seed: int = 0
    preset_name: str = "paper"
    source: Annotated[str, tyro.conf.arg(name="from")] = ""
    model: str = ""
    base: Base = field(default_factory=Base)
    arms: tuple[Arm, ...] = tuple(arm for arm in Arm if arm is not Arm.ORACLE)
    tasks: int = 5000
    attempts: int = 3
    test_tasks: int = 1000
    candidates: int = 16
    contexts: int = 15_000
    pairs: int = 1
    pairing: Literal["halves", "ranked"] = "halves"
    rank_answers: bool = True
    critic_reduction: Literal["turn_mean", "trajectory_mean"] = "turn_mean"
    rank_reference: Literal["with_hidden", "without_hidden"] = "with_hidden"
    beta: float = 0.1
    nll: float = 0.01
    critic: OptimConfig = field(default_factory=lambda: replace(_PAPER, epochs=4))
    actor: OptimConfig = field(default_factory=lambda: _PAPER)
    mtdpo: OptimConfig = field(default_factory=lambda: replace(_PAPER, epochs=4))
    rft: OptimConfig = field(default_factory=lambda: replace(_PAPER, batch_size=32, epochs=4))
    best_of: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    colbench: ColBench = field(default_factory=ColBench, metadata=LATER)
    sweep: tuple[int, ...] = field(default=(), metadata=LATER)

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: makes the recorded results. paper: the paper's numbers."""
        laptop = cls(
            name="sweet-laptop-s0",
            preset_name="laptop",
            arms=tuple(Arm),
            tasks=1500,
            contexts=6000,
            pairs=4,
            pairing="ranked",
            rank_answers=False,
            rank_reference="without_hidden",
            nll=1.0,
            critic=replace(_SMALL, learning_rate=1e-4, epochs=4),
            actor=replace(_SMALL, learning_rate=3e-4, batch_size=8),
            mtdpo=replace(_SMALL, learning_rate=3e-5, epochs=4),
            rft=replace(_SMALL, learning_rate=1e-3, epochs=4),
            best_of=(1, 4, 16),
        )
        tiny = replace(_SMALL, max_updates=2, batch_size=4)
        smoke = replace(
            laptop,
            name="sweet-smoke",
            preset_name="smoke",
            base=Base(dialogues=640, optim=replace(_SMALL, learning_rate=5e-3), width=48, layers=2),
            tasks=30,
            attempts=3,
            test_tasks=16,
            candidates=6,
            contexts=16,
            critic=tiny,
            actor=tiny,
            mtdpo=tiny,
            rft=tiny,
            best_of=(2,),
        )
        presets = {"smoke": smoke, "laptop": laptop, "paper": cls()}
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]
