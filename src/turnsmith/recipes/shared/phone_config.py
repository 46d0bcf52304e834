"""Settings that the recipes for device agents share. No torch here: `--help` reads this.

Defaults are the papers': Auto-UI's weights as the first policy, BLIP-2's vectors for the critics, a vision-language
model that judges every step, nothing rehearsed and nothing augmented. `SMALL_…` are what our small models need on two
cores; recipes take them in their preset `laptop`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import tyro

from turnsmith.errors import UserError

Kind = Literal["webshop", "general"]
T = TypeVar("T")
Fixed = Annotated[T, tyro.conf.Suppress]
"""A setting that presets decide and the command line leaves out; `config.json` of a run has it."""

HORIZONS: dict[Kind, int] = {"general": 10, "webshop": 20}
"""The paper's horizons, in executed actions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneConfig:
    """Where episodes are played, and who rewards them.

    Attributes:
        kind: "webshop" or "general" tasks.
        phones: how many at once.
        weather: factor on the probabilities of pop-ups, banners, blank pages and the like; 0 is a calm phone.
        horizon: the most actions of an episode; None takes the paper's (general 10, webshop 20).
        judge: who rewards training, after each step: "vision" is a vision-language model at `endpoint` (the paper's is
            Gemini 1.5 Pro), "learned" a small network trained on the demonstrations' labelled screens, "noisy" the
            oracle with the declared `errors`, "oracle" the plain truth. Results are always the oracle's.
        endpoint: of "vision": MODEL@BASE_URL of an OpenAI-compatible server.
        errors: of "noisy": the probabilities of a false success, for each step, and of a missed one, for each episode.
    """

    kind: Kind = "webshop"
    phones: int = 8
    weather: float = 1.0
    horizon: int | None = None
    judge: Literal["vision", "learned", "noisy", "oracle"] = "vision"
    endpoint: str = ""
    errors: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """The first policy.

    Attributes:
        kind: "autoui" is the paper's: T5 that looks at a BLIP-2 vector (`agents.autoui`); "screen" a small decoder with
            its own eyes, from scratch (`agents.screen_policy`).
        model: a folder of Auto-UI's weights, such as cooelf/Auto-UI's Base.
        size: of "screen": "small" has 0.6 M parameters.
        demonstrations: episodes of a script that knows old layouts, to be imitated first. Auto-UI has learned from
            people's; its folder is the paper's first policy as it is.
        rough: the share of them on a phone with today's pop-ups, which the script has no plan for: it then taps here
            and there. All turns are learned from, good and bad alike.
        learning_rate, batch_size, epochs: of the supervised training.
        augment: the share of uses in which a screen is moved, and is recoloured, then and whenever the policy learns
            later; in half that share the previous action is left out (`learn.transforms.screens`). For "screen" alone.
        rehearsal: the share of demonstrations among what the policy learns later, in every arm.
        temperature: of sampling while collecting and in evaluation.
    """

    kind: Literal["autoui", "screen"] = "autoui"
    model: str = ""
    size: Fixed[Literal["small", "tiny"]] = "small"
    demonstrations: int = 0
    rough: Fixed[float] = 0.0
    learning_rate: Fixed[float] = 1e-4
    batch_size: Fixed[int] = 128
    epochs: Fixed[int] = 1
    augment: float = 0.0
    rehearsal: float = 0.0
    temperature: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureConfig:
    """The frozen image vectors of the critics.

    Attributes:
        kind: "blip2" is the paper's; "autoencoder" is trained on the screens at hand (`critics.screen_features`).
        model: a folder of BLIP-2, whose vision tower is taken (Salesforce/blip2-opt-2.7b). Auto-UI reads it too.
        size, updates: of the autoencoder's vectors, and of its training.
    """

    kind: Literal["blip2", "autoencoder"] = "blip2"
    model: str = ""
    size: Fixed[int] = 192
    updates: Fixed[int] = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditConfig:
    """Which episodes and steps are learned from.

    Attributes:
        rule: "paper", or "released", what the authors' code does: see `credit.digirl`.
        mix: λ.
        threshold: 1/H of the hard filter.
        fraction: p of the curriculum.
    """

    rule: Literal["paper", "released"] = "paper"
    mix: float = 0.5
    threshold: float = 0.05
    fraction: float = 0.1


SMALL_PHONE = PhoneConfig(phones=4, judge="noisy", errors=(0.002, 0.03))
SMALL_POLICY = PolicyConfig(
    kind="screen", demonstrations=100, rough=0.25, learning_rate=2e-3, batch_size=32, epochs=24, augment=0.6,
    rehearsal=0.5,
)  # fmt: skip
SMALL_FEATURES = FeatureConfig(kind="autoencoder")
TINY_PHONE = PhoneConfig(phones=2, horizon=3, weather=0.3, judge="noisy", errors=(0.4, 0.03))
"""For smoke presets: it errs so often that there is something to learn from."""
TINY_POLICY = PolicyConfig(
    kind="screen", size="tiny", demonstrations=2, learning_rate=1e-2, batch_size=4, epochs=40, rehearsal=0.5
)
"""For smoke presets: knows two demonstrations by heart, so that its actions at least parse."""
TINY_FEATURES = FeatureConfig(kind="autoencoder", size=16, updates=2)


def check(phone: PhoneConfig, policy: PolicyConfig, features: FeatureConfig, makes_log: bool = True) -> None:
    """Say at the start what such a run lacks.

    Args:
        phone, policy, features: of the run.
        makes_log: whether it plays with its own first policy and judge; one that learns from another run's log needs
            neither.

    Raises:
        UserError: naming the options.
    """
    if makes_log and policy.kind == "autoui" and not policy.model:
        raise UserError(
            "policy.kind autoui needs --policy.model FOLDER with Auto-UI's weights (cooelf/Auto-UI, Base). "
            "Without weights: --preset laptop, whose small policy learns from scratch."
        )
    if (features.kind == "blip2" or policy.kind == "autoui") and not features.model:
        raise UserError("BLIP-2's image vectors need --features.model FOLDER (Salesforce/blip2-opt-2.7b).")
    if makes_log and phone.judge == "vision" and not phone.endpoint:
        raise UserError(
            "phone.judge vision needs --phone.endpoint MODEL@BASE_URL of an OpenAI-compatible server. "
            "Without one: --phone.judge noisy, the oracle with declared errors."
        )
    if makes_log and phone.judge == "learned" and not (policy.demonstrations and features.kind == "autoencoder"):
        raise UserError(
            "phone.judge learned is trained on demonstrations: set policy.demonstrations and features.kind autoencoder."
        )
    if policy.kind == "autoui" and policy.augment:
        raise UserError("policy.augment moves screens for the small policy; leave it 0 with autoui.")
    if policy.rehearsal and not policy.demonstrations:
        raise UserError("policy.rehearsal repeats demonstrations: set policy.demonstrations above 0.")
