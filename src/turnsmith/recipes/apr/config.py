"""APR's settings: sizes, stages, the game, what is measured; the presets."""

from dataclasses import dataclass, field

from turnsmith.recipes.apr.data import Tier
from turnsmith.recipes.apr.rl import RL
from turnsmith.recipes.apr.threads import Join
from turnsmith.runs.config import unknown_preset


@dataclass(frozen=True, slots=True)
class Size:
    """A decoder from scratch, Llama with copy heads: about 0.6 M parameters with these.

    Attributes:
        width, layers, heads: of the trunk.
        context: longest thread.
        number_features: embeddings of numbers start with sines and cosines of their value, see `apr_model`.
        pointer_dropout: of copy heads (`agents.copy_llama`); None: a plain Llama without them (the paper).
    """

    width: int = 128
    layers: int = 3
    heads: int = 4
    context: int = 1024
    number_features: bool = True
    pointer_dropout: float | None = 0.5


@dataclass(frozen=True, slots=True)
class Training:
    """One supervised stage: so many tokens of fresh examples, each seen once."""

    tokens: int
    batch_size: int = 16
    learning_rate: float = 2e-3


@dataclass(frozen=True, slots=True)
class Config:
    """APR on Countdown.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of weights, examples and samples; the test problems are the same for all seeds.
        preset_name: which preset these settings started from.
        tier: the game.
        size: the model.
        device: where it runs, such as "cpu" or "cuda"; "auto" is a GPU if there is one, so that a run can move.
        join: "append" reuses all keys; "rewrite" is the paper's.
        warmup, supervised: stages; the second once for SoS+ and once for APR.
        conditioned: share of examples that are told their budget.
        losers: children without a solution that are learned a parent, at most.
        rl, serial_rl: GRPO of the trees and of the serial arm. The paper, too, holds the serial one more tightly (its
            KL is 0.01): at a rate that suits trees its threads fall apart.
        arms: which models get it: "apr", "apr-parent" (credit to parents alone), "apr-enforced" (fixed fan), "sos".
        window: at which GRPO samples and the claims are made: where a whole serial trace does not fit.
        windows: of the curves.
        fixed: children where they are fixed, at `window`.
        fans: numbers of children on the curve of total tokens.
        test_problems, samples: of the evaluation; serial methods get `samples` attempts, for pass@n and cons@n.
        rows: threads decoded at once.
        pictures: attempts stored as traces, of each end of GRPO.
    """

    name: str = "apr"
    seed: int = 0
    preset_name: str = "laptop"
    tier: Tier = field(default_factory=Tier)
    size: Size = field(default_factory=Size)
    device: str = "auto"
    join: Join = "append"
    warmup: Training = field(default_factory=lambda: Training(1_250_000, learning_rate=3e-3))
    supervised: Training = field(default_factory=lambda: Training(1_500_000))
    conditioned: float = 0.5
    losers: int = 1
    rl: RL = field(default_factory=lambda: RL(steps=30, learning_rate=1.5e-4))
    serial_rl: RL = field(default_factory=lambda: RL(steps=30, learning_rate=1e-4, kl=0.01))
    arms: tuple[str, ...] = ("apr", "sos")
    window: int = 128
    windows: tuple[int, ...] = (64, 96, 128, 192, 384)
    fixed: int = 10
    fans: tuple[int, ...] = (6, 12)
    test_problems: int = 600
    samples: int = 4
    rows: int = 128
    pictures: int = 40

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: tests. laptop: the recorded results. gpu: four numbers up to 99, 10 M parameters. paper: 228 M."""
        presets = {
            "smoke": cls(
                name="apr-smoke",
                preset_name="smoke",
                size=Size(32, 1, 2, 512),
                warmup=Training(4_000, 16),
                supervised=Training(8_000, 16),
                rl=RL(steps=1, problems=2, group=3),
                serial_rl=RL(steps=1, problems=2, group=3),
                windows=(128, 256),
                fans=(4,),
                test_problems=8,
                samples=2,
                pictures=4,
            ),
            "laptop": cls(name="apr-laptop-s0"),
            "gpu": cls(
                name="apr-gpu-s0",
                preset_name="gpu",
                tier=FOUR,
                size=Size(384, 6, 6, 4096),
                device="cuda",
                warmup=Training(10_000_000, 256, 1e-3),
                supervised=Training(100_000_000, 256, 1e-3),
                rl=RL(steps=150, problems=64, learning_rate=5e-5),
                serial_rl=RL(steps=150, problems=64, learning_rate=5e-5, kl=0.01),
                arms=("apr", "sos", "apr-parent", "apr-enforced"),
                window=512,
                windows=(256, 512, 1024, 2048, 4096),
                fixed=10,
                fans=(2, 4, 6, 8, 10, 12, 15),
                test_problems=1000,
                rows=512,
            ),
            "paper": cls(
                name="apr-paper",
                preset_name="paper",
                tier=FOUR,
                size=Size(1024, 18, 16, 4096, number_features=False, pointer_dropout=None),
                device="cuda",
                join="rewrite",
                warmup=Training(1, 256, 5e-5),
                supervised=Training(200_000_000, 256, 5e-5),
                rl=RL(steps=150, problems=64, learning_rate=1e-5),
                serial_rl=RL(steps=150, problems=64, learning_rate=1e-5, kl=0.01),
                arms=("apr", "sos", "apr-parent", "apr-enforced"),
                window=1024,
                windows=(512, 1024, 2048, 4096),
                fixed=10,
                fans=(2, 4, 6, 8, 10),
                test_problems=1000,
                rows=256,
            ),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]


FOUR = Tier(4, 99, (10, 100), None, beam=15, shuffle=True, digits=True, names=512, unseen=(13, 29, 47, 61, 83))
"""The paper's game: four numbers of 1 to 99. Numbers are spelled; held-out targets are ours."""
