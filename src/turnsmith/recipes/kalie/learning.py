"""The part of the recipe that makes images and networks: each is made once, in whichever process gets to it."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from turnsmith.recipes.kalie.config import ARMS, Config
from turnsmith.robot.affordance import train_network
from turnsmith.robot.composite import Composite
from turnsmith.robot.diffusion import Diffusion, load_pipeline
from turnsmith.robot.labelled import Labelled, LabelledFormat, render_labelled, resized
from turnsmith.robot.network import KeypointNet
from turnsmith.robot.settings import NetSettings
from turnsmith.robot.synthesis import Generator, synthesize
from turnsmith.robot.vlm import VlmPredictor, load_vlm
from turnsmith.runs.once import once
from turnsmith.runs.run import Run
from turnsmith.worlds.tabletop.tasks import TRAINING_SET, table_task

TEST_SCENES = 500_000
"""Test scenes are numbered from here, for every seed of a run."""
_RL_SCENES = 700_000


class NetFormat:
    """A network on disk: safetensors beside its head and size (a `runs.once.Format`)."""

    def write(self, value: KeypointNet, folder: Path) -> None:
        """One file."""
        save_file(value.state_dict(), folder / "net.safetensors", {"head": value.kind, "size": str(value.size)})

    def read(self, folder: Path) -> KeypointNet:
        """The network, ready to predict."""
        from safetensors import safe_open

        with safe_open(folder / "net.safetensors", "pt") as file:
            note = file.metadata()
        net = KeypointNet(note["head"], int(note["size"]))
        net.load_state_dict(load_file(folder / "net.safetensors"))
        return net.eval()


def scene_numbers(config: Config, count: int) -> list[int]:
    """Seeds of the scenes that a run's annotator labelled: other ones for every seed of the run."""
    return [10_000 * config.seed + number for number in range(count)]


def rl_scenes(config: Config, iteration: int) -> list[int]:
    """Seeds of the scenes in which a round of learning from success plays; no test has them."""
    first = _RL_SCENES + 10_000 * config.seed + 1000 * iteration
    return list(range(first, first + config.rl.rollouts))


def labelled_images(config: Config, made: Path, task: str) -> list[Labelled]:
    """The labelled images of a task, rendered once."""
    inputs = {"scenes": scene_numbers(config, config.images), "noise": config.click_noise}

    def make() -> list[Labelled]:
        kind = table_task(task)
        return [render_labelled(kind, TRAINING_SET, number, config.click_noise) for number in inputs["scenes"]]

    return once(made, f"images/{task}", inputs, make, LabelledFormat())


def generator_of(config: Config) -> Generator:
    """What draws variants: compositing, or the paper's diffusion where its weights are named."""
    chosen = config.diffusers
    if not chosen.base:
        return Composite()
    pipeline = load_pipeline(chosen.base, chosen.controlnet, chosen.device)
    return Diffusion(pipeline, size=chosen.size, steps=chosen.steps)


def training_images(config: Config, made: Path, arm: str, task: str, size: int) -> list[Labelled]:
    """What an arm learns from: its labelled images, and their variants, at the network's resolution."""
    chosen = ARMS[arm]
    originals = [resized(image, size) for image in labelled_images(config, made, task)[: chosen.images]]
    if chosen.synthesis is None:
        return originals
    return originals + synthesize(originals, chosen.synthesis, generator_of(config), config.seed)


def net_settings(config: Config, arm: str) -> NetSettings:
    """The network of an arm."""
    head = ARMS[arm].head
    return replace(config.net, head=head) if head else config.net


def inputs_of(config: Config, arm: str) -> dict[str, Any]:
    """What a network is made of."""
    return {
        "seed": config.seed,
        "images": config.images,
        "noise": config.click_noise,
        "arm": asdict(ARMS[arm]),
        "net": asdict(net_settings(config, arm)),
        "diffusers": asdict(config.diffusers),
    }


def trained_network(config: Config, made: Path, arm: str, task: str) -> KeypointNet:
    """The network of an arm and a task, trained once."""

    def make() -> KeypointNet:
        settings = net_settings(config, arm)
        images = training_images(config, made, arm, task, settings.size)
        return train_network(images, ARMS[arm].augmentation, settings, config.seed)

    return once(made, f"nets/{arm}/{task}", inputs_of(config, arm), make, NetFormat())


def learn_in_process(config: Config, made: Path, arm: str, task: str) -> float:
    """Train a network unless it is there; returns the seconds that took."""
    torch.set_num_threads(1)
    begun = time.monotonic()
    trained_network(config, made, arm, task)
    return time.monotonic() - begun


def learn_all(
    config: Config, made: Path, jobs: Sequence[tuple[str, str]], on_done: Callable[[str, str, float], None]
) -> None:
    """Train the networks of all (arm, task), several at once; images are rendered first, once a task."""
    for task in dict.fromkeys(task for _, task in jobs):
        labelled_images(config, made, task)
    if config.processes < 2:
        for arm, task in jobs:
            on_done(arm, task, learn_in_process(config, made, arm, task))
        return
    with ProcessPoolExecutor(config.processes, mp_context=get_context("spawn")) as pool:
        waiting = [(arm, task, pool.submit(learn_in_process, config, made, arm, task)) for arm, task in jobs]
        for arm, task, done in waiting:
            on_done(arm, task, done.result())


class AdapterFormat:
    """The folder of a LoRA adapter (a `runs.once.Format`); what is read back is where it lies."""

    def write(self, value: VlmPredictor, folder: Path) -> None:
        """The adapter alone."""
        value.model.save_pretrained(folder)

    def read(self, folder: Path) -> Path:
        """The folder."""
        return folder


def adapted_vlm(config: Config, run: Run, arm: str) -> VlmPredictor:
    """The vision-language model with the adapter that was fine-tuned on an arm's data, once."""
    from peft import PeftModel

    vlm = config.vlm

    def make() -> VlmPredictor:
        predictor = load_vlm(Path(vlm.folder), vlm.device)
        predictor.add_adapter(vlm.rank, config.seed)
        made = run.folder / "made"
        images = [image for task in config.tasks for image in training_images(config, made, arm, task, vlm.size)]
        losses = predictor.train(images, vlm.optim)
        run.log(phase="vlm", arm=arm, first_loss=losses[0], last_loss=losses[-1], updates=len(losses))
        return predictor

    place: Any = run.once(f"vlm/{arm}", {**inputs_of(config, arm), "vlm": asdict(vlm)}, make, AdapterFormat())  # pyright: ignore[reportArgumentType]
    predictor = load_vlm(Path(vlm.folder), vlm.device)
    predictor.model = PeftModel.from_pretrained(predictor.model, str(place)).eval()
    return predictor


def successes_as_labelled(pictures: Sequence[np.ndarray], points: Sequence[np.ndarray], task: str) -> list[Labelled]:
    """Executed keypoints that succeeded, as labelled images (without depth and parts, which no network reads)."""
    kind = table_task(task)
    return [
        Labelled(
            f"won-{index}",
            kind,
            picture,
            np.zeros(picture.shape[:2], np.float32),
            np.zeros(picture.shape[:2], np.uint8),
            at,
        )
        for index, (picture, at) in enumerate(zip(pictures, points, strict=True))
    ]
