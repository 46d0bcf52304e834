"""TReCiM (arXiv 2501.01052): a trained network on a FeFET compute-in-memory chip whose temperature drifts.

    circuits:  every cell from 0 to 85 °C, noise margins of row sums                     no training
    train:     VGG-8 with 8-bit weights and activations on CIFAR-10                      resumable
    chips:     put it on ideal cells, 1FeFET-1R, 2T-1FeFET, 2FeFET-1T with 1 and 2 bits a cell; at each temperature run
               the same test images and count what they get wrong that ideal hardware gets right
    cost:      area, energy and TOPS/W at 22 and 45 nm

Converters keep the references that they were given at 27 °C. The cell netlist is a reconstruction (docs/trecim.md).
`laptop` trains the quarter-width network on two cores; `gpu` trains the full one.
"""

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from turnwise.errors import UserError, require
from turnwise.evaluate.claims import record
from turnwise.recipes.config import to_json, unknown_preset
from turnwise.recipes.progress import console, progress_bar
from turnwise.trace.run import Run

if TYPE_CHECKING:
    from torch import nn

    from turnwise.cim.cifar import Images
    from turnwise.cim.study import Arm


@dataclass(frozen=True, slots=True)
class Schedule:
    """Training; see `cim.training.TrainSettings`."""

    epochs: int = 15
    batch: int = 128
    learning_rate: float = 0.02
    weight_decay: float = 1e-4


@dataclass(frozen=True, slots=True)
class Config:
    """TReCiM.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of initial weights and the order of training.
        preset_name: which preset these settings started from.
        data: "cifar10", or "synthetic" (gratings, for tests).
        width: of VGG-8; 1 is the paper's.
        schedule: training.
        train_images, validation_images: how many are used.
        test_images: how many the integer network is tested on.
        chip_images, sigma_images: how many of them the chips see, without and with static threshold errors.
        temps: °C.
        sigmas: static threshold errors to add to the comparison, volts.
        chips: seeds of static errors.
        exact_first: keep the first convolution off the arrays, as the reference wrapper does.
        batch: images at a time on the chips.
        device: "cpu", "cuda", …
        threads: of the processor; 0 leaves torch's own choice.
    """

    name: str = "trecim-laptop-s0"
    seed: int = 0
    preset_name: str = "laptop"
    data: Literal["cifar10", "synthetic"] = "cifar10"
    width: float = 0.25
    schedule: Schedule = field(default_factory=Schedule)
    train_images: int = 45_000
    validation_images: int = 1_000
    test_images: int = 10_000
    chip_images: int = 2_000
    sigma_images: int = 1_000
    temps: tuple[float, ...] = (0.0, 25.0, 55.0, 85.0)
    sigmas: tuple[float, ...] = (0.01, 0.03)
    chips: tuple[int, ...] = (0,)
    exact_first: bool = True
    batch: int = 50
    device: str = "cpu"
    threads: int = 2

    @classmethod
    def preset(cls, name: str) -> "Config":
        """smoke: for tests. laptop: the quarter-width network on two cores. gpu, also called paper: the full one."""
        full = cls(
            name="trecim-gpu-s0",
            preset_name="gpu",
            width=1.0,
            schedule=Schedule(epochs=80, batch=128, learning_rate=0.02, weight_decay=5e-4),
            chip_images=10_000,
            sigma_images=2_000,
            batch=250,
            device="cuda",
            threads=0,
        )
        presets = {
            "smoke": cls(
                name="trecim-smoke",
                preset_name="smoke",
                data="synthetic",
                width=1 / 32,
                schedule=Schedule(epochs=1, batch=32, learning_rate=0.02),
                train_images=64,
                test_images=8,
                chip_images=8,
                sigma_images=8,
                validation_images=8,
                temps=(27.0, 85.0),
                sigmas=(),
                batch=8,
            ),
            "laptop": cls(),
            "gpu": full,
            "paper": replace(full, name="trecim-paper-s0", preset_name="paper"),
        }
        if name not in presets:
            raise unknown_preset(name, presets)
        return presets[name]


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    require("torch", "cim")
    require("matplotlib", "cim")
    import torch

    if config.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no CUDA device is there. Add --device cpu, or use the laptop preset.")
    if config.threads:
        torch.set_num_threads(config.threads)
    with Run(Path("runs") / config.name, to_json("trecim", config)) as run:
        return _main(config, run)


def _main(config: Config, run: Run) -> Path:
    from turnwise.cim.int8 import save_int8
    from turnwise.cim.record import accuracy_claims, circuit_claims, cost_claims
    from turnwise.cim.report_page import write_page

    run.report(status="running", recipe="trecim", config=run.config)
    claims = [*circuit_claims(), *cost_claims()]
    network = _train(config, run)
    log = [row for row in run.metrics() if row.get("phase") == "train"]
    checkpoint = run.folder / "vgg8-int8.safetensors"
    digest = save_int8(checkpoint, network, config.width, {"settings": asdict(config.schedule), "log": log})
    console.print(f"int8 checkpoint {checkpoint}: {checkpoint.stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    ideal, rows, step = _compare(config, run, network)
    claims += accuracy_claims(ideal, rows, _setup(config, step, digest), (config.seed,))
    run.report(status="finished", claims=[{**asdict(claim), "holds": claim.holds} for claim in claims], sha256=digest)
    if config.preset_name in ("laptop", "gpu", "paper"):
        console.print(f"recorded {record('trecim', claims, f'turnwise run trecim --preset {config.preset_name}')}")
    page = write_page(run.folder, claims, ideal, rows, log)
    console.print(f"report: {page}")
    return page


def _images(config: Config, split: str, count: int) -> "Images":
    from turnwise.cim.cifar import load_cifar10, synthetic

    if config.data == "synthetic":
        return synthetic(count, {"train": 0, "validation": 1, "test": 2}[split]).to(config.device)
    return load_cifar10(split, count).to(config.device)


def _train(config: Config, run: Run) -> "nn.Module":
    """The quantised network, trained; goes on from the last checkpoint."""
    from turnwise.cim.cifar import augmented
    from turnwise.cim.networks import vgg8
    from turnwise.cim.quantization import quantize
    from turnwise.cim.training import TrainSettings, accuracy, train
    from turnwise.learn import checkpoint

    schedule = config.schedule
    network = quantize(vgg8(config.width, config.seed)).to(config.device)
    images = _images(config, "train", config.train_images)
    validation = _images(config, "validation", config.validation_images)
    steps = len(images) // schedule.batch
    folder = run.folder / "checkpoints"
    settings = TrainSettings(schedule.epochs, schedule.learning_rate, weight_decay=schedule.weight_decay)
    last = checkpoint.latest(folder)
    done = int(last.name.removeprefix("step-")) if last is not None else 0
    started = time.monotonic()

    def after_epoch(epoch: int, loss: float) -> None:
        correct, count = accuracy(network.eval(), validation.batches(250))
        run.log(phase="train", epoch=epoch, loss=loss, validation=correct / count, seconds=time.monotonic() - started)

    with progress_bar("training", steps * schedule.epochs) as advance:
        advance(done)
        train(
            network,
            lambda epoch, start: augmented(images, schedule.batch, config.seed, epoch, start),
            settings,
            steps,
            folder,
            after_epoch,
            lambda loss: advance(1, note=f"loss {loss:.3f}"),
        )
    return network


def _arms(config: Config) -> "list[Arm]":
    """Every cell without static errors (the clamp cell matched, and with κ mismatch), then with them."""
    from turnwise.cim.cells import CELLS
    from turnwise.cim.record import MISMATCH
    from turnwise.cim.study import Arm

    arms = [Arm(cell) for cell in CELLS]
    arms += [Arm(cell, kappa_mismatch=MISMATCH) for cell in CELLS if cell.startswith("r1")]
    for sigma in config.sigmas:
        for cell in CELLS:
            mismatch = MISMATCH if cell.startswith("r1") else 0.0
            arms += [Arm(cell, sigma, mismatch, chip) for chip in config.chips]
    return arms


def _compare(config: Config, run: Run, network: "nn.Module") -> tuple[dict[str, Any], list[dict[str, Any]], float]:
    """Ideal row, rows of all arms, and the converter's step; what the run has already is not run again."""
    from turnwise.cim.quantization import quant_layers
    from turnwise.cim.study import choose_step, ideal_hits, pack, run_arm

    images = _images(config, "test", config.test_images)
    exact = (next(iter(quant_layers(network))),) if config.exact_first else ()
    before = run.metrics()
    ideal = next((row for row in before if row.get("phase") == "ideal"), None)
    if ideal is None:
        right = ideal_hits(network, images, config.batch)
        tried = choose_step(network, _images(config, "validation", config.validation_images), config.batch, exact)
        ideal = {
            "phase": "ideal",
            "width": config.width,
            "correct": int(right.sum()),
            "images": len(right),
            "hits": pack(right),
            "step": max(tried, key=lambda step: tried[step]),
            "steps": {str(step): accuracy for step, accuracy in tried.items()},
        }
        run.log(**ideal)
    rows: list[dict[str, Any]] = []
    known: dict[tuple[str, int], str] = {}
    arms = _arms(config)
    seen = {arm: images[: config.sigma_images if arm.sigma_vt else config.chip_images] for arm in arms}
    with progress_bar("chips", len(config.temps) * sum(map(len, seen.values()))) as advance:
        for arm in arms:
            done = [row for row in before if row.get("phase") == "chip" and arm.key.items() <= row.items()]
            advance(len(done) * len(seen[arm]))
            known.update({(row["tables"], row["images"]): row["hits"] for row in done})
            left = [celsius for celsius in config.temps if celsius not in {row["celsius"] for row in done}]
            for row in run_arm(network, arm, ideal["step"], left, seen[arm], config.batch, exact, known, advance):
                run.log(phase="chip", **row)
                done.append(row)
            rows += done
            worst = min(row["correct"] for row in done) / len(seen[arm])
            note = f"{arm.cell} sigma {1e3 * arm.sigma_vt:g} mV: worst {100 * worst:.1f} %"
            advance(0, note=note)
    return ideal, rows, ideal["step"]


def _setup(config: Config, step: float, digest: str) -> str:
    first = (
        "first convolution exact off-chip, as in the reference wrapper" if config.exact_first else "all layers on chip"
    )
    return (
        f"VGG-8 at width {config.width:g}, {config.schedule.epochs} epochs on {config.train_images} images, "
        f"{config.test_images} test images ({config.chip_images} on chips, {config.sigma_images} with static errors, "
        f"drops paired); 8-bit weights and activations, 8-row groups, 9 converter codes, step "
        f"{step:g} for 2-bit cells, references fixed at 27 °C; {first}. Checkpoint sha256 {digest[:16]}."
    )
