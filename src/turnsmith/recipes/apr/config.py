"""APR's settings: the game, the model, the stages, what is measured; the presets. Nothing heavy is imported here."""

from dataclasses import dataclass, field, replace
from typing import Literal

from tyro.conf import Suppress

from turnsmith.learn.optim import OptimConfig
from turnsmith.recipes.apr.tier import Tier
from turnsmith.runs.config import unknown_preset

EXTRAS = ("hf",)

Join = Literal["append", "rewrite"]
"""What becomes of a parent's spawn block: "append" keeps it and reuses all keys; "rewrite" deletes it, as the paper."""
Arm = Literal["apr", "sos", "apr-parent", "apr-enforced"]
"""Models that GRPO trains: trees, serial, trees with credit to parents alone, trees with a fixed number of children."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a root is told to keep to.

    Attributes:
        kind: "calls": so many children a spawn; "tokens": a serial thread no longer than that.
        count: how many.
    """

    kind: Literal["calls", "tokens"]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A decoder from scratch; the defaults are the paper's 228 M parameters beside the embeddings.

    Attributes:
        width, layers, heads, mlp: of the trunk.
        context: longest thread.
        tied: input and output embeddings are one.
        number_features: embeddings of numbers start with sines and cosines of their value, see `model.new_model`.
        pointer_dropout: of copy heads (`agents.copy_llama`); None: a plain Llama without them.
    """

    width: int = 1024
    layers: int = 18
    heads: int = 16
    mlp: Suppress[int] = 2752
    context: int = 4096
    tied: Suppress[bool] = False
    number_features: Suppress[bool] = False
    pointer_dropout: Suppress[float | None] = None


PAPER_OPTIM = OptimConfig(
    learning_rate=5e-5, batch_size=256, warmup_updates=1, final_rate=0.01, weight_decay=0.01, betas=(0.9, 0.999),
    grad_clip=1.0, pass_tokens=65536,
)  # fmt: skip
"""AdamW with one update of warm-up and a cosine from 5e-5 to 5e-7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One supervised stage: fresh examples, each seen once.

    Attributes:
        tokens: as many examples as have so many tokens, so that two arms learn from equally many; None: as many as
            `updates` take.
        updates: see tokens.
        optim: how they are learned.
    """

    tokens: int | None = None
    updates: int = 19_000
    optim: Suppress[OptimConfig] = field(default_factory=lambda: PAPER_OPTIM)


@dataclass(frozen=True, slots=True, kw_only=True)
class RL:
    """One run of GRPO; the defaults are the paper's.

    Attributes:
        steps: batches.
        problems, group: P and G.
        learning_rate, clip, kl, inner_updates: see `learn.policy_gradient`; `kl` is the penalty that trees get, in the
            paper ten times as large for serial threads.
        credit: "children": every call of a tree; "parent": the root's calls alone (the arm "apr-parent").
        cost, price: what a success pays for, and how much of its reward at the most; 0 is the paper.
    """

    steps: int = 150
    problems: int = 64
    group: int = 5
    learning_rate: float = 1e-5
    kl: float = 0.001
    clip: float = 0.2
    inner_updates: int = 2
    credit: Suppress[Literal["children", "parent"]] = "children"
    cost: Suppress[Literal["tokens", "critical_path"]] = "tokens"
    price: Suppress[float] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """APR on Countdown; the defaults are the paper's.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of weights, examples and samples; the test problems are the same for all seeds.
        preset_name: which preset these settings started from.
        text: what searches are written in: the paper's own text ("verbatim"), or a compact one that says the same in
            about eight tokens a node.
        tokenizer: of the verbatim text: a Hugging Face folder (the paper's is Llama-2's); "" is one of the text's own
            words and single digits.
        tier: the game.
        size: the model.
        device: where it runs, such as "cpu" or "cuda"; "auto" is a GPU if there is one, so that a run can move.
        join: what becomes of the spawn block.
        warmup: drills before both models, ours; 0 tokens for none, as in the paper.
        supervised: once for SoS+ and once for APR.
        conditioned: share of examples that are told their budget. (The paper trains a model of each kind; ours is
            asked in both ways.)
        learn_given: prompts and joined results count in the supervised loss, as in the paper.
        losers: children without a solution that are learned a parent, at most; None: all.
        rl, serial_rl: GRPO of the trees and of the serial arm, which the paper, too, holds more tightly.
        arms: which models get it.
        window: at which GRPO samples and the claims are made.
        windows: of the curves.
        fixed: children where they are fixed, at `window`.
        fans: numbers of children on the curve of total tokens.
        test_problems, samples: of the evaluation; serial methods get `samples` attempts, for pass@n and cons@n.
        rows: threads decoded at once.
        pictures: attempts stored as traces, of each end of GRPO.
    """

    name: str = "apr-paper"
    seed: int = 0
    preset_name: Suppress[str] = "paper"
    text: Literal["verbatim", "compact"] = "verbatim"
    tokenizer: str = ""
    tier: Tier = field(default_factory=Tier)
    size: Size = field(default_factory=Size)
    device: str = "auto"
    join: Join = "rewrite"
    warmup: Stage = field(default_factory=lambda: Stage(tokens=0))
    supervised: Stage = field(default_factory=Stage)
    conditioned: float = 0.5
    learn_given: Suppress[bool] = True
    losers: Suppress[int | None] = None
    rl: RL = field(default_factory=RL)
    serial_rl: Suppress[RL] = field(default_factory=lambda: RL(kl=0.01))
    arms: tuple[Arm, ...] = ("apr", "sos", "apr-parent", "apr-enforced")
    window: int = 4096
    windows: tuple[int, ...] = (512, 1024, 1536, 2048, 2560, 3072, 4096)
    fixed: int = 10
    fans: tuple[int, ...] = (2, 4, 6, 8, 10)
    test_problems: int = 1000
    samples: int = 8
    rows: int = 256
    pictures: int = 40

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: tests. laptop: the recorded results. gpu: four numbers up to 99, 10 M parameters. paper: 228 M."""
        presets = {"smoke": _smoke, "laptop": _laptop, "gpu": _gpu, "paper": cls}
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]()


SMALL_TIER = Tier(
    numbers=3, largest=9, targets=(10, 30), largest_result=99, parent_beam=12, child_beam=12, serial_beam=12,
    shuffle=False, digits=False, names=16, unseen=(14, 17, 26),
)  # fmt: skip
"""A game that half a million parameters learn; SoS+ is taught beams as wide as APR's, a stronger baseline."""


def _small_stage(tokens: int, learning_rate: float, batch_size: int = 16) -> Stage:
    optim = OptimConfig(learning_rate=learning_rate, batch_size=batch_size, pass_tokens=16384)
    return Stage(tokens=tokens, optim=optim)


def _small(
    name: str, size: Size, tier: Tier = SMALL_TIER, warmup: Stage | None = None, supervised: Stage | None = None
) -> Config:
    """What the presets with small models have in common: the compact text, joins that are appended, drills, few losers,
    and losses that do not count what is given (prompts are drawn at random)."""
    return Config(
        name=name, text="compact", tier=tier, size=size, join="append", learn_given=False, losers=1,
        warmup=warmup or _small_stage(1_250_000, 3e-3), supervised=supervised or _small_stage(1_500_000, 2e-3),
    )  # fmt: skip


def _laptop() -> Config:
    size = Size(width=128, layers=3, heads=4, mlp=352, context=1024, tied=True, number_features=True,
                pointer_dropout=0.5)  # fmt: skip
    return replace(
        _small("apr-laptop-s0", size), preset_name="laptop", arms=("apr", "sos"),
        rl=RL(steps=30, problems=16, learning_rate=1.5e-4),
        serial_rl=RL(steps=30, problems=16, learning_rate=1e-4, kl=0.01),
        window=128, windows=(64, 96, 128, 192, 384), fans=(6, 12), test_problems=600, samples=4, rows=128,
    )  # fmt: skip


def _smoke() -> Config:
    size = Size(width=32, layers=1, heads=2, mlp=96, context=512, tied=True, number_features=True, pointer_dropout=0.5)
    return replace(
        _laptop(), name="apr-smoke", preset_name="smoke", size=size,
        warmup=_small_stage(4_000, 2e-3), supervised=_small_stage(8_000, 2e-3),
        rl=RL(steps=1, problems=2, group=2), serial_rl=RL(steps=1, problems=2, group=2),
        window=64, windows=(64, 96), fans=(4,), test_problems=2, samples=2, pictures=4,
    )  # fmt: skip


def _gpu() -> Config:
    size = Size(width=384, layers=6, heads=6, mlp=1024, tied=True, number_features=True, pointer_dropout=0.5)
    tier = Tier(parent_beam=15, serial_beam=15)
    warmup, supervised = _small_stage(10_000_000, 1e-3, 256), _small_stage(100_000_000, 1e-3, 256)
    return replace(
        _small("apr-gpu-s0", size, tier, warmup, supervised), preset_name="gpu", device="cuda",
        rl=RL(learning_rate=5e-5), serial_rl=RL(learning_rate=5e-5, kl=0.01),
        window=512, windows=(256, 512, 1024, 2048, 4096), fans=(2, 4, 6, 8, 10, 12, 15), samples=4, rows=512,
    )  # fmt: skip
