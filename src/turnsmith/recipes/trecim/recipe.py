"""TReCiM (arXiv 2501.01052): a trained network on a FeFET compute-in-memory chip whose temperature drifts.

    circuits:  every cell from 0 to 85 °C, noise margins of row sums                     no training
    train:     VGG-8 with 8-bit weights and activations on CIFAR-10                      resumable
    fine-tune: two copies for as many steps again: as before ("plain"), and with the converter of 2-bit cells in the
               forward pass ("converter"), since nine codes clip their row sums at every temperature
    chips:     ideal cells, 1FeFET-1R, 2T-1FeFET and 1-bit 2FeFET-1T run the plain network, 2-bit 2FeFET-1T the other;
               at each temperature the same test images count what they get wrong that ideal hardware gets right
    cost:      area, energy and TOPS/W at 22 and 45 nm

Converters keep the references that they were given at 27 °C. The cell netlist is a reconstruction (README.md).
`laptop` trains the quarter-width network on two cores; `gpu` and `paper` train the full one.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from turnsmith.cim.cells import CELLS
from turnsmith.cim.cifar import Images, augmented, load_cifar10, synthetic
from turnsmith.cim.converter_training import converter_in_the_loop
from turnsmith.cim.int8 import load_int8, save_int8
from turnsmith.cim.networks import fold_batch_norm, vgg8
from turnsmith.cim.quantization import keep_above, quant_layers, quantize
from turnsmith.cim.study import Arm, ChipRow, IdealRow, Reading, choose_reading, ideal_hits, pack, perfect_2bit, run_arm
from turnsmith.cim.training import accuracy, classification_loss, train
from turnsmith.errors import UserError
from turnsmith.evaluate.claims import record
from turnsmith.recipes.trecim.claims import MISMATCH, accuracy_claims, circuit_claims, cost_claims
from turnsmith.recipes.trecim.config import Config, Schedule
from turnsmith.recipes.trecim.report import write_page
from turnsmith.runs.config import command_of, to_json
from turnsmith.runs.once import JsonFormat
from turnsmith.runs.progress import console, progress_bar
from turnsmith.runs.run import Run

READING: JsonFormat[Reading] = JsonFormat(lambda row: Reading(**row), asdict)
IDEAL: JsonFormat[IdealRow] = JsonFormat(lambda row: IdealRow(**row), asdict)
CHIP: JsonFormat[ChipRow] = JsonFormat(ChipRow.from_json, asdict)


def main(config: Config) -> Path:
    """Run the recipe, or go on with a run that was stopped.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: if something that the user can mend is missing or wrong.
    """
    if config.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("no CUDA device is there. Add --device cpu, or use the laptop preset.")
    torch.backends.cudnn.benchmark = True
    if config.threads:
        torch.set_num_threads(config.threads)
    with Run(Path("runs") / config.name, to_json("trecim", config)) as run:
        return _main(config, run)


def _main(config: Config, run: Run) -> Path:
    run.report(status="running", recipe="trecim", config=run.config)
    claims = [*circuit_claims(), *cost_claims()]
    networks, reading, digests = trained_networks(config, run)
    ideals = ideal_rows(config, run, networks)
    rows = chip_rows(config, run, networks, reading)
    claims += accuracy_claims(ideals, rows, _setup(config, reading, digests), (config.seed,))
    run.report(status="done", claims=[{**asdict(claim), "holds": claim.holds} for claim in claims], sha256=digests)
    if config.preset_name != "smoke":
        console.print(f"recorded {record('trecim', claims, command_of('trecim', config))}")
    log = [row for row in run.metrics() if row.get("phase") in ("train", *networks)]
    page = write_page(run.folder, claims, ideals["plain"], rows, log)
    console.print(f"report: {page}")
    return page


def _images(config: Config, split: str, count: int) -> Images:
    if config.data == "synthetic":
        return synthetic(count, {"train": 0, "validation": 1, "test": 2}[split]).to(config.device)
    return load_cifar10(split, count).to(config.device)


# -- training


def trained_networks(config: Config, run: Run) -> tuple[dict[str, nn.Module], Reading, dict[str, str]]:
    """The plain network and the one trained with the converter, how 2-bit cells are written and read, files' hashes.

    What the chips run is what the int8 files hold.
    """

    def file(name: str) -> Path:
        return run.folder / f"vgg8-int8-{name}.safetensors"

    def made() -> dict[str, str]:
        networks, reading = _train(config, run)
        notes = {"reading": asdict(reading), **{name: asdict(getattr(config, name)) for name in _SCHEDULES}}
        digests = {}
        for name, network in networks.items():
            log = [row for row in run.metrics() if row.get("phase") in ("train", name)]
            digests[name] = save_int8(file(name), network, config.width, {**notes, "log": log})
            console.print(f"{file(name)}: {file(name).stat().st_size / 1e6:.1f} MB, sha256 {digests[name]}")
        return digests

    digests = run.once("networks", {"seed": config.seed}, made)
    reading = READING.read(run.folder / "made" / "reading")
    networks = {name: load_int8(file(name))[0].to(config.device) for name in digests}
    return networks, reading, digests


_SCHEDULES = ("schedule", "fine_tuning")


def _train(config: Config, run: Run) -> tuple[dict[str, nn.Module], Reading]:
    """Train, choose the reading, fine-tune both copies; each goes on from its last checkpoint."""
    images = _images(config, "train", config.train_images)
    validation = _images(config, "validation", config.validation_images)
    network = vgg8(config.width, config.seed, config.batch_norm)
    trained = (network if config.batch_norm else quantize(network)).to(config.device)
    fit = partial(_fit, config, run, images, validation)
    fit(trained, "train", config.schedule, config.seed)
    if config.batch_norm:
        sample = [x for x, _ in images[:1000].batches(250)]
        trained = quantize(fold_batch_norm(network), sample=sample)
    exact = _exact(config, trained)

    def chosen() -> Reading:
        reading, tried = choose_reading(trained, validation, config.batch, exact)
        console.print(f"2-bit cells: {reading}; validation accuracy {tried}")
        return reading

    reading = run.once("reading", {"seed": config.seed}, chosen, READING)
    networks = {"plain": copy.deepcopy(trained), "converter": trained}
    # Another seed: the order of the images is not that of the first epochs again.
    fit(networks["plain"], "plain", config.fine_tuning, config.seed + 1)
    keep_above(networks["converter"], -reading.zero, exact)
    with converter_in_the_loop(networks["converter"], perfect_2bit(reading), exact) as network:
        fit(network, "converter", config.fine_tuning, config.seed + 1)
    return networks, reading


def _fit(
    config: Config,
    run: Run,
    images: Images,
    validation: Images,
    network: nn.Module,
    phase: str,
    schedule: Schedule,
    seed: int,
) -> None:
    """Train in place, going on from the last checkpoint; one row of metrics an epoch, named by the phase."""
    steps = len(images) // schedule.batch
    logged = {row["epoch"] for row in run.metrics() if row.get("phase") == phase}
    started = time.monotonic()

    def after_epoch(epoch: int, loss: float) -> None:
        correct, total = accuracy(network.eval(), validation.batches(250))
        seconds = round(time.monotonic() - started, 1)
        if epoch not in logged:
            run.log(phase=phase, epoch=epoch, loss=loss, validation=correct / total, seconds=seconds)
        console.print(f"{phase}, epoch {epoch}: loss {loss:.3f}, validation {100 * correct / total:.1f} %, {seconds} s")

    with progress_bar(phase, steps * schedule.epochs) as advance:
        train(
            network,
            lambda epoch, start: augmented(images, schedule.batch, seed, epoch, start, schedule.cutout),
            schedule.optim(steps),
            steps,
            run.folder / "checkpoints" / phase,
            after_epoch,
            _advancing(advance),
            classification_loss(schedule.loss, schedule.label_smoothing),
        )


def _advancing(advance: Callable[..., None]) -> Callable[[Tensor], None]:
    """Move a bar by one a step; reading a loss waits for the device, so now and then is enough."""
    count = 0

    def after_step(loss: Tensor) -> None:
        nonlocal count
        count += 1
        advance(1, note=f"loss {float(loss):.3f}" if count % 50 == 0 else None)

    return after_step


# -- chips


def _exact(config: Config, network: nn.Module) -> tuple[str, ...]:
    """Layers that stay off the arrays."""
    return (next(iter(quant_layers(network))),) if config.exact_first else ()


def compared(config: Config) -> list[Arm]:
    """Every cell without static errors (the clamp cell matched, and with κ mismatch), then with them.

    Last of those without is what the clamp cell of two bits makes of a network that was not trained for its converter.
    """

    def chip(cell: str, sigma: float = 0.0, mismatch: float = 0.0, seed: int = 0) -> Arm:
        return Arm(cell, sigma, mismatch, seed, "converter" if CELLS[cell].bits == 2 else "plain")

    mismatches = {cell: MISMATCH if cell.startswith("r1") else 0.0 for cell in CELLS}
    arms = [chip(cell) for cell in CELLS]
    arms += [chip(cell, mismatch=mismatch) for cell, mismatch in mismatches.items() if mismatch]
    arms.append(Arm("r1-2bit", kappa_mismatch=MISMATCH, network="plain"))
    for sigma in config.sigmas:
        arms += [chip(cell, sigma, mismatch, seed) for cell, mismatch in mismatches.items() for seed in config.chips]
    return arms


def ideal_rows(config: Config, run: Run, networks: dict[str, nn.Module]) -> dict[str, IdealRow]:
    """What the integer networks get right, which ideal hardware equals bit by bit."""
    images = _images(config, "test", config.test_images)

    def measured(name: str) -> IdealRow:
        right = ideal_hits(networks[name], images, config.batch)
        return IdealRow(name, config.width, int(right.sum()), len(right), pack(right))

    rows = {}
    for name in networks:
        row = rows[name] = run.once(f"ideal/{name}", {"images": config.test_images}, partial(measured, name), IDEAL)
        console.print(f"{name} network on ideal hardware: {100 * row.correct / row.images:.2f} %")
    return rows


def chip_rows(config: Config, run: Run, networks: dict[str, nn.Module], reading: Reading) -> list[ChipRow]:
    """Every chip at every temperature; what the run has already is not run again."""
    images = _images(config, "test", config.test_images)
    arms = compared(config)
    seen = {arm: images[: config.sigma_images if arm.sigma_vt else config.chip_images] for arm in arms}
    rows: list[ChipRow] = []
    known: dict[tuple[str, int], str] = {}
    with progress_bar("chips", len(config.temps) * sum(map(len, seen.values()))) as advance:
        for arm in arms:
            network, own = networks[arm.network], seen[arm]
            done = 0
            for celsius in config.temps:

                def measured(arm: Arm = arm, celsius: float = celsius) -> ChipRow:
                    exact = _exact(config, networks[arm.network])
                    ran = run_arm(network, arm, reading, [celsius], own, config.batch, exact, known, counted)  # noqa: B023
                    return next(iter(ran))

                def counted(images: int) -> None:
                    nonlocal done
                    done += images
                    advance(images)

                done = 0
                inputs = {"arm": asdict(arm), "celsius": celsius, "images": len(own), "reading": asdict(reading)}
                row = run.once(f"chips/{arm.name}/{celsius:g}", inputs, measured, CHIP)
                advance(len(own) - done)
                known[row.tables, row.images] = row.hits
                rows.append(row)
            worst = min(row.correct for row in rows if row.arm == arm) / len(own)
            note = f"{arm.cell}, {arm.network} network, σ {1e3 * arm.sigma_vt:g} mV: worst {100 * worst:.1f} %"
            advance(0, note=note)
    return rows


def _setup(config: Config, reading: Reading, digests: dict[str, str]) -> str:
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
