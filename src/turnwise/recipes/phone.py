"""What the recipes for device agents share: the phone, its tasks, the first policy, logged episodes, evaluation.

Plain functions; `digirl` and `digiq` put them together in their own order. Everything that costs time is stored (traces
in the run's store, models as checkpoints) and is not done again when the run goes on after a stop.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from turnwise.agents.base import Policy
from turnwise.engine.sampling import turn_seed
from turnwise.envs.browser.faults import Limits as BrowserLimits
from turnwise.envs.browser.pool import BrowserPool
from turnwise.envs.device import DeviceEnvironment, OracleEvaluator, StepEvaluator
from turnwise.envs.device.phone import CALM, ROUGH, ChromiumPhone, LocalPhones
from turnwise.envs.device.phone.demonstrator import Demonstrator
from turnwise.envs.device.phone.driver import SIZE
from turnwise.envs.device.phone.tasks import DEMONSTRATION_DAYS, DRIFT_DAYS, generate
from turnwise.errors import UserError
from turnwise.evaluate.summary import summarize
from turnwise.recipes.metrics import log_summary
from turnwise.recipes.progress import console, episode_bar, progress_bar
from turnwise.rollout.collect import Episode, Limits, evaluation_episodes
from turnwise.rollout.stored import collect_into
from turnwise.tasks.splits import check_overlap
from turnwise.trace.run import Run, find_run, read_json
from turnwise.trace.types import ImageRef, Outcome, Task, Trace

if TYPE_CHECKING:
    from turnwise.agents.screen_policy import ScreenPolicy

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
        evaluator: who rewards training: "noisy" is the oracle with the declared errors below, "learned" a small network
            trained on the demonstrations' labelled screens, "oracle" the plain truth. Results are always the oracle's.
        false_positive: of "noisy", for each step that is no success.
        false_negative: of "noisy", for each episode.
    """

    kind: Literal["webshop", "general"] = "webshop"
    phones: int = 4
    weather: float = 1.0
    horizon: int | None = None
    evaluator: Literal["noisy", "learned", "oracle"] = "noisy"
    false_positive: float = 0.002
    false_negative: float = 0.03

    @property
    def limits(self) -> Limits:
        """The limits of an episode."""
        return Limits(horizon=self.horizon or HORIZONS[self.kind])

    def tasks(self, split: Literal["train", "test"], count: int, seed: int) -> list[Task]:
        """Draw tasks of the disjoint split."""
        return generate(self.kind, split, count, seed)

    def environment(self, evaluator: StepEvaluator | None = None, calm: bool = False, script: bool = False) -> Any:
        """Phones in real Chromium; enter before use. Demonstrations need `script`: boxes beside the pixels."""
        chance = CALM if calm else ROUGH.scaled(self.weather)
        boxes = ChromiumPhone.boxes if script else None
        local = LocalPhones(chance, pool=_browser.get())
        return DeviceEnvironment(local, self.phones, evaluator, script=boxes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """The small policy and its training on demonstrations.

    Attributes:
        demonstrations: episodes of a script that knows old layouts.
        rough: the share of them on a phone with today's pop-ups, which the script has no plan for: it then taps here
            and there. All turns are learned from, good and bad alike.
        width, layers: of the decoder.
        vision_width, vision_layers: of the image encoder.
        learning_rate, batch_size, epochs: of the supervised training.
        augment: the share of uses in which a screen is moved or recoloured while learning, then and later
            (`learn.augment`).
        temperature: of sampling while collecting and in evaluation.
    """

    demonstrations: int = 400
    rough: float = 0.25
    width: int = 96
    layers: int = 2
    vision_width: int = 48
    vision_layers: int = 3
    learning_rate: float = 2e-3
    batch_size: int = 32
    epochs: int = 10
    augment: float = 0.7
    temperature: float = 1.0


TINY_POLICY = PolicyConfig(2, 0.0, 48, 1, 16, 1, learning_rate=1e-2, batch_size=4, epochs=40, augment=0.0)
"""For smoke presets: knows two demonstrations by heart, so that its actions at least parse."""


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """The frozen image vectors: see `learn.screen_features`."""

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
    evaluator: StepEvaluator | None = None,
) -> list[Trace]:
    """Play every task once, rewarded by the evaluator, and store the episodes; those in the store are not played again.

    Evaluations (phases that begin with "eval") are rewarded by the oracle, which also ends an episode at its success,
    as DigiRL's evaluator does.
    """
    if phase.startswith("eval"):
        evaluator = OracleEvaluator()
    episodes = evaluation_episodes(tasks, seed, iteration, phase)
    stored = {summary.id for summary in run.store.summaries(phase=phase, iteration=iteration)}
    if all(episode.id in stored for episode in episodes):
        traces = [run.store.get(episode.id) for episode in episodes]
        log_summary(run, phase, iteration, summarize(traces))
        return traces
    async with phone.environment(evaluator) as environment:
        with episode_bar(f"{phase} {iteration}", len(episodes)) as on_trace:
            traces = await collect_into(
                run.store, environment, policy, episodes, phone.limits, workers=phone.phones, on_trace=on_trace
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
            async with phone.environment(OracleEvaluator(), calm=quiet, script=True) as environment:
                traces += await collect_into(
                    run.store, environment, script, part, limits, workers=phone.phones, on_trace=on_trace
                )
    log_summary(run, "demonstrations", 0, summarize(traces))
    return traces


def drift_tasks(phone: PhoneConfig, count: int, seed: int, first: int, last: int, split: Any = "train") -> list[Task]:
    """Tasks on the days `first`..`last` (exclusive) of the drift, counted from its beginning."""
    days = list(DRIFT_DAYS)[first:last]
    if not days:
        raise UserError(f"the drift has {len(list(DRIFT_DAYS))} days; there are none from {first} to {last}.")
    return generate(phone.kind, split, count, seed, days=days)


async def warm_start(
    run: Run, phone: PhoneConfig, config: PolicyConfig, seed: int, device: str = "cpu", source: str = ""
) -> "ScreenPolicy":
    """The first policy: supervised training on the demonstrations; kept as checkpoint `first/step-0`.

    Everything that is made from it (copies, image features, action readers) works on its device.

    Raises:
        UserError: if `source`, a run whose first policy is to be taken, has none.
    """
    from turnwise.agents.frames import Frames
    from turnwise.agents.screen_policy import load_screen_policy, new_screen_policy
    from turnwise.engine.sampling import Sampling
    from turnwise.learn import checkpoint
    from turnwise.learn.examples import examples_from_traces
    from turnwise.learn.rename import entity_words, keep_words, kept_words

    sampling = Sampling(temperature=config.temperature, max_new_tokens=24)
    frames = Frames(run.store.image)
    folder = run.folder / "checkpoints" / "first"
    done = first_policy_of(find_run(source).parent) if source else checkpoint.latest(folder)
    if source and done is None:
        raise UserError(f"{source}: has no first policy (checkpoints/first).")
    if done is not None:
        return load_screen_policy(done, sampling=sampling, frames=frames, version="first", device=device)
    traces = await demonstrate(run, phone, config.demonstrations, config.rough, seed)
    traces = [trace for trace in traces if trace.turns and trace.outcome is not Outcome.INFRA_ERROR]
    if not traces:
        raise UserError("there are no demonstrations: raise policy.demonstrations.")
    names = entity_words(traces) | site_words(traces)
    policy = new_screen_policy(
        training_texts(traces),
        names=names,
        sampling=sampling,
        frames=frames,
        seed=seed,
        width=config.width,
        layers=config.layers,
        vision_width=config.vision_width,
        vision_layers=config.vision_layers,
    )
    policy.version = "first"
    policy.model.to(device)  # type: ignore[arg-type]
    examples = examples_from_traces(traces, policy)
    keep_words(policy.model, kept_words(examples, policy.tokenizer, names))
    loss = await asyncio.to_thread(
        train_policy,
        "demonstrations: learning",
        policy,
        examples,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs,
        augment=config.augment,
        seed=seed,
        schedule="cosine",
    )
    run.log(phase="first-policy", iteration=0, loss=loss, examples=len(examples))
    checkpoint.save(folder, 0, policy.model, policy.tokenizer)
    return policy


def first_policy_of(folder: Path) -> Path | None:
    """The checkpoint of a run's first policy, which may be another run's that it names; None where there is none."""
    from turnwise.learn import checkpoint

    settings = folder / "config.json"
    named = read_json(settings).get("first") if settings.exists() else None
    return checkpoint.latest((find_run(named).parent if named else folder) / "checkpoints" / "first")


def site_words(traces: Sequence[Trace]) -> set[str]:
    """The names of the shops in their addresses: to be copied as well, for other shops have other names."""
    return {str(trace.task.provenance.get("site", "")).partition(".")[0] for trace in traces} - {""}


def training_texts(traces: Sequence[Trace]) -> list[str]:
    """What the tokenizer is trained on: goals and typed texts, and goals of both kinds of tasks for other words."""
    texts = [task.instruction for kind in ("general", "webshop") for task in generate(kind, "train", 200)]
    for trace in traces:
        texts.append(f"Previous Actions:  Goal: {trace.task.instruction}</s>")
        for turn in trace.turns:
            if turn.action.call is not None and turn.action.call.name == "type":
                texts.append(str(turn.action.call.arguments["text"]))
    return texts


def train_policy(
    what: str,
    policy: "ScreenPolicy",
    examples: Sequence[Any],
    *,
    learning_rate: float,
    batch_size: int,
    updates: int | None = None,
    epochs: int = 1,
    augment: float = 0.0,
    seed: int = 0,
    optimizer: Any = None,
    schedule: str = "constant",
) -> float:
    """Train with a progress bar; the mean loss of the last tenth of the updates.

    The loss of an example is the sum over its tokens (DigiRL's log π(a | s)), not their mean. Names are exchanged for
    others in every use (`learn.rename`), so that the policy copies what it types from the goal, and screens are moved
    and recoloured in a share `augment` of the uses (`learn.augment`), so that it looks before it taps.
    """
    from dataclasses import replace

    from turnwise.learn.augment import ScreenAugment
    from turnwise.learn.rename import renamer_of
    from turnwise.learn.sft import OptimConfig
    from turnwise.recipes.web import train_with_bar

    summed = [replace(example, weight=example.weight * sum(example.mask)) for example in examples]
    config = OptimConfig(
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=epochs if updates is None else 10_000,
        max_updates=updates,
        warmup_updates=10,
        schedule=schedule,
        pass_tokens=16384,
        seed=seed,
    )
    rename, move = renamer_of(policy), ScreenAugment(policy.model.config, augment)

    def changed(example: Any, use: int) -> Any:
        return move(rename(example, use) if rename else example, use)

    with policy.lock:
        return train_with_bar(what, policy.model, summed, config, optimizer, changed)


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
        `learn.screen_features.Features`, its cache filled from disk where there is one.
    """
    import torch

    from turnwise.learn.replay import read
    from turnwise.learn.screen_features import Features, ScreenAutoencoder, load_tensors, pretrain, save_tensors

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


def make_evaluator(run: Run, phone: PhoneConfig, policy: "ScreenPolicy", config: FeatureConfig, seed: int) -> Any:
    """The evaluator that rewards training, as the configuration says; a learned one knows demonstrations alone."""
    from turnwise.judges.screen import NoisyOracle, ScreenJudge
    from turnwise.learn.replay import read
    from turnwise.learn.values import FitConfig, SuccessModel

    if phone.evaluator == "oracle":
        return OracleEvaluator()
    if phone.evaluator == "noisy":
        return NoisyOracle(phone.false_positive, phone.false_negative, seed)
    features = image_features(run, policy, config, ["demonstrations"], seed, "judge")
    model = SuccessModel(policy.tokenizer, features, seed)
    model.fit(read(run.store, ["demonstrations"]), FitConfig(updates=600, seed=seed))
    return ScreenJudge(model)


def copy_policy(policy: "ScreenPolicy", version: str) -> "ScreenPolicy":
    """Another policy with the same weights, to be trained apart."""
    import copy

    from turnwise.agents.screen_policy import ScreenPolicy

    return ScreenPolicy(
        copy.deepcopy(policy.model),
        policy.tokenizer,
        sampling=policy.sampling,
        frames=policy.frames,
        version=version,
    )


def checkpoints_of(run: Run, arm: str) -> Path:
    """Where the checkpoints of an arm are."""
    return run.folder / "checkpoints" / arm


def report_agreement(run: Run, name: str, traces: Sequence[Trace]) -> None:
    """Log how the evaluator agreed with the oracle on episodes that it rewarded, and say it."""
    from turnwise.judges.screen import step_agreement

    found = step_agreement(traces)
    run.log(phase=f"evaluator-{name}", iteration=0, accuracy=found.accuracy, precision=found.precision,
            recall=found.recall)  # fmt: skip
    if found.accuracy is not None:
        said = {name: "–" if rate is None else f"{100 * rate:.1f} %" for name, rate in
                (("accuracy", found.accuracy), ("precision", found.precision), ("recall", found.recall))}  # fmt: skip
        console.print(f"evaluator against oracle ({name}): " + ", ".join(f"{k} {v}" for k, v in said.items()))
