"""What the recipes for device agents share: the phone, its tasks, episodes that are stored, judges, image vectors.

Plain functions; `digirl` and `digiq` put them together in their own order. Everything that costs time is stored (traces
in the run's store, models with `Run.once`) and is not done again when the run goes on after a stop.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Literal

import torch

from turnsmith.agents.base import Policy
from turnsmith.agents.blip2 import load_blip2
from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.agents.frames import SIZE as FRAME
from turnsmith.critics.episodes import Played, read
from turnsmith.critics.fitting import adam
from turnsmith.critics.screen_features import Blip2Features, Features, ScreenAutoencoder, pretrain
from turnsmith.critics.values import SuccessModel
from turnsmith.engine.openai_client import Endpoint
from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.browser.faults import Limits as BrowserLimits
from turnsmith.envs.browser.pool import BrowserPool
from turnsmith.envs.device import DeviceEnvironment
from turnsmith.errors import UserError
from turnsmith.evaluate.metrics import log_summary
from turnsmith.evaluate.summary import summarize
from turnsmith.judges.base import Judge, Oracle, agreement
from turnsmith.judges.screen import NoisyOracle, ScreenJudge
from turnsmith.judges.vision_endpoint import Example, VisionJudge
from turnsmith.learn.checkpoint import TENSORS
from turnsmith.recipes.shared.phone_config import HORIZONS, FeatureConfig, PhoneConfig
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

Split = Literal["train", "test"]

_browser: ContextVar[BrowserPool | None] = ContextVar("browser of the run", default=None)


async def in_one_browser(recipe: Coroutine[object, object, None]) -> None:
    """Run a recipe with one Chromium for all its phases, started by the first that needs it."""
    pool = BrowserPool(SIZE, BrowserLimits())
    token = _browser.set(pool)
    try:
        await recipe
    finally:
        _browser.reset(token)
        await pool.stop()


# -- tasks and episodes


def draw_tasks(phone: PhoneConfig, split: Split, count: int, seed: int) -> list[Task]:
    """Draw tasks of the disjoint split."""
    return generate(phone.kind, split, count, seed)


def drift_tasks(phone: PhoneConfig, count: int, seed: int, first: int, last: int, split: Split = "train") -> list[Task]:
    """Tasks on the days `first`..`last` (exclusive) of the drift, counted from its beginning."""
    days = list(DRIFT_DAYS)[first:last]
    if not days:
        raise UserError(f"the drift has {len(list(DRIFT_DAYS))} days; there are none from {first} to {last}.")
    return generate(phone.kind, split, count, seed, days=days)


def check_splits(phone: PhoneConfig, test: Sequence[Task], count: int, seeds: Sequence[int]) -> None:
    """Fail the run when a training task of any of these draws overlaps a test task.

    Raises:
        UserError: naming the overlapping tasks.
    """
    for seed in seeds:
        if count:
            check_overlap(draw_tasks(phone, "train", count, seed), test)


def phones_of(phone: PhoneConfig, calm: bool = False, script: bool = False) -> DeviceEnvironment:
    """Phones in real Chromium; enter before use. Demonstrations need `script`: boxes beside the pixels."""
    chance = CALM if calm else ROUGH.scaled(phone.weather)
    boxes = ChromiumPhone.boxes if script else None
    return DeviceEnvironment(LocalPhones(chance, pool=_browser.get()), phone.phones, script=boxes)  # type: ignore[arg-type]


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
    limits = Limits(horizon=phone.horizon or HORIZONS[phone.kind])
    async with phones_of(phone) as environment:
        with episode_bar(f"{phase} {iteration}", len(episodes)) as on_trace:
            traces = await collect_into(
                run.store,
                environment,
                policy,
                episodes,
                limits,
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
            async with phones_of(phone, calm=quiet, script=True) as environment:
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


# -- image vectors


def screens_of(episodes: Iterable[Played]) -> list[ImageRef]:
    """The different screens of these episodes, in the order in which they were first seen."""
    return list({image.digest: image for episode in episodes for image in episode.screens}.values())


def image_features(
    run: Run, policy: DevicePolicy, config: FeatureConfig, screens: Sequence[ImageRef], seed: int, name: str = "encoder"
) -> Features:
    """The frozen image vectors of this run: BLIP-2's, or an autoencoder's that is trained once on these screens.

    Args:
        run: keeps the autoencoder.
        policy: brings the frames, and the device.
        config: see there.
        screens: what an autoencoder is trained on.
        seed: of the autoencoder.
        name: under which it is kept.
    """
    if config.kind == "blip2":
        return Blip2Features(load_blip2(config.model, str(policy.model.device)), policy.frames)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ScreenAutoencoder(config.size, image=FRAME)
    model.to(policy.model.device)

    def learn() -> dict[str, torch.Tensor]:
        frames = [policy.frames(image) for image in screens]
        with progress_bar("image features: learning", 1) as advance:
            losses = pretrain(model, frames, config.updates, seed=seed)
            advance(note=f"loss {losses[-1]:.4f} on {len(frames)} screens")
        run.log(phase="image-features", iteration=0, loss=losses[-1], screens=len(frames))
        return dict(model.state_dict())

    inputs = {"size": config.size, "updates": config.updates, "seed": seed, "screens": digest_of(screens)}
    model.load_state_dict(run.once(f"features/{name}", inputs, learn, TENSORS))
    model.requires_grad_(False).eval()
    return Features(model, policy.frames)


def digest_of(images: Iterable[ImageRef]) -> str:
    """A name for a set of images."""
    return hashlib.sha256("".join(sorted({image.digest for image in images})).encode()).hexdigest()[:16]


# -- judges


@asynccontextmanager
async def judge_of(
    run: Run, phone: PhoneConfig, policy: DevicePolicy, config: FeatureConfig, seed: int
) -> AsyncIterator[Judge]:
    """Who rewards training, as the configuration says; models know this run's demonstrations alone."""
    demonstrations = read(run.store, ["demonstrations"])
    if phone.judge == "oracle":
        yield Oracle()
    elif phone.judge == "noisy":
        yield NoisyOracle(*phone.errors, seed)
    elif phone.judge == "learned":
        features = image_features(run, policy, config, screens_of(demonstrations), seed, "judge")
        model = SuccessModel(policy.tokenizer, features, seed)
        await asyncio.to_thread(model.fit, demonstrations, adam(600, seed=seed))
        yield ScreenJudge(model)
    else:
        name, _, address = phone.endpoint.partition("@")
        judge = VisionJudge(Endpoint(address, name), worked_examples(run, demonstrations))
        try:
            yield judge
        finally:
            await judge.close()


def worked_examples(run: Run, demonstrations: Sequence[Played], count: int = 9) -> list[Example]:
    """Screens of demonstrations with what the oracle says of them, for a judge's prompt; DigiRL writes 9 by hand."""
    examples = []
    for number, episode in enumerate(demonstrations[:count]):
        done = episode.success > 0.5 and number % 2 == 0
        image = run.store.image(episode.screens[-1 if done else 0].digest)
        seen = "it is" if done else "it is not: the task is yet to be done"
        examples.append(
            Example(image, episode.instruction, f"What the task asks for should be visible, and {seen}.", done)
        )
    return examples


def report_agreement(run: Run, name: str, judge: Judge, traces: Sequence[Trace]) -> None:
    """Log how the judge agreed with the oracle on episodes that it rewarded, and say it."""
    agreed = agreement(traces, judge.name)
    rates = {"accuracy": agreed.accuracy, "precision": agreed.precision, "recall": agreed.recall}
    run.log(phase=f"judge-{name}", iteration=0, **rates)
    if agreed.accuracy is not None:
        said = [f"{what} {'–' if rate is None else f'{100 * rate:.1f} %'}" for what, rate in rates.items()]
        console.print(f"judge against oracle ({name}): {', '.join(said)}")
