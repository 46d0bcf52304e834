"""The first policy of the recipes for device agents, and how it learns from then on.

"autoui" is the papers': its weights come from a folder. "screen" is ours, from scratch, and needs more care: whatever
it learns, it learns with names exchanged, screens moved and recoloured, and beside demonstrations, for a small model
that is trained on a few hundred of its own steps alone forgets how to point (see the NOTES.md of `recipes/digirl`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from turnsmith.agents.autoui import load_autoui
from turnsmith.agents.blip2 import load_blip2
from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.agents.frames import Frames
from turnsmith.agents.screen_llama import ScreenLlamaConfig
from turnsmith.agents.screen_policy import AROUND_PREVIOUS, ScreenPolicy, load_screen_policy, new_screen_policy
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import UserError
from turnsmith.learn import checkpoint
from turnsmith.learn.examples import Example, Transform, examples_from_traces
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.transforms.rename import (
    entity_words,
    keep_words,
    kept_words,
    longest_name,
    renamer_of,
)
from turnsmith.learn.transforms.screens import HistoryDropout, ScreenAugment
from turnsmith.recipes.shared.phone import demonstrate
from turnsmith.recipes.shared.phone_config import FeatureConfig, PhoneConfig, PolicyConfig
from turnsmith.recipes.shared.training import train_with_bar
from turnsmith.runs.run import Run, find_run, read_json
from turnsmith.trace.store import Store
from turnsmith.trace.types import Outcome, Trace
from turnsmith.worlds.phone.tasks import generate

SIZES = {
    "small": {"width": 96, "layers": 2, "vision_width": 48, "vision_layers": 3},
    "tiny": {"width": 48, "layers": 1, "vision_width": 16, "vision_layers": 1},
}
"""Of the policy from scratch: decoder and image encoder."""


class PolicyFormat:
    """How policies lie on disk, for `Run.once`: folders in the Hugging Face layout.

    Args:
        config, features: what kind they are, and where their image vectors come from.
        fetch: the bytes of screens by digest.
        device: where they work.
        version: what they are called.
    """

    def __init__(
        self, config: PolicyConfig, features: FeatureConfig, frames: Frames, device: str, version: str = "first"
    ) -> None:
        self.config, self.features, self.frames = config, features, frames
        self.device, self.version = device, version

    def write(self, value: DevicePolicy, folder: Path) -> None:
        """Weights, config and tokenizer."""
        value.model.save_pretrained(folder)
        value.tokenizer.save_pretrained(folder)

    def read(self, folder: Path) -> DevicePolicy:
        """The policy of a folder or checkpoint.

        Raises:
            UserError: if it holds another kind of policy.
        """
        if self.config.kind == "screen":
            sampling = Sampling(temperature=self.config.temperature, max_new_tokens=24)
            return load_screen_policy(
                folder, sampling=sampling, frames=self.frames, version=self.version, device=self.device
            )
        vectors = load_blip2(self.features.model, self.device)
        sampling = Sampling(temperature=self.config.temperature, max_new_tokens=128)
        policy = load_autoui(folder, vectors, frames=self.frames, sampling=sampling, version=self.version)
        policy.model.to(self.device)  # type: ignore[arg-type]
        return policy


async def warm_start(
    run: Run, phone: PhoneConfig, config: PolicyConfig, features: FeatureConfig, seed: int, device: str, source: str
) -> DevicePolicy:
    """The first policy of a run, made once: a folder's, one from scratch, or that of another run.

    Demonstrations, where there are any, are imitated first. Everything that is made from it (copies, image features,
    action readers) works on its device.

    Args:
        run, phone, config, features, seed, device: of the run.
        source: a run whose first policy is taken; "" makes one.

    Raises:
        UserError: if `source` has none.
    """
    kept = PolicyFormat(config, features, Frames(run.store.image), device)
    if source:
        folder = first_policy_of(find_run(source).parent)
        if folder is None:
            raise UserError(
                f"{source}: has no first policy. Make one with: turnsmith run digirl --arms --name {source}"
            )
        return kept.read(folder)
    traces: list[Trace] = []
    if config.demonstrations:
        traces = await demonstrate(run, phone, config.demonstrations, config.rough, seed)
        traces = [trace for trace in traces if trace.turns and trace.outcome is not Outcome.INFRA_ERROR]

    def make() -> DevicePolicy:
        if config.kind == "autoui":
            policy = kept.read(Path(config.model))
            if traces:
                imitate(policy, traces, config, seed)
            return policy
        if not traces:
            raise UserError("there are no demonstrations: raise policy.demonstrations.")
        policy, loss = clone("demonstrations: learning", traces, config, kept.frames, seed, device)
        run.log(phase="first-policy", iteration=0, loss=loss, turns=sum(len(trace.turns) for trace in traces))
        return policy

    inputs = {"kind": config.kind, "model": config.model, "demonstrations": len(traces), "seed": seed}
    return await asyncio.to_thread(run.once, "first", inputs, make, kept)


def clone(
    what: str, traces: Sequence[Trace], config: PolicyConfig, frames: Frames, seed: int, device: str
) -> tuple[ScreenPolicy, float]:
    """Behaviour cloning from scratch: a new small policy that imitates all turns of these traces.

    Args:
        what: for the progress bar.
        traces: demonstrations, or the log of another agent.
        config: size and training.
        frames: screens.
        seed: of initial weights and training.
        device: where it learns and stays.

    Returns:
        (policy, its loss in the end). Which words are no names is noted in its model: see `transforms.rename`.
    """
    names = entity_words(traces) | site_words(traces)
    policy = new_screen_policy(
        training_texts(traces),
        names=names,
        sampling=Sampling(temperature=config.temperature, max_new_tokens=24),
        frames=frames,
        seed=seed,
        **SIZES[config.size],
    )
    policy.model.to(device)  # type: ignore[arg-type]
    examples = examples_from_traces(traces, policy)
    kept = kept_words(examples, policy.tokenizer, names)
    keep_words(policy.model, kept, longest_name(examples, policy.tokenizer, kept))
    return policy, imitate(policy, traces, config, seed, what)


def imitate(
    policy: DevicePolicy,
    traces: Sequence[Trace],
    config: PolicyConfig,
    seed: int,
    what: str = "demonstrations: learning",
) -> float:
    """Supervised training on all turns of these traces; the loss in the end."""
    optim = OptimConfig(
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs,
        warmup_updates=10,
        schedule="cosine",
        pass_tokens=16384,
        seed=seed,
    )
    return train_policy(what, policy, examples_from_traces(traces, policy), optim, config.augment)


def first_run_of(folder: Path) -> Path:
    """The run that made a run's first policy: itself, or the one that it names."""
    settings = folder / "config.json"
    named = read_json(settings).get("first") if settings.exists() else None
    return find_run(named).parent if named else folder


def first_policy_of(folder: Path) -> Path | None:
    """Where a run's first policy is; None where there is none. Older runs have it among their checkpoints."""
    made = first_run_of(folder)
    if (made / "made" / "first").is_dir():
        return made / "made" / "first"
    return checkpoint.latest(made / "checkpoints" / "first")


class Rehearsal:
    """Demonstrations to be learned beside other examples; read when they are first asked for.

    Args:
        folder: of a run; those of the run that made its first policy are taken.
        policy: renders them. Its copies share the tokenizer.
        share: of all examples that they are to be; 0 leaves them out.
    """

    def __init__(self, folder: Path, policy: DevicePolicy, share: float) -> None:
        self.folder, self.policy, self.share = folder, policy, share

    @cached_property
    def examples(self) -> list[Example]:
        """All demonstrations; none where the share is 0 or the run made none."""
        path = first_run_of(self.folder) / "run.db"
        if self.share <= 0 or not path.exists():
            return []
        with Store(path, read_only=True) as store:
            traces = store.traces(phase="demonstrations")
            return examples_from_traces((store.with_images(trace) for trace in traces), self.policy)

    def beside(self, examples: Sequence[Example], seed: int) -> list[Example]:
        """The examples and a random draw of demonstrations, as many as the share asks for and there are."""
        count = min(len(self.examples), round(len(examples) * self.share / (1 - self.share)))
        drawn = np.random.default_rng(seed).choice(len(self.examples), count, replace=False) if count else []
        return [*examples, *(self.examples[int(index)] for index in drawn)]


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


def actor_optim(
    updates: int, batch_size: int, learning_rate: float, schedule: Literal["constant", "cosine"], seed: int
) -> OptimConfig:
    """How an actor learns for so many updates."""
    return OptimConfig(
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=10_000,
        max_updates=updates,
        warmup_updates=10,
        schedule=schedule,
        pass_tokens=16384,
        seed=seed,
    )


def train_policy(
    what: str,
    policy: DevicePolicy,
    examples: Sequence[Example],
    optim: OptimConfig,
    augment: float = 0.0,
    optimizer: torch.optim.Optimizer | None = None,
) -> float:
    """Train with a progress bar; the mean loss of the last tenth of the updates.

    The loss of an example is the sum over its tokens (DigiRL's log π(a | s)), not their mean. For a policy that knows
    which words are names, these are exchanged for others in every use (`transforms.rename`), so that it copies what it
    types from the goal; in a share `augment` of the uses screens are moved and recoloured, in half of it earlier
    actions are left out (`transforms.screens`).
    """
    summed = [replace(example, weight=example.weight * sum(example.mask)) for example in examples]
    steps = transforms(policy, augment)

    def changed(example: Example, use: int) -> Example:
        for step in steps:
            example = step(example, use)
        return example

    with policy.lock:
        return train_with_bar(what, policy.model, summed, optim, optimizer, changed if steps else None)


def transforms(policy: DevicePolicy, augment: float) -> list[Transform]:
    """What is done to an example in each use of it."""
    renamer = renamer_of(policy)
    steps: list[Transform] = [] if renamer is None else [renamer]
    config = policy.model.config
    if isinstance(config, ScreenLlamaConfig) and augment:
        before, after = policy.tokenizer.convert_tokens_to_ids(list(AROUND_PREVIOUS))
        steps += [HistoryDropout(before, after, augment / 2), ScreenAugment(config, augment)]
    return steps
