"""Settings that the recipes for web agents share. Nothing heavy is loaded here: the command line's help reads it."""

from dataclasses import dataclass, field, replace
from typing import Literal

from turnsmith.learn.optim import OptimConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Where web episodes are played. The defaults are PAE's (arXiv 2412.13194).

    Attributes:
        sites: which local sites.
        templates: only these task templates ("template" or "site/template"); None for all.
        horizon: the most actions of an episode.
        sessions: browser sessions at once.
        screenshots: the policy sees the screenshot with its marks beside the list of elements.
    """

    sites: tuple[str, ...] = ("shop", "forum", "docs", "recipes", "courses")
    templates: tuple[str, ...] | None = None
    horizon: int = 10
    sessions: int = 256
    screenshots: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstrations:
    """How many scripted demonstrations there are, and how bad (see `worlds.sites.demonstrator`).

    Attributes:
        count: training tasks that are demonstrated once each.
        noise: how likely a stage of a plan goes wrong in a systematic way.
        wander: how likely a single action is a stray click.
        detour: how likely a single action is a look at another page, from which it comes back.
        roam: how likely a hunt opens what it sees in no order.
    """

    count: int = 1024
    noise: float = 0.25
    wander: float = 0.1
    detour: float = 0.0
    roam: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallModel:
    """Sizes of a small policy that is made from scratch, with a tokenizer trained on its demonstrations."""

    vocab_size: int = 2400
    width: int = 128
    layers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """A low-rank adapter (arXiv 2106.09685) that learns instead of the model's own weights. The defaults are PAE's.

    Attributes:
        rank: 0 trains all weights.
        alpha: the adapter's output is scaled by alpha / rank.
        dropout: on the adapter's input.
    """

    rank: int = 256
    alpha: int = 256
    dropout: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """Who acts. The defaults are PAE's.

    Attributes:
        model: a folder of a Hugging Face model; "shipped" is the small one in the package, "scratch" a small one that
            knows nothing.
        scratch: sizes of that one.
        rendering: how contexts become prompts, and the action grammar with it; None as the model's folder says.
        lora: the adapter that learns.
        freeze: names of modules that do not learn.
        temperature, top_p: of sampling, in training and evaluation alike.
        max_new_tokens: the most tokens of one response.
        device: "cpu" or "cuda"; None takes CUDA where there is any.
    """

    model: str = "llava-v1.6-mistral-7b-hf"
    scratch: SmallModel = field(default_factory=SmallModel)
    rendering: Literal["webvoyager", "tti", "turnsmith"] | None = None
    lora: Lora = field(default_factory=Lora)
    freeze: tuple[str, ...] = ()
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    device: str | None = None


SHIPPED = PolicyConfig(model="shipped", lora=Lora(rank=0), max_new_tokens=48)
"""The small policy in the package, all of whose weights learn (two CPU cores)."""

PAPER_UPDATE = OptimConfig(
    learning_rate=2e-5,
    batch_size=32,
    epochs=2,
    warmup_updates=0,
    schedule="constant",
    betas=(0.9, 0.999),
    weight_decay=0.0,
    grad_clip=0.0,
)
"""Adam with 32 turns an update, no warm-up, no clipping; two passes in each of 20 iterations."""

PAPER_SFT = replace(PAPER_UPDATE, batch_size=1, epochs=32)
"""Of the first policy: 16 times two passes, a turn an update."""

SMALL_OPTIM = OptimConfig(learning_rate=3e-4, batch_size=8, warmup_updates=5, schedule="constant")
"""For the small models, all of whose weights learn."""
