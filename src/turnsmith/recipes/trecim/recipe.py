"""TReCiM (arXiv 2501.01052): a trained network on a FeFET compute-in-memory chip whose temperature drifts.

    circuits:  every cell from 0 to 85 °C, noise margins of row sums                     no training
    train:     VGG-8 with 8-bit weights and activations on CIFAR-10                      resumable
    fine-tune: two copies for as many steps again: as before ("plain"), and with the converter of 2-bit cells in the
               forward pass ("converter"), since nine codes clip their row sums at every temperature
    chips:     ideal cells, 1FeFET-1R, 2T-1FeFET and 1-bit 2FeFET-1T run the plain network, 2-bit 2FeFET-1T the other;
               at each temperature the same test images count what they get wrong that ideal hardware gets right
    cost:      area, energy and TOPS/W at 22 and 45 nm

Converters keep the references that they were given at 27 °C. The cell netlist is a reconstruction (docs/trecim.md).
`laptop` trains the quarter-width network on two cores; `gpu` trains the full one.
"""

import copy
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from turnsmith.errors import UserError, require
from turnsmith.evaluate.claims import record
from turnsmith.runs.config import command_of, to_json, unknown_preset
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from turnsmith.cim.cifar import Images
    from turnsmith.cim.study import Arm, Reading


@dataclass(frozen=True, slots=True)
class Schedule:
    """Training; see `cim.training.TrainSettings` and, for `cutout`, `cim.cifar.augmented`."""

    epochs: int = 15
    batch: int = 128
    learning_rate: float = 0.02
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    cutout: int = 0


@dataclass(frozen=True, slots=True)
class Config:
    """TReCiM.

    Attributes:
        name: the run's folder is `runs/NAME`.
        seed: of initial weights and the order of training.
        preset_name: which preset these settings started from.
        data: "cifar10", or "synthetic" (gratings, for tests).
        width: of VGG-8; 1 is the paper's.
        batch_norm: train in floating point with batch norm, which becomes part of 8-bit weights and digital biases
            before fine-tuning; without it training is 8-bit from the start, in the manner of WAGE.
        schedule: training.
        fine_tuning: of both copies after it.
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
    batch_norm: bool = False
    schedule: Schedule = field(default_factory=Schedule)
    fine_tuning: Schedule = field(default_factory=lambda: Schedule(epochs=1, learning_rate=0.002))
    train_images: int = 45_000
    validation_images: int = 1_000
    test_images: int = 10_000
    chip_images: int = 10_000
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
            batch_norm=True,
            schedule=Schedule(60, learning_rate=0.1, weight_decay=5e-4, label_smoothing=0.1, cutout=8),
            fine_tuning=Schedule(2, learning_rate=0.001, weight_decay=5e-4, label_smoothing=0.1),
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
                schedule=Schedule(epochs=1, batch=32),
                fine_tuning=Schedule(epochs=1, batch=32, learning_rate=0.001),
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
    torch.backends.cudnn.benchmark = True
    if config.threads:
        torch.set_num_threads(config.threads)
    with Run(Path("runs") / config.name, to_json("trecim", config)) as run:
        return _main(config, run)


def _main(config: Config, run: Run) -> Path:
    from turnsmith.recipes.trecim.claims import accuracy_claims, circuit_claims, cost_claims
    from turnsmith.recipes.trecim.report import write_page

    run.report(status="running", recipe="trecim", config=run.config)
    claims = [*circuit_claims(), *cost_claims()]
    networks, reading, digests = _networks(config, run)
    ideals, rows = _compare(config, run, networks, reading)
    claims += accuracy_claims(ideals, rows, _setup(config, reading, digests), (config.seed,))
    run.report(status="finished", claims=[{**asdict(claim), "holds": claim.holds} for claim in claims], sha256=digests)
    if config.preset_name in ("laptop", "gpu", "paper"):
        console.print(f"recorded {record('trecim', claims, command_of('trecim', config))}")
    log = [row for row in run.metrics() if row.get("phase") in ("train", *networks)]
    page = write_page(run.folder, claims, ideals["plain"], rows, log)
    console.print(f"report: {page}")
    return page


def _images(config: Config, split: str, count: int) -> "Images":
    from turnsmith.cim.cifar import load_cifar10, synthetic

    if config.data == "synthetic":
        return synthetic(count, {"train": 0, "validation": 1, "test": 2}[split]).to(config.device)
    return load_cifar10(split, count).to(config.device)


def _networks(config: Config, run: Run) -> "tuple[dict[str, nn.Module], Reading, dict[str, str]]":
    """The plain network and the one trained with the converter, how 2-bit cells are written and read, files' hashes.

    What the chips run is what the int8 files hold. Once they are written, the run needs no other checkpoint.
    """
    from turnsmith.cim.int8 import load_int8, save_int8
    from turnsmith.cim.study import Reading

    def file(name: str) -> Path:
        return run.folder / f"vgg8-int8-{name}.safetensors"

    trained = next((row for row in run.metrics() if row.get("phase") == "trained"), None)
    if trained is None:
        networks, reading = _train(config, run)
        notes = {name: asdict(getattr(config, name)) for name in ("schedule", "fine_tuning")}
        digests = {}
        for name, network in networks.items():
            log = [row for row in run.metrics() if row.get("phase") in ("train", name)]
            mine = {**notes, "reading": asdict(reading), "log": log}
            digests[name] = save_int8(file(name), network, config.width, mine)
            console.print(f"{file(name)}: {file(name).stat().st_size / 1e6:.1f} MB, sha256 {digests[name]}")
        trained = {"reading": asdict(reading), "sha256": digests}
        run.log(phase="trained", **trained)
    networks = {name: load_int8(file(name))[0].to(config.device) for name in trained["sha256"]}
    return networks, Reading(**trained["reading"]), trained["sha256"]


def _train(config: Config, run: Run) -> "tuple[dict[str, nn.Module], Reading]":
    """Train, choose the reading, fine-tune both copies; each goes on from its last checkpoint."""
    from turnsmith.cim.converter_training import converter_in_the_loop
    from turnsmith.cim.networks import fold_batch_norm, vgg8
    from turnsmith.cim.quantization import keep_above, quantize
    from turnsmith.cim.study import Reading, choose_reading, perfect_2bit

    images = _images(config, "train", config.train_images)
    validation = _images(config, "validation", config.validation_images)
    folder = run.folder / "checkpoints"
    network = vgg8(config.width, config.seed, config.batch_norm)
    trained = (network if config.batch_norm else quantize(network)).to(config.device)
    _fit(run, trained, "train", folder, config.schedule, config.seed, images, validation)
    if config.batch_norm:
        sample = [x for x, _ in images[:1000].batches(250)]
        trained = quantize(fold_batch_norm(network), sample=sample)
    exact = _exact(config, trained)
    chosen = next((row for row in run.metrics() if row.get("phase") == "reading"), None)
    if chosen is None:
        reading, tried = choose_reading(trained, validation, config.batch, exact)
        run.log(phase="reading", **asdict(reading), tried=tried)
        console.print(f"2-bit cells: {reading}; validation accuracy {tried}")
    else:
        reading = Reading(chosen["step"], chosen["zero"])
    networks = {"plain": copy.deepcopy(trained), "converter": trained}
    # Another seed: the order of the images is not that of the first epochs again.
    rest = config.fine_tuning, config.seed + 1, images, validation
    _fit(run, networks["plain"], "plain", folder / "plain", *rest)
    keep_above(networks["converter"], -reading.zero, exact)
    with converter_in_the_loop(networks["converter"], perfect_2bit(reading), exact) as network:
        _fit(run, network, "converter", folder / "converter", *rest)
    return networks, reading


def _fit(
    run: Run,
    network: "nn.Module",
    phase: str,
    folder: Path,
    schedule: Schedule,
    seed: int,
    images: "Images",
    validation: "Images",
) -> None:
    """Train in place, going on from the last checkpoint; one row of metrics an epoch, named by the phase."""
    from turnsmith.cim.cifar import augmented
    from turnsmith.cim.training import TrainSettings, accuracy, train
    from turnsmith.learn import checkpoint

    steps = len(images) // schedule.batch
    settings = TrainSettings(
        schedule.epochs,
        schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        label_smoothing=schedule.label_smoothing,
    )
    done = max(checkpoint.steps(folder), default=0)
    kept = [row for row in run.metrics() if row.get("phase") != phase or row["epoch"] <= done // steps]
    if len(kept) < len(run.metrics()):
        run.drop_metrics(kept)
    started = time.monotonic()
    count = done

    def after_epoch(epoch: int, loss: float) -> None:
        correct, total = accuracy(network.eval(), validation.batches(250))
        seconds = round(time.monotonic() - started, 1)
        run.log(phase=phase, epoch=epoch, loss=loss, validation=correct / total, seconds=seconds)
        console.print(f"{phase}, epoch {epoch}: loss {loss:.3f}, validation {100 * correct / total:.1f} %, {seconds} s")

    with progress_bar(phase, steps * schedule.epochs) as advance:
        advance(done)

        def after_step(loss: "Tensor") -> None:
            nonlocal count
            count += 1
            # Reading a loss waits for the device: now and then is enough.
            advance(1, note=f"loss {float(loss):.3f}" if count % 50 == 0 else None)

        train(
            network,
            lambda epoch, start: augmented(images, schedule.batch, seed, epoch, start, schedule.cutout),
            settings,
            steps,
            folder,
            after_epoch,
            after_step,
        )


def _exact(config: Config, network: "nn.Module") -> tuple[str, ...]:
    """Layers that stay off the arrays."""
    from turnsmith.cim.quantization import quant_layers

    return (next(iter(quant_layers(network))),) if config.exact_first else ()


def _arms(config: Config) -> "list[Arm]":
    """Every cell without static errors (the clamp cell matched, and with κ mismatch), then with them.

    Last of those without is what the clamp cell of two bits makes of a network that was not trained for its converter.
    """
    from turnsmith.cim.cells import CELLS
    from turnsmith.cim.study import Arm
    from turnsmith.recipes.trecim.claims import MISMATCH

    def chip(cell: str, sigma: float = 0.0, mismatch: float = 0.0, seed: int = 0) -> Arm:
        return Arm(cell, sigma, mismatch, seed, "converter" if CELLS[cell].bits == 2 else "plain")

    mismatches = {cell: MISMATCH if cell.startswith("r1") else 0.0 for cell in CELLS}
    arms = [chip(cell) for cell in CELLS]
    arms += [chip(cell, mismatch=mismatch) for cell, mismatch in mismatches.items() if mismatch]
    arms.append(Arm("r1-2bit", kappa_mismatch=MISMATCH, network="plain"))
    for sigma in config.sigmas:
        arms += [chip(cell, sigma, mismatch, seed) for cell, mismatch in mismatches.items() for seed in config.chips]
    return arms


def _compare(
    config: Config, run: Run, networks: "dict[str, nn.Module]", reading: "Reading"
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the ideal networks and of all arms; what the run has already is not run again."""
    from turnsmith.cim.study import ideal_hits, pack, run_arm

    images = _images(config, "test", config.test_images)
    before = run.metrics()
    ideals = {row["network"]: row for row in before if row.get("phase") == "ideal"}
    for name, network in networks.items():
        if name not in ideals:
            right = ideal_hits(network, images, config.batch)
            ideals[name] = {
                "phase": "ideal",
                "network": name,
                "width": config.width,
                "correct": int(right.sum()),
                "images": len(right),
                "hits": pack(right),
            }
            run.log(**ideals[name])
        row = ideals[name]
        console.print(f"{name} network on ideal hardware: {100 * row['correct'] / row['images']:.2f} %")
    rows: list[dict[str, Any]] = []
    known: dict[tuple[str, int], str] = {}
    arms = _arms(config)
    seen = {arm: images[: config.sigma_images if arm.sigma_vt else config.chip_images] for arm in arms}
    with progress_bar("chips", len(config.temps) * sum(map(len, seen.values()))) as advance:
        for arm in arms:
            network = networks[arm.network]
            done = [row for row in before if row.get("phase") == "chip" and arm.key.items() <= row.items()]
            advance(len(done) * len(seen[arm]))
            known.update({(row["tables"], row["images"]): row["hits"] for row in done})
            left = [celsius for celsius in config.temps if celsius not in {row["celsius"] for row in done}]
            exact = _exact(config, network)
            for row in run_arm(network, arm, reading, left, seen[arm], config.batch, exact, known, advance):
                run.log(phase="chip", **row)
                done.append(row)
            rows += done
            worst = min(row["correct"] for row in done) / len(seen[arm])
            note = f"{arm.cell}, {arm.network} network, σ {1e3 * arm.sigma_vt:g} mV: worst {100 * worst:.1f} %"
            advance(0, note=note)
    return ideals, rows


def _setup(config: Config, reading: "Reading", digests: dict[str, str]) -> str:
    first = (
        "first convolution exact off-chip, as in the reference wrapper" if config.exact_first else "all layers on chip"
    )
    hashes = ", ".join(f"{name} {digest[:16]}" for name, digest in digests.items())
    return (
        f"VGG-8 at width {config.width:g}, {config.schedule.epochs} epochs on {config.train_images} images, then "
        f"{config.fine_tuning.epochs} more in two copies, without and with the converter of 2-bit cells in the forward "
        f"pass; {config.test_images} test images ({config.chip_images} on chips, {config.sigma_images} with static "
        f"errors, drops paired); 8-bit weights and activations, 8-row groups, 9 converter codes; 2-bit cells with "
        f"step {reading.step:g}, a weight of 0 stored as {reading.zero} (others 128); references fixed at 27 °C; "
        f"{first}. Checkpoints, sha256: {hashes}."
    )
