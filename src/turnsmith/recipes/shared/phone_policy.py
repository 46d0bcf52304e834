"""The policy of the recipes for device agents: demonstrations to a first policy, and how it learns from then on.

Whatever a policy learns, it learns with names exchanged, screens moved and recoloured, and beside demonstrations: a
small model that is trained on a few hundred of its own steps alone forgets how to point (docs/digirl.md).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from turnsmith.errors import UserError
from turnsmith.recipes.shared.phone import PhoneConfig, demonstrate
from turnsmith.runs.run import Run, find_run, read_json
from turnsmith.trace.store import Store
from turnsmith.trace.types import Outcome, Trace
from turnsmith.worlds.phone.tasks import generate

if TYPE_CHECKING:
    from turnsmith.agents.screen_policy import ScreenPolicy
    from turnsmith.learn.examples import Example


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
        augment: the share of uses in which a screen is moved, and is recoloured, then and whenever the policy learns
            later; in half that share the previous action is left out (`learn.transforms.screens`).
        rehearsal: the share of demonstrations among what the policy learns later, in every arm; 0 as in the papers.
        temperature: of sampling while collecting and in evaluation.
    """

    demonstrations: int = 100
    rough: float = 0.25
    width: int = 96
    layers: int = 2
    vision_width: int = 48
    vision_layers: int = 3
    learning_rate: float = 2e-3
    batch_size: int = 32
    epochs: int = 24
    augment: float = 0.6
    rehearsal: float = 0.5
    temperature: float = 1.0


TINY_POLICY = PolicyConfig(
    2, 0.0, 48, 1, 16, 1, learning_rate=1e-2, batch_size=4, epochs=40, augment=0.0, rehearsal=0.5
)
"""For smoke presets: knows two demonstrations by heart, so that its actions at least parse."""


async def warm_start(
    run: Run, phone: PhoneConfig, config: PolicyConfig, seed: int, device: str = "cpu", source: str = ""
) -> "ScreenPolicy":
    """The first policy: supervised training on the demonstrations; kept as checkpoint `first/step-0`.

    Everything that is made from it (copies, image features, action readers) works on its device.

    Raises:
        UserError: if `source`, a run whose first policy is to be taken, has none.
    """
    from turnsmith.agents.frames import Frames
    from turnsmith.agents.screen_policy import load_screen_policy
    from turnsmith.engine.sampling import Sampling
    from turnsmith.learn import checkpoint

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
    policy, loss = await asyncio.to_thread(
        clone, "demonstrations: learning", traces, config, sampling, frames, seed, "first", device
    )
    run.log(phase="first-policy", iteration=0, loss=loss, turns=sum(len(trace.turns) for trace in traces))
    checkpoint.save(folder, 0, policy.model, policy.tokenizer)
    return policy


def clone(
    what: str,
    traces: Sequence[Trace],
    config: PolicyConfig,
    sampling: Any,
    frames: Any,
    seed: int,
    version: str,
    device: str = "cpu",
) -> tuple["ScreenPolicy", float]:
    """Behaviour cloning from scratch: a new policy that imitates all turns of these traces.

    Args:
        what: for the progress bar.
        traces: demonstrations, or the log of another agent.
        config: sizes and training.
        sampling, frames: of the policy.
        seed: of initial weights and training.
        version: the policy's name.
        device: where it learns and stays.

    Returns:
        (policy, its loss in the end). Which words are no names is noted in its model: see `transforms.rename`.
    """
    from turnsmith.agents.screen_policy import new_screen_policy
    from turnsmith.learn.examples import examples_from_traces
    from turnsmith.learn.transforms.rename import entity_words, keep_words, kept_words, longest_name

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
    policy.version = version
    policy.model.to(device)  # type: ignore[arg-type]
    examples = examples_from_traces(traces, policy)
    kept = kept_words(examples, policy.tokenizer, names)
    keep_words(policy.model, kept, longest_name(examples, policy.tokenizer, kept))
    loss = train_policy(
        what,
        policy,
        examples,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        epochs=config.epochs,
        augment=config.augment,
        seed=seed,
        schedule="cosine",
    )
    return policy, loss


def first_run_of(folder: Path) -> Path:
    """The run that made a run's first policy: itself, or the one that it names."""
    settings = folder / "config.json"
    named = read_json(settings).get("first") if settings.exists() else None
    return find_run(named).parent if named else folder


def first_policy_of(folder: Path) -> Path | None:
    """The checkpoint of a run's first policy; None where there is none."""
    from turnsmith.learn import checkpoint

    return checkpoint.latest(first_run_of(folder) / "checkpoints" / "first")


class Rehearsal:
    """Demonstrations to be learned beside other examples; read when they are first asked for.

    Args:
        folder: of a run; those of the run that made its first policy are taken.
        policy: renders them. Its copies share the tokenizer.
        share: of all examples that they are to be; 0 leaves them out.
    """

    def __init__(self, folder: Path, policy: "ScreenPolicy", share: float) -> None:
        self.folder, self.policy, self.share = folder, policy, share

    @cached_property
    def examples(self) -> list["Example"]:
        """All demonstrations; none where the share is 0 or the run made none."""
        from turnsmith.learn.examples import examples_from_traces

        path = first_run_of(self.folder) / "run.db"
        if self.share <= 0 or not path.exists():
            return []
        with Store(path, read_only=True) as store:
            traces = store.traces(phase="demonstrations")
            return examples_from_traces((store.with_images(trace) for trace in traces), self.policy)

    def beside(self, examples: Sequence["Example"], seed: int) -> list["Example"]:
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
    schedule: Literal["cosine", "linear", "constant"] = "constant",
) -> float:
    """Train with a progress bar; the mean loss of the last tenth of the updates.

    The loss of an example is the sum over its tokens (DigiRL's log π(a | s)), not their mean. Names are exchanged for
    others in every use (`transforms.rename`), so that the policy copies what it types from the goal; in
    a share `augment` of the uses screens are moved and recoloured, in half of it earlier actions are left out
    (`transforms.screens`).
    """
    from turnsmith.agents.screen_policy import AROUND_PREVIOUS
    from turnsmith.learn.optim import OptimConfig
    from turnsmith.learn.transforms.rename import renamer_of
    from turnsmith.learn.transforms.screens import HistoryDropout, ScreenAugment
    from turnsmith.recipes.shared.web import train_with_bar

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
    before, after = policy.tokenizer.convert_tokens_to_ids(list(AROUND_PREVIOUS))
    steps = [
        renamer_of(policy),
        HistoryDropout(before, after, augment / 2),
        ScreenAugment(policy.model.config, augment),
    ]

    def changed(example: Any, use: int) -> Any:
        for step in steps:
            example = step(example, use) if step else example
        return example

    with policy.lock:
        return train_with_bar(what, policy.model, summed, config, optimizer, changed)


def copy_policy(policy: "ScreenPolicy", version: str) -> "ScreenPolicy":
    """Another policy with the same weights, to be trained apart."""
    import copy

    from turnsmith.agents.screen_policy import ScreenPolicy

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
