"""Put any trained model on the chip and ask what temperature does to its decisions, and what a decision costs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from turnsmith.cim.array import Hardware
from turnsmith.cim.conversion import convert, set_temperature
from turnsmith.cim.network_cost import report
from turnsmith.cim.quantization import IntegerNetwork, digital_layers, quant_layers, quantize


@dataclass(frozen=True)
class Deployable:
    """A trained model with what is needed to judge it.

    Attributes:
        name: for tables.
        model: takes a batch of inputs, returns a tensor, batch first.
        inputs: what it is judged on.
        agreement: share of decisions that are the same, of two outputs.
        scores: named figures of an output, such as accuracy where labels are known; may be empty.
        calibration: inputs that set the scales of activations; None if the model is quantised already.
    """

    name: str
    model: nn.Module
    inputs: Tensor
    agreement: Callable[[Tensor, Tensor], float]
    scores: Callable[[Tensor], dict[str, float]] = field(default=lambda _: {})
    calibration: Tensor | None = None


@dataclass(frozen=True, slots=True)
class DeployRow:
    """The model at one temperature, or digital.

    Attributes:
        where: "float", "int8", or the cell's name.
        celsius: the temperature; None for digital rows.
        agreement: share of decisions equal to those of the model as it was given.
        scores: as `Deployable.scores`.
    """

    where: str
    celsius: float | None
    agreement: float
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Deployment:
    """What `deploy` found.

    Attributes:
        name: of the model.
        rows: digital rows, then one a temperature.
        microjoules: energy of one decision on the chip, post-layout factor included.
        area_mm2: of the chip.
        on_chip, digital: layer names on arrays; layers that are not, and why.
    """

    name: str
    rows: tuple[DeployRow, ...]
    microjoules: float
    area_mm2: float
    on_chip: tuple[str, ...]
    digital: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """JSON."""
        return asdict(self)


@torch.no_grad()
def deploy(
    target: Deployable,
    hardware: Hardware,
    temps: Sequence[float],
    seed: int = 0,
    batch: int = 64,
    on_batch: Callable[[int], None] | None = None,
    exact_first: bool = False,
) -> Deployment:
    """Quantise, convert, and run at each temperature.

    Args:
        target: the model and its inputs.
        hardware: the chip.
        temps: °C.
        seed: of the chip's static errors.
        batch: inputs at a time.
        on_batch: called with the number of inputs just done; all rows together take inputs · (2 + temps).
        exact_first: keep the first layer off the arrays.

    Returns:
        Agreement and scores by temperature, and the energy of a decision.
    """

    def outputs(network: nn.Module) -> Tensor:
        found = []
        for part in target.inputs.split(batch):
            found.append(network(part))
            if on_batch is not None:
                on_batch(len(part))
        return torch.cat(found)

    quantized = target.model.eval() if quant_layers(target.model) else quantize(target.model, sample=target.calibration)
    original = outputs(target.model.eval())
    integer = outputs(IntegerNetwork(quantized))
    rows = [
        DeployRow("float", None, 1.0, target.scores(original)),
        DeployRow("int8", None, target.agreement(integer, original), target.scores(integer)),
    ]
    exact = tuple(quant_layers(quantized))[:1] if exact_first else ()
    network = convert(quantized, hardware, seed, exact)
    where = "ideal hardware" if hardware.cell is None else hardware.cell.name
    for celsius in temps:
        set_temperature(network, celsius)
        found = outputs(network)
        rows.append(DeployRow(where, celsius, target.agreement(found, original), target.scores(found)))
    cost = report(network, target.inputs[: min(batch, len(target.inputs))])
    digital = digital_layers(network) | dict.fromkeys(exact, "first layer, kept exact")
    return Deployment(target.name, tuple(rows), cost.microjoules, cost.cost.area_mm2, cost.names, digital)


def same_argmax(first: Tensor, second: Tensor) -> float:
    """Agreement of classifiers."""
    return float((first.argmax(-1) == second.argmax(-1)).float().mean())


def within(distance: float) -> Callable[[Tensor, Tensor], float]:
    """Agreement of regressors: share of outputs that are no further apart than `distance` (Euclidean, last axis)."""

    def agreement(first: Tensor, second: Tensor) -> float:
        return float(((first - second).norm(dim=-1) <= distance).float().mean())

    return agreement
