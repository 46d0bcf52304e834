"""The claims of TReCiM, from circuits, the cost model and a finished study, each with what it was measured on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from turnsmith.cim import spice
from turnsmith.cim.cells import CELLS, TwoFeFETOneT
from turnsmith.cim.chip import ChipSettings, chip_cost
from turnsmith.cim.networks import vgg8_shapes
from turnsmith.cim.study import ChipRow, IdealRow, unpack
from turnsmith.evaluate.claims import Claim
from turnsmith.evaluate.stats import paired_bootstrap, wilson

RECONSTRUCTION = "The cell netlist is our reconstruction: the paper's body was not available."
MISMATCH = 1e-4
"""κ mismatch between the two FeFETs of the clamp cell in every claim about it, V/K."""


def circuit_claims() -> list[Claim]:
    """Fluctuation and noise margins: circuits alone, no network."""
    matched, mismatched = CELLS["r1-2bit"], TwoFeFETOneT(bits=2, kappa_mismatch=MISMATCH)
    baseline = CELLS["1fefet1r"].fluctuation()
    swing = mismatched.fluctuation()
    note = (
        f"F = max over 0 to 85 °C of |V(T)/V(25 °C) - 1|, worst non-zero level: 2FeFET-1T {100 * swing:.2f} % with κ "
        f"mismatch 0.1 mV/K ({100 * matched.fluctuation():.2f} % matched), 1FeFET-1R {100 * baseline:.1f} %. "
    )
    if spice.available():
        worst = max(_bsim4_fluctuation(delta) for delta in (0.1, 0.2, 0.3))
        single = _bsim4_fluctuation(None)
        note += f"ngspice with BSIM4, independent physics: {100 * worst:.2f} % against {100 * single:.1f} %, "
        note += f"ratio {single / worst:.0f}. "
    margins = {name: [round(cell.nmr(rows), 2) for rows in (8, 16, 32, 64)] for name, cell in CELLS.items()}
    table = "; ".join(f"{CELLS[name].name} {values}" for name, values in margins.items())
    return [
        Claim(
            id="fluctuation_ratio",
            claim="Output fluctuation over 0 to 85 °C: 1FeFET-1R over 2FeFET-1T.",
            value=round(baseline / swing, 1),
            goal=">= 3",
            paper="3 times better than 1FeFET-1R (secondary source)",
            baseline=round(baseline, 4),
            note=note + RECONSTRUCTION,
        ),
        Claim(
            id="nmr_min_r1_2bit_8rows",
            claim="Smallest noise margin rate of the 2-bit 2FeFET-1T cell over 8 rows, 0 to 85 °C.",
            value=round(matched.nmr(8), 3),
            goal="== 1.51 +- 0.02",
            baseline=round(CELLS["1fefet1r"].nmr(8), 3),
            note=f"Dynamic programming over rows, exact. At 8, 16, 32, 64 rows: {table}. With κ mismatch 0.1 mV/K the "
            f"2-bit cell has {mismatched.nmr(8):.2f} at 8 rows. " + RECONSTRUCTION,
        ),
    ]


def _bsim4_fluctuation(delta: float | None) -> float:
    volts = [spice.run_deck(spice.bsim4_deck(delta, celsius))["a"] for celsius in (0, 25, 55, 85)]
    return max(abs(v / volts[1] - 1) for v in volts)


def cost_claims() -> list[Claim]:
    """System efficiency of full VGG-8, with both read styles at both nodes."""

    def efficiency(node: int, bits: int, rows: int, levels: int) -> float:
        return chip_cost(
            vgg8_shapes(), ChipSettings(node=node, cell_bits=bits, rows=rows, adc_levels=levels)
        ).tops_per_watt

    grid = "; ".join(
        f"{node} nm {bits}-bit {rows} rows {levels} levels: {efficiency(node, bits, rows, levels):.1f}"
        for node in (22, 45)
        for bits in (1, 2)
        for rows, levels in ((128, 32), (8, 8))
    )
    true = chip_cost(vgg8_shapes(), ChipSettings(cell_bits=2)).tops_per_watt_true
    note = (
        "NeuroSim's operation count, which counts padded positions that are not computed; by operations performed the "
        f"22 nm figure is {true:.1f}. Cost model calibrated on one reference run (docs/trecim.md). All: {grid}. "
    )
    return [
        Claim(
            id="tops_per_w_22nm_2bit",
            claim="TOPS/W of VGG-8 on 2-bit FeFET cells at 22 nm, 128 rows read at once, 32-level converter.",
            value=round(efficiency(22, 2, 128, 32), 2),
            paper="48.03 with 2-bit cells, 26.06 with 1-bit cells (node and precision not known)",
            baseline=round(efficiency(22, 1, 128, 32), 2),
            note=note + "Baseline: 1-bit cells, same chip. ",
        ),
        Claim(
            id="tops_per_w_45nm_2bit_8rows",
            claim="TOPS/W of VGG-8 on 2-bit FeFET cells at 45 nm, 8 rows at a time, 3-bit converter.",
            value=round(efficiency(45, 2, 8, 8), 2),
            paper="48.03 (node not known)",
            baseline=round(efficiency(45, 1, 8, 8), 2),
            note=note + "Eight rows at 45 nm do not reach the paper's figure in any precision. ",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Drop:
    """A row of the table: what a cell loses at its worst temperature.

    Attributes:
        id: of the claim.
        cell: in `CELLS`.
        words: what it is called.
        goal, paper: of the claim.
    """

    id: str
    cell: str
    words: str
    goal: str = ""
    paper: str = ""


DROPS = (
    Drop(
        "max_drop_points_r1_2bit", "r1-2bit", "2-bit 2FeFET-1T", "<= 1",
        "1.86 points better than 2T-1FeFET's published accuracy",
    ),
    Drop("max_drop_points_r1_1bit", "r1-1bit", "1-bit 2FeFET-1T"),
    Drop("drop_points_1fefet1r", "1fefet1r", "1FeFET-1R"),
    Drop("drop_points_2t1fefet", "2t1fefet", "2T-1FeFET"),
)  # fmt: skip


def accuracy_claims(
    ideals: Mapping[str, IdealRow], rows: Sequence[ChipRow], setup: str, seeds: tuple[int, ...]
) -> list[Claim]:
    """Ideal accuracy and the largest drop of each cell over temperature.

    A drop is against the plain network on ideal hardware, and for a chip that runs another network against that one on
    ideal hardware too: the larger counts. Bare ids are of the full network, the paper's; ids of a narrower one end with
    its width, so that runs of both are recorded side by side.

    Args:
        ideals: the integer networks by name ("plain", "converter").
        rows: of all arms.
        setup: what was run, in words.
        seeds: of chips and training.
    """
    ideal, tuned = ideals["plain"], ideals.get("converter")
    suffix, at_width = _width_suffix(ideal.width), f"VGG-8 at width {ideal.width:g}"
    trained = "" if tuned is None else f" The network trained with the converter has {_accuracy(tuned):.2f} there. "
    claims = [
        Claim(
            id="ideal_accuracy",
            claim=f"CIFAR-10 test accuracy of the integer {at_width}, which ideal hardware equals bit by bit, percent.",
            value=_accuracy(ideal),
            goal=">= 90" if ideal.width == 1 else "",
            paper="91.31 (2-bit cells, VGG-8)",
            ci95=_percent(wilson(ideal.correct, ideal.images)),
            note=setup + trained.rstrip(),
        )
    ]
    measured = {row.arm.cell for row in rows if row.arm.sigma_vt == 0}
    claims += [_drop_claim(drop, ideals, rows, at_width, setup) for drop in DROPS if drop.cell in measured]
    return [replace(claim, id=claim.id + suffix, seeds=seeds) for claim in claims]


def _drop_claim(
    drop: Drop, ideals: Mapping[str, IdealRow], rows: Sequence[ChipRow], at_width: str, setup: str
) -> Claim:
    chosen = headline(rows, drop.cell, 0.0)
    own, kappa = chosen[0].arm.network, chosen[0].arm.kappa_mismatch
    drops = {row.celsius: _drop(ideals, row) for row in chosen}
    worst = max(drops, key=lambda celsius: drops[celsius][0])
    others = _describe(ideals, [row for row in rows if row.arm.cell == drop.cell and row not in chosen])
    against = ""
    if own != "plain":
        hot = next(row for row in chosen if row.celsius == worst)
        against = (
            f"Network trained with the converter: {_paired(ideals['plain'], hot)[0]:.2f} against the plain one on "
            f"ideal hardware ({_accuracy(ideals['plain'])} %), {_paired(ideals[own], hot)[0]:.2f} against itself there "
            f"({_accuracy(ideals[own])} %): the larger counts. "
        )
    by_temperature = ", ".join(f"{celsius:g} °C {value[0]:.2f}" for celsius, value in sorted(drops.items()))
    return Claim(
        id=drop.id,
        claim=f"Largest loss of accuracy of {drop.words} against ideal hardware over 0 to 85 °C, {at_width}, points.",
        value=round(drops[worst][0], 2),
        goal=drop.goal,
        paper=drop.paper,
        baseline=_accuracy(ideals["plain"]),
        ci95=(round(drops[worst][1], 2), round(drops[worst][2], 2)),
        note=f"Worst at {worst:g} °C; by temperature: {by_temperature}. κ mismatch {1e3 * kappa:g} mV/K, "
        f"no static threshold error. {against}Others: {others or 'none'}. {setup} {RECONSTRUCTION}",
    )


def headline(rows: Sequence[ChipRow], cell: str, sigma_vt: float) -> list[ChipRow]:
    """Rows of the chip that figures are about: mismatched where there is something to match, with the network made for
    its converter."""
    mine = [row for row in rows if row.arm.cell == cell and row.arm.sigma_vt == sigma_vt]
    kappa = max((row.arm.kappa_mismatch for row in mine), default=0.0)
    own = "converter" if any(row.arm.network == "converter" for row in mine) else "plain"
    return [row for row in mine if row.arm.kappa_mismatch == kappa and row.arm.network == own]


def _width_suffix(width: float) -> str:
    """What tells the ids of networks of several widths apart."""
    return {1.0: "", 0.25: "_quarter"}.get(width, f"_width_{width:g}")


def _accuracy(ideal: IdealRow) -> float:
    return round(100 * ideal.correct / ideal.images, 2)


def _drop(ideals: Mapping[str, IdealRow], row: ChipRow) -> tuple[float, float, float]:
    """Points lost with their interval, against the reference that makes them most."""
    return max(_paired(ideals[name], row) for name in {"plain", row.arm.network})


def _paired(ideal: IdealRow, row: ChipRow) -> tuple[float, float, float]:
    """Points lost against one reference on the same images, with the paired bootstrap interval."""
    right = unpack(row.hits, row.images).astype(float)
    reference = unpack(ideal.hits, ideal.images)[: len(right)].astype(float)
    mean, low, high = paired_bootstrap(right.tolist(), reference.tolist(), resamples=2000)
    return 100 * mean, 100 * low, 100 * high


def _points(ideals: Mapping[str, IdealRow], row: ChipRow) -> float:
    """Points lost, as `_drop` has them, without an interval."""
    right = unpack(row.hits, row.images).astype(float)
    references = (unpack(ideals[name].hits, ideals[name].images)[: len(right)] for name in {"plain", row.arm.network})
    return max(100 * float((reference.astype(float) - right).mean()) for reference in references)


def _describe(ideals: Mapping[str, IdealRow], rows: Sequence[ChipRow]) -> str:
    """The worst temperature of each other chip."""
    chips: dict[tuple[str, float, float, int], list[tuple[float, float]]] = {}
    for row in rows:
        key = row.arm.network, row.arm.sigma_vt, row.arm.kappa_mismatch, row.arm.seed
        chips.setdefault(key, []).append((_points(ideals, row), row.celsius))
    return "; ".join(
        f"{network} network, σ {1e3 * sigma:g} mV, κ mismatch {1e3 * kappa:g} mV/K, chip {seed}: "
        f"{max(drops)[0]:.2f} at {max(drops)[1]:g} °C"
        for (network, sigma, kappa, seed), drops in sorted(chips.items())
    )


def _percent(bounds: tuple[float, float]) -> tuple[float, float]:
    return round(100 * bounds[0], 2), round(100 * bounds[1], 2)
