"""Circuits as data, and one solver for all of them.

A `Netlist` lists transistors, resistors and capacitors between named nodes; ground is "0", nodes in `drives` are held.
`operating_point` finds the voltages of the others with Newton's method, `transient` steps them through time with
backward Euler. Both are vectorised: drives, temperature and threshold shifts may have any shapes that broadcast, so one
call solves all levels, temperatures and Monte-Carlo samples at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from turnsmith.cim.device import Array, Ekv, Volts

GROUND = "0"
_MINIMUM_CONDUCTANCE = 1e-18
"""Siemens from every free node to ground, so that an isolated node has a solution."""
_STEP_LIMIT = 0.1
"""Newton moves no node further than this at a time, volts: exponentials overshoot otherwise."""
_TOLERANCE = 1e-10
"""Newton stops when no node moves further than this, volts."""


@dataclass(frozen=True, slots=True)
class Fet:
    """A transistor between three nodes; `name` is also the key of its threshold shift."""

    name: str
    drain: str
    gate: str
    source: str
    model: Ekv


@dataclass(frozen=True, slots=True)
class Resistor:
    """Ohms between two nodes."""

    name: str
    a: str
    b: str
    ohms: float


@dataclass(frozen=True, slots=True)
class Capacitor:
    """Farads between two nodes; open at the operating point."""

    name: str
    a: str
    b: str
    farads: float


@dataclass(frozen=True, slots=True)
class Netlist:
    """A circuit.

    Attributes:
        elements: what is in it.
        drives: volts of the nodes that are held.
        output: the node that is read.
    """

    elements: tuple[Fet | Resistor | Capacitor, ...]
    drives: Mapping[str, float]
    output: str

    @property
    def free_nodes(self) -> tuple[str, ...]:
        """Nodes whose voltage is to be found, in order of first mention."""
        seen: dict[str, None] = {}
        for element in self.elements:
            ends = (element.drain, element.source) if isinstance(element, Fet) else (element.a, element.b)
            for node in ends:
                if node != GROUND and node not in self.drives:
                    seen[node] = None
        return tuple(seen)


def operating_point(
    netlist: Netlist, celsius: Volts = 27.0, shifts: Mapping[str, Volts] | None = None, iterations: int = 400
) -> dict[str, Array]:
    """DC voltages of all free nodes.

    Args:
        netlist: the circuit; capacitors are open.
        celsius: temperature in °C.
        shifts: threshold shift of a transistor by name, volts; may be arrays.
        iterations: the most Newton steps.

    Returns:
        Volts of each free node, in the broadcast shape of celsius and shifts.

    Raises:
        ArithmeticError: if Newton's method does not settle.
    """
    solver = _Solver(netlist, celsius, shifts or {})
    start = np.full((*solver.shape, len(solver.nodes)), 0.5 * max(netlist.drives.values(), default=0.0))
    volts = solver.settle(start, None, 0.0, iterations)
    return {node: volts[..., index] for index, node in enumerate(solver.nodes)}


def transient(
    netlist: Netlist,
    seconds: Array,
    celsius: Volts = 27.0,
    shifts: Mapping[str, Volts] | None = None,
    initial: Mapping[str, Volts] | None = None,
) -> dict[str, Array]:
    """Voltages over time from given initial ones, by backward Euler.

    Args:
        netlist: the circuit. Nodes without a capacitor follow at once.
        seconds: times of the steps, ascending, from just after 0; shape (steps,).
        celsius, shifts: as for `operating_point`.
        initial: volts of free nodes at time 0; 0 where absent.

    Returns:
        Volts of each free node, shape (steps, *broadcast shape).
    """
    solver = _Solver(netlist, celsius, shifts or {})
    volts = np.zeros((*solver.shape, len(solver.nodes)))
    for index, node in enumerate(solver.nodes):
        volts[..., index] = (initial or {}).get(node, 0.0)
    history, last = [], 0.0
    for now in seconds:
        volts = solver.settle(volts, volts, float(now) - last, 400)
        history.append(volts)
        last = float(now)
    stacked = np.stack(history)
    return {node: stacked[..., index] for index, node in enumerate(solver.nodes)}


def element_current(
    netlist: Netlist, name: str, volts: Mapping[str, Array], celsius: Volts, shifts: Mapping[str, Volts] | None = None
) -> Array:
    """Current through one transistor (drain to source) or resistor (a to b) at solved voltages, in amperes.

    Raises:
        KeyError: if the netlist has no such element.
    """

    def at(node: str) -> Volts:
        return 0.0 if node == GROUND else netlist.drives[node] if node in netlist.drives else volts[node]

    for element in netlist.elements:
        if element.name != name or isinstance(element, Capacitor):
            continue
        if isinstance(element, Resistor):
            return np.asarray((at(element.a) - at(element.b)) / element.ohms)
        shift = (shifts or {}).get(name, 0.0)
        return element.model.current(at(element.drain), at(element.gate), at(element.source), celsius, shift)[0]
    raise KeyError(name)


class _Solver:
    """One circuit at given temperatures and shifts: residual, Jacobian, Newton."""

    def __init__(self, netlist: Netlist, celsius: Volts, shifts: Mapping[str, Volts]) -> None:
        self.netlist, self.celsius, self.shifts = netlist, np.asarray(celsius, dtype=np.float64), shifts
        self.nodes = netlist.free_nodes
        self.index = {node: index for index, node in enumerate(self.nodes)}
        self.shape = np.broadcast_shapes(self.celsius.shape, *(np.shape(shift) for shift in shifts.values()))

    def settle(self, start: Array, previous: Array | None, step: float, iterations: int) -> Array:
        """Newton from `start`; with `previous`, capacitors carry C (v − previous) / step."""
        volts = start.copy()
        for _ in range(iterations):
            residual, jacobian = self._kirchhoff(volts, previous, step)
            # Rows are scaled to their own conductance: currents span ten decades.
            scale = np.abs(jacobian).max(axis=-1, keepdims=True)
            move = -np.linalg.solve(jacobian / scale, residual[..., None] / scale)[..., 0]
            volts += np.clip(move, -_STEP_LIMIT, _STEP_LIMIT)
            if np.abs(move).max() < _TOLERANCE:
                return volts
        raise ArithmeticError(
            f"the circuit did not settle in {iterations} steps (last move {np.abs(move).max():.1e} V)"
        )

    def _kirchhoff(self, volts: Array, previous: Array | None, step: float) -> tuple[Array, Array]:
        """Current out of each free node, shape (..., nodes), and its derivative, shape (..., nodes, nodes)."""
        residual = _MINIMUM_CONDUCTANCE * volts
        jacobian = np.zeros((*volts.shape, volts.shape[-1]))
        for index in range(len(self.nodes)):
            jacobian[..., index, index] = _MINIMUM_CONDUCTANCE
        for element in self.netlist.elements:
            if isinstance(element, Fet):
                ends = (element.drain, element.source)
                current, by_drain, by_gate, by_source = element.model.current(
                    self._at(element.drain, volts),
                    self._at(element.gate, volts),
                    self._at(element.source, volts),
                    self.celsius,
                    self.shifts.get(element.name, 0.0),
                )
                slopes = [(element.drain, by_drain), (element.gate, by_gate), (element.source, by_source)]
            else:
                ends = (element.a, element.b)
                drop = self._at(element.a, volts) - self._at(element.b, volts)
                if isinstance(element, Resistor):
                    conductance, current = 1 / element.ohms, drop / element.ohms
                elif previous is None:
                    continue
                else:
                    conductance = element.farads / step
                    current = conductance * (drop - self._at(element.a, previous) + self._at(element.b, previous))
                slopes = [(element.a, conductance), (element.b, -conductance)]
            for node, sign in zip(ends, (1.0, -1.0), strict=True):
                if node not in self.index:
                    continue
                row = self.index[node]
                residual[..., row] += sign * current
                for other, slope in slopes:
                    if other in self.index:
                        jacobian[..., row, self.index[other]] += sign * slope
        return residual, jacobian

    def _at(self, node: str, volts: Array) -> Volts:
        if node in self.index:
            return volts[..., self.index[node]]
        return 0.0 if node == GROUND else self.netlist.drives[node]
