"""What the recipes for device agents share: the phone, its tasks, logged episodes, judges, image vectors.

Plain functions; `digirl` and `digiq` put them together in their own order. Everything that costs time is stored (traces
in the run's store, models as checkpoints) and is not done again when the run goes on after a stop.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from turnsmith.agents.base import Policy
from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.browser.faults import Limits as BrowserLimits
from turnsmith.envs.browser.pool import BrowserPool
from turnsmith.envs.device import DeviceEnvironment
from turnsmith.errors import UserError
from turnsmith.evaluate.metrics import log_summary
from turnsmith.evaluate.summary import summarize
from turnsmith.judges.base import Judge, Oracle, agreement
from turnsmith.judges.screen import NoisyOracle, ScreenJudge
from turnsmith.rollout.collect import Episode, Limits, evaluation_episodes
from turnsmith.rollout.stored import collect_into
from turnsmith.runs.progress import console, episode_bar, progress_bar
from turnsmith.runs.run import Run
from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.types import ImageRef, Task, Trace
from turnsmith.worlds.phone import CALM, ROUGH, ChromiumPhone, LocalPhones
from turnsmith.worlds.phone.demonstrator import Demonstrator
from turnsmith.worlds.phone.driver import SIZE
from turnsmith.worlds.phone.tasks import DEMONSTRATION_DAYS, DRIFT_DAYS, generate

if TYPE_CHECKING:
    from turnsmith.agents.screen_policy import ScreenPolicy

HORIZONS = {"general": 10, "webshop": 20}
"""The paper's horizons, in executed actions."""


_browser: ContextVar[BrowserPool | None] = ContextVar("browser of the run", default=None)


async def in_one_browser(recipe: Coroutine[Any, Any, None]) -> None:
    """Run a recipe with one Chromium for all its phases, started by the first that needs it."""
    pool = BrowserPool(SIZE, BrowserLimits())
    token = _browser.set(pool)
    try:
        await recipe
    finally:
        _browser.reset(token)
        await pool.stop()


@dataclass(frozen=True, slots=True)
class PhoneConfig:
    """Where episodes are played, and who rewards them.

    Attributes:
        kind: "webshop" or "general" tasks.
        phones: how many at once.
        weather: factor on the probabilities of pop-ups, banners, blank pages and the like; 0 is a calm phone.
        horizon: the most actions of an episode; None takes the paper's (general 10, webshop 20).
        judge: who rewards training: "noisy" is the oracle with the declared errors below, "learned" a small network
            trained on the demonstrations' labelled screens, "oracle" the plain truth. Results are always the oracle's.
        false_positive: of "noisy", for each step that is no success.
        false_negative: of "noisy", for each episode.
    """

    kind: Literal["webshop", "general"] = "webshop"
    phones: int = 4
    weather: float = 1.0
    horizon: int | None = None
    judge: Literal["noisy", "learned", "oracle"] = "noisy"
    false_positive: float = 0.002
    false_negative: float = 0.03

    @property
    def limits(self) -> Limits:
        """The limits of an episode."""
        return Limits(horizon=self.horizon or HORIZONS[self.kind])

    def tasks(self, split: Literal["train", "test"], count: int, seed: int) -> list[Task]:
        """Draw tasks of the disjoint split."""
        return generate(self.kind, split, count, seed)

    def environment(self, calm: bool = False, script: bool = False) -> DeviceEnvironment:
        """Phones in real Chromium; enter before use. Demonstrations need `script`: boxes beside the pixels."""
        chance = CALM if calm else ROUGH.scaled(self.weather)
        boxes = ChromiumPhone.boxes if script else None
        local = LocalPhones(chance, pool=_browser.get())
        return DeviceEnvironment(local, self.phones, script=boxes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """The frozen image vectors: see `critics.screen_features`."""

    size: int = 192
    updates: int = 500


def check_splits(phone: PhoneConfig, test: Sequence[Task], count: int, seeds: Sequence[int]) -> None:
    """Fail the run when a training task of any of these draws overlaps a test task.

    Raises:
        UserError: naming the overlapping tasks.
    """
    for seed in seeds:
        if count:
            check_overlap(phone.tasks("train", count, seed), test)


async def play(
    run: Run,
    phone: PhoneConfig,
    policy: Policy,
    tasks: Sequence[Task],
    phase: str,
    iteration: int = 0,
    seed: int = 0,
    judge: Judge | None = None,
) -> list[Trace]:
    """Play every task once, rewarded by the judge, and store the episodes; those in the store are not played again.

    The judge is asked after each step, and an episode ends at its first success, as with DigiRL's evaluator.
    Evaluations (phases that begin with "eval") are judged by the oracle. A policy with a method `prepare` is asked to
    get ready before the first episode begins.
    """
    if phase.startswith("eval"):
        judge = Oracle()
    episodes = evaluation_episodes(tasks, seed, iteration, phase)
    stored = {summary.id for summary in run.store.summaries(phase=phase, iteration=iteration)}
    if all(episode.id in stored for episode in episodes):
        traces = [run.store.get(episode.id) for episode in episodes]
        log_summary(run, phase, iteration, summarize(traces))
        return traces
    prepare = getattr(policy, "prepare", None)
    if prepare is not None:
        await asyncio.to_thread(prepare)
    async with phone.environment() as environment:
        with episode_bar(f"{phase} {iteration}", len(episodes)) as on_trace:
            traces = await collect_into(
                run.store,
                environment,
                policy,
                episodes,
                phone.limits,
                workers=phone.phones,
                judge=judge,
                judged="step",
                on_trace=on_trace,
            )
    log_summary(run, phase, iteration, summarize(traces))
    return traces


async def demonstrate(run: Run, phone: PhoneConfig, count: int, rough: float, seed: int) -> list[Trace]:
    """Scripted demonstrations on days of their own: what a policy is first trained on.

    The script knows its way. The first episodes are on a calm phone, the last `rough` share in today's weather.
    """
    tasks = generate(phone.kind, "train", count, seed, days=DEMONSTRATION_DAYS)
    episodes = [
        Episode(f"demonstrations-{index:05d}", task, turn_seed(seed, index), "demonstrations")
        for index, task in enumerate(tasks)
    ]
    script = Demonstrator(tasks, "all", jitter=0.05, seed=seed)
    limits, calm = Limits(horizon=HORIZONS[phone.kind]), round((1 - rough) * count)
    traces = []
    with episode_bar("demonstrations", len(episodes)) as on_trace:
        for part, quiet in ((episodes[:calm], True), (episodes[calm:], False)):
            if not part:
                continue
            async with phone.environment(calm=quiet, script=True) as environment:
                traces += await collect_into(
                    run.store,
                    environment,
                    script,
                    part,
                    limits,
                    workers=phone.phones,
                    judge=Oracle(),
                    judged="step",
                    on_trace=on_trace,
                )
    log_summary(run, "demonstrations", 0, summarize(traces))
    return traces


def drift_tasks(phone: PhoneConfig, count: int, seed: int, first: int, last: int, split: Any = "train") -> list[Task]:
    """Tasks on the days `first`..`last` (exclusive) of the drift, counted from its beginning."""
    days = list(DRIFT_DAYS)[first:last]
    if not days:
        raise UserError(f"the drift has {len(list(DRIFT_DAYS))} days; there are none from {first} to {last}.")
    return generate(phone.kind, split, count, seed, days=days)


def image_features(
    run: Run,
    policy: "ScreenPolicy",
    config: FeatureConfig,
    screens: Sequence[str] | Sequence[ImageRef],
    seed: int,
    name: str = "encoder",
) -> Any:
    """The frozen image vectors of this run: the encoder is trained once on these screens, and kept.

    Args:
        run: its store holds the screens.
        policy: brings the frames.
        config: see there.
        screens: phases of the run, or the images themselves.
        seed: of the encoder.
        name: of its file in `cache/`.

    Returns:
        `critics.screen_features.Features`, its cache filled from disk where there is one.
    """
    import torch

    from turnsmith.critics.episodes import read
    from turnsmith.critics.screen_features import Features, ScreenAutoencoder, load_tensors, pretrain, save_tensors

    size = (policy.model.config.image_height, policy.model.config.image_width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ScreenAutoencoder(config.size, image=size)
    model.to(policy.model.device)
    path = run.folder / "cache" / f"{name}.safetensors"
    notes = {"size": str(config.size), "updates": str(config.updates), "seed": str(seed)}
    found = load_tensors(path, notes)
    if found is None:
        phases = [name for name in screens if isinstance(name, str)]
        given = [image for image in screens if not isinstance(image, str)]
        given += [image for one in read(run.store, phases) for image in one.screens]
        images = {image.digest: image for image in given}
        frames = [policy.frames(image) for image in images.values()]
        with progress_bar("image features: learning", 1) as advance:
            losses = pretrain(model, frames, config.updates, seed=seed)
            advance(note=f"loss {losses[-1]:.4f} on {len(frames)} screens")
        run.log(phase="image-features", iteration=0, loss=losses[-1], screens=len(frames))
        save_tensors(path, dict(model.state_dict()), notes)
    else:
        model.load_state_dict(found[0])
        model.requires_grad_(False).eval()
    features = Features(model, policy.frames)
    features.load(run.folder / "cache")
    return features


def make_judge(run: Run, phone: PhoneConfig, policy: "ScreenPolicy", config: FeatureConfig, seed: int) -> Judge:
    """Who rewards training, as the configuration says; a learned one knows demonstrations alone."""
    from turnsmith.critics.episodes import read
    from turnsmith.critics.values import FitConfig, SuccessModel

    if phone.judge == "oracle":
        return Oracle()
    if phone.judge == "noisy":
        return NoisyOracle(phone.false_positive, phone.false_negative, seed)
    features = image_features(run, policy, config, ["demonstrations"], seed, "judge")
    model = SuccessModel(policy.tokenizer, features, seed)
    model.fit(read(run.store, ["demonstrations"]), FitConfig(updates=600, seed=seed))
    return ScreenJudge(model)


def report_agreement(run: Run, name: str, judge: Judge, traces: Sequence[Trace]) -> None:
    """Log how the judge agreed with the oracle on episodes that it rewarded, and say it."""
    agreed = agreement(traces, judge.name)
    run.log(phase=f"judge-{name}", iteration=0, accuracy=agreed.accuracy, precision=agreed.precision,
            recall=agreed.recall)  # fmt: skip
    if agreed.accuracy is not None:
        rates = {"accuracy": agreed.accuracy, "precision": agreed.precision, "recall": agreed.recall}
        said = [f"{what} {'–' if rate is None else f'{100 * rate:.1f} %'}" for what, rate in rates.items()]
        console.print(f"judge against oracle ({name}): {', '.join(said)}")
