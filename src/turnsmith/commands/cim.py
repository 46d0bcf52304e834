"""`turnsmith cim`: a trained network on a temperature-drifting compute-in-memory chip.

  cells                  output, fluctuation and one read of every cell
  nmr                    noise margins of row sums
  errors                 how often a row sum is misread: static errors, temperature, rows
  tables                 mean and spread by level and by MAC value, as CSV: what system simulators take
  spice                  print an ngspice deck of a cell
  cost                   area, clock, period, energy and TOPS/W of a chip
  check                  the cost model against the reference runs
  claims                 what needs no trained network: fluctuation, noise margins, TOPS/W
  deploy MODEL           put a trained model on a chip: decisions and energy against temperature
  sweep CHECKPOINT       accuracy of a VGG-8 against temperature, every cell, as JSON or CSV
  report CHECKPOINT      per layer: area, energy split, latency, with the bits that real images put on the word lines

Training is `turnsmith run trecim`.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from turnsmith.commands import cim_circuits as circuits
from turnsmith.errors import UserError, require

if TYPE_CHECKING:
    from turnsmith.cim.array import Hardware

CELL_NAMES = ("r1-2bit", "r1-1bit", "2t1fefet", "1fefet1r")


def main(argv: list[str]) -> int:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(
        prog="turnsmith cim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="WHAT")

    def verb(name: str, help: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    cells = verb("cells", "output, fluctuation and one read of every cell", circuits.cells)
    _temps(cells, "0,25,55,85")
    cells.add_argument("--json", action="store_true", help="print JSON")

    nmr = verb("nmr", "noise margins of row sums", circuits.nmr)
    nmr.add_argument("--rows", default="8,16,32,64", help="rows that share their charge, comma-separated")
    nmr.add_argument("--kappa-mismatch", type=float, default=0.0, help="of the 2FeFET-1T, mV/K")
    nmr.add_argument("--json", action="store_true", help="print JSON")

    errors = verb("errors", "how often a row sum is misread: static errors, temperature, rows", circuits.errors)
    _temps(errors, "0,27,85")
    errors.add_argument("--rows", default="8,16,32", help="rows that share their charge, comma-separated")
    errors.add_argument("--sigmas", default="0,10,30,54", help="static threshold errors, mV, comma-separated")
    errors.add_argument("--kappa-mismatch", type=float, default=0.1, help="of the 2FeFET-1T, mV/K")
    errors.add_argument("--json", action="store_true", help="print JSON")

    tables = verb("tables", "mean and spread by level and by MAC value, as CSV", circuits.tables)
    tables.add_argument("--cell", choices=CELL_NAMES, default="r1-2bit")
    tables.add_argument("--temp", type=float, default=27.0, help="°C")
    tables.add_argument("--sigma", type=float, default=10.0, help="static threshold error, mV")
    tables.add_argument("--rows", type=int, default=8)

    spice = verb("spice", "print an ngspice deck of a cell", circuits.spice)
    spice.add_argument("--cell", choices=CELL_NAMES, default="r1-2bit")
    spice.add_argument("--level", type=int, default=3)
    spice.add_argument("--temp", type=float, default=27.0, help="°C")
    spice.add_argument("--run", action="store_true", dest="execute", help="run ngspice on it and print its result")

    cost = verb("cost", "area, clock, period, energy and TOPS/W of a chip", _cost)
    cost.add_argument("--network", default="vgg8", choices=("vgg8", "vgg8-quarter"))
    cost.add_argument("--cell", default="fefet", choices=("sram", "fefet"))
    cost.add_argument("--bits", type=int, default=1, choices=(1, 2), help="per cell")
    cost.add_argument("--node", type=int, default=22, help="22, 32 or 45 nm")
    cost.add_argument("--rows", type=int, default=128, help="read at once")
    cost.add_argument("--adc-levels", type=int, default=32)
    cost.add_argument("--json", action="store_true", help="print JSON (keys: docs/trecim.md)")

    check = verb("check", "the cost model against the reference runs", _check)
    check.add_argument("--json", action="store_true", help="print JSON")

    claims = verb("claims", "what needs no trained network: fluctuation, noise margins, TOPS/W", _claims)
    claims.add_argument("--record", action="store_true", help="write results/trecim.json")

    _add_networks(verb)
    options = parser.parse_args(argv)
    return options.run(options)


def _add_networks(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The verbs that take a trained network."""
    deploy = verb("deploy", "put a trained model on a chip: decisions and energy against temperature", _deploy)
    deploy.add_argument("model", help="an int8 VGG-8 checkpoint, or the model folder of another recipe")
    _chip(deploy, "0,27,55,85")
    deploy.add_argument("--inputs", type=int, default=200, help="how many it is judged on")

    sweep = verb("sweep", "accuracy of a VGG-8 against temperature, every cell", _sweep)
    sweep.add_argument("model", help="an int8 checkpoint, such as runs/NAME/vgg8-int8-plain.safetensors")
    _chip(sweep, "0,25,55,85", every=True)
    sweep.add_argument("--images", type=int, default=200, help="test images")
    sweep.add_argument("--csv", action="store_true", help="print CSV")

    report = verb("report", "per layer: area, energy split, latency", _report)
    report.add_argument("model", help="an int8 checkpoint")
    _chip(report, None)
    report.add_argument("--images", type=int, default=4, help="test images of the sample")


def _temps(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--temps", default=default, help=f"°C, comma-separated (default {default})")


def _chip(parser: argparse.ArgumentParser, temps: str | None, every: bool = False) -> None:
    """Options of a chip."""
    names = ("all", "ideal", *CELL_NAMES) if every else ("ideal", *CELL_NAMES)
    parser.add_argument("--cell", choices=names, default=names[0] if every else "r1-2bit")
    if temps is not None:
        _temps(parser, temps)
    parser.add_argument("--sigma", type=float, default=0.0, help="static threshold error, mV")
    parser.add_argument("--kappa-mismatch", type=float, default=0.1, help="of the 2FeFET-1T, mV/K")
    parser.add_argument("--step", type=float, default=1.0, help="converter step for 2-bit cells, MAC units")
    parser.add_argument(
        "--zero", type=int, default=128, help="what 2-bit cells store for a weight of 0 (made for them: 64 or 80)"
    )
    parser.add_argument("--adc-bits", type=int, default=3, help="of the converter, which has 2^bits + 1 codes")
    parser.add_argument("--node", type=int, default=22, help="22, 32 or 45 nm")
    parser.add_argument("--seed", type=int, default=0, help="of the static errors: which chip")
    parser.add_argument("--exact-first", action="store_true", help="keep the first layer off the chip")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _hardware(options: argparse.Namespace, name: str) -> "Hardware":
    require("torch", "cim")
    from turnsmith.cim.array import Hardware
    from turnsmith.cim.study import Arm, converter

    if name == "ideal":
        return Hardware(cell=None, adc=None, node=options.node)
    mismatch = options.kappa_mismatch * 1e-3 if name.startswith("r1") else 0.0
    adc = converter(name, options.step, options.adc_bits)
    cell = Arm(name, options.sigma * 1e-3, mismatch).build()
    return Hardware(cell=cell, adc=adc, node=options.node, stored_zero=options.zero if cell.bits == 2 else None)


def _cost(options: argparse.Namespace) -> int:
    from turnsmith.cim.chip import ChipSettings, chip_cost
    from turnsmith.cim.networks import vgg8_shapes

    settings = ChipSettings(
        cell=options.cell,
        node=options.node,
        cell_bits=options.bits,
        rows=options.rows,
        adc_levels=options.adc_levels,
    )
    cost = chip_cost(vgg8_shapes(0.25 if options.network == "vgg8-quarter" else 1.0), settings)
    if options.json:
        print(json.dumps({"network": options.network, **cost.as_dict()}, indent=1))
        return 0
    report = cost.as_dict()
    print(f"area {cost.area_mm2:.2f} mm², clock {cost.clock_ns:.3f} ns, period {cost.period_us:.2f} µs an image")
    print("energy, µJ an image: " + ", ".join(f"{name} {value:.3f}" for name, value in report["energy_uj"].items()))
    print(
        f"{cost.tops_per_watt:.2f} TOPS/W by NeuroSim's operation count, "
        f"{cost.tops_per_watt_true:.2f} by the operations performed"
    )
    print(f"{'layer':>6}{'tiles':>7}{'copies':>8}{'used':>7}{'µJ':>10}{'ADC':>8}{'acc.':>8}{'other':>8}{'µs':>10}")
    for number, (plan, layer) in enumerate(zip(cost.plan.layers, cost.layers, strict=True), start=1):
        total = layer.dynamic_pj
        shares = "".join(
            f"{100 * part / total:7.0f}%" for part in (layer.adc_pj, layer.accumulation_pj, layer.other_pj)
        )
        print(
            f"{number:6}{plan.tiles:7}{plan.speed_up:8}{100 * plan.utilisation:6.0f}%{total * 1e-6:10.4f}{shares}"
            f"{layer.latency_ns * 1e-3:10.3f}"
        )
    return 0


def _check(options: argparse.Namespace) -> int:
    from turnsmith.cim.reference import PREDICTED, RUNS, cost_errors

    errors = {run: cost_errors(run) for run in RUNS}
    if options.json:
        rows = {
            run: {e.figure: {"model": e.model, "reference": e.reference, "error": e.error} for e in found}
            for run, found in errors.items()
        }
        print(json.dumps(rows, indent=1))
        return 0
    print(
        "relative error of the cost model; counts calibrated on sram22, 45 nm converter and FeFET rows on fe45_2b_p128;"
    )
    print(f"{PREDICTED} is predicted")
    print(f"{'':18}" + "".join(f"{run:>15}" for run in RUNS))
    for index, error in enumerate(errors["sram22"]):
        print(f"{error.figure:18}" + "".join(f"{100 * found[index].error:+14.1f}%" for found in errors.values()))
    return 0


def _claims(options: argparse.Namespace) -> int:
    require("torch", "cim")
    from turnsmith.evaluate.claims import record
    from turnsmith.recipes.trecim.claims import circuit_claims, cost_claims

    found = [*circuit_claims(), *cost_claims()]
    for claim in found:
        verdict = {True: "holds", False: "does not hold", None: "no goal"}[claim.holds]
        print(f"{claim.id}: {claim.value} (goal {claim.goal or 'none'}: {verdict}; paper: {claim.paper or 'none'})")
        print(f"  {claim.note}")
    if options.record:
        print(f"recorded in {record('trecim', found, 'turnsmith cim claims --record')}")
    return 0


def _deploy(options: argparse.Namespace) -> int:
    require("torch", "cim")
    from turnsmith.cim.deploy import deploy
    from turnsmith.commands.cim_models import load_deployable
    from turnsmith.runs.progress import progress_bar

    if options.inputs < 1:
        raise UserError("--inputs is a count: 1 or more.")
    temps = circuits.numbers(options.temps, "--temps")
    target = load_deployable(options.model, options.inputs, options.device)
    hardware = _hardware(options, options.cell)
    exact = options.exact_first
    if options.json:
        print(json.dumps(deploy(target, hardware, temps, options.seed, exact_first=exact).as_dict(), indent=1))
        return 0
    with progress_bar(f"{target.name} on {options.cell}", len(target.inputs) * (2 + len(temps))) as advance:
        found = deploy(target, hardware, temps, options.seed, on_batch=advance, exact_first=exact)
    print(f"{found.name}: {len(found.on_chip)} layers on the chip, {found.microjoules:.4g} µJ a decision, ", end="")
    print(f"{found.area_mm2:.3g} mm²")
    for row in found.rows:
        place = row.where if row.celsius is None else f"{row.where}, {row.celsius:g} °C"
        scores = "".join(f", {name} {value:.4g}" for name, value in row.scores.items())
        print(f"  {place:28} decisions as before {100 * row.agreement:6.2f} %{scores}")
    if found.digital:
        print("stays digital: " + ", ".join(f"{name} ({why})" for name, why in found.digital.items()))
    return 0


def _sweep(options: argparse.Namespace) -> int:
    rows = _sweep_rows(options, ("ideal", *CELL_NAMES) if options.cell == "all" else (options.cell,))
    if options.json:
        print(json.dumps(rows, indent=1))
    elif options.csv:
        writer = csv.DictWriter(sys.stdout, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    else:
        print(f"{'cell':10}{'°C':>6}{'accuracy':>10}{'95 % interval':>18}{'wrong codes':>13}")
        for row in rows:
            bounds = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
            wrong = "" if row["wrong_codes"] is None else f"{100 * row['wrong_codes']:.2f} %"
            print(f"{row['cell']:10}{row['celsius']:6g}{100 * row['accuracy']:8.2f} %{bounds:>18}{wrong:>13}")
    return 0


def _sweep_rows(options: argparse.Namespace, cells: Sequence[str]) -> list[dict[str, Any]]:
    require("torch", "cim")
    from turnsmith.cim.cifar import load_cifar10
    from turnsmith.cim.conversion import convert, sweep
    from turnsmith.cim.int8 import load_int8

    temps = circuits.numbers(options.temps, "--temps")
    network, _ = load_int8(options.model)
    network = network.to(options.device)
    images = load_cifar10("test", options.images).to(options.device)
    rows = []
    for cell in cells:
        chip = convert(network, _hardware(options, cell), options.seed, _first(network) if options.exact_first else ())
        for row in sweep(chip, list(images.batches(50)), temps):
            rows.append(
                {
                    "cell": cell,
                    "celsius": row.celsius,
                    "accuracy": row.accuracy,
                    "low": row.ci95[0],
                    "high": row.ci95[1],
                    "images": row.images,
                    "wrong_codes": row.code_errors,
                }
            )
    return rows


def _first(network: Any) -> tuple[str, ...]:
    from turnsmith.cim.quantization import quant_layers

    return (next(iter(quant_layers(network))),)


def _report(options: argparse.Namespace) -> int:
    require("torch", "cim")
    from turnsmith.cim.cifar import load_cifar10
    from turnsmith.cim.conversion import convert, set_temperature
    from turnsmith.cim.int8 import load_int8
    from turnsmith.cim.network_cost import report

    network, _ = load_int8(options.model)
    network = network.to(options.device)
    images = load_cifar10("test", options.images).to(options.device)
    exact = _first(network) if options.exact_first else ()
    chip = convert(network, _hardware(options, options.cell), options.seed, exact)
    set_temperature(chip, 27.0)
    found = report(chip, next(iter(images.batches(options.images)))[0])
    if options.json:
        print(json.dumps(found.as_dict(), indent=1))
        return 0
    print(f"{found.microjoules:.4g} µJ a decision, {found.cost.area_mm2:.3g} mm², {found.cost.period_us:.4g} µs")
    print(f"{found.cost.tops_per_watt_true:.2f} TOPS/W by the operations performed")
    for name, layer in zip(found.names, found.cost.layers, strict=True):
        print(
            f"  layer {name:5} {layer.dynamic_pj * 1e-6:9.4f} µJ: ADC {100 * layer.adc_pj / layer.dynamic_pj:3.0f} %, "
            f"accumulation {100 * layer.accumulation_pj / layer.dynamic_pj:3.0f} %, {layer.latency_ns * 1e-3:8.2f} µs"
        )
    return 0
