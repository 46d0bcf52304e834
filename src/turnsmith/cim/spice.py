"""ngspice decks of the cells, and how to run them: the independent check of our solver and of our device physics.

Two kinds of deck. `ekv_deck` writes any cell with the EKV current as behavioural sources: the same physics in another
simulator, so node voltages must agree to well under 0.1 mV. `bsim4_deck` writes the clamp cell and the 1FeFET-1R with
BSIM4 transistors: other physics, so only the behaviour can be compared (the clamp cell hardly moves with temperature).
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from turnsmith.cim.cells import Cell
from turnsmith.cim.device import T_NOMINAL, thermal_voltage
from turnsmith.cim.netlist import Capacitor, Fet, Resistor
from turnsmith.errors import UserError

# Long-channel BSIM4 (level 14): lateral non-uniformity off (lpe0, lpeb), short-channel effects off.
_BSIM4 = (
    ".model n1 nmos level=14 toxe=1.8n vth0=0.45 nfactor=1.3 u0=0.03 ndep=3e18 kt1=-0.11 ute=-1.5 lpe0=0 lpeb=0 "
    "k1=0.35 k2=0 k3=0 dvt0=0 eta0=0 etab=0 voff=-0.08 rdsw=100 cdsc=0 xj=50n kt1l=0 kt2=0"
)


def available() -> bool:
    """Whether ngspice is on this machine."""
    return shutil.which("ngspice") is not None


def ekv_deck(cell: Cell, level: int, temp: float, transient_seconds: float | None = None) -> str:
    """A deck of the cell while its input bit is 1, the EKV current written as behavioural sources.

    Args:
        cell: any cell.
        level: the stored level.
        temp: °C; written into the constants, since behavioural sources know no temperature.
        transient_seconds: when given, the pass transistor and capacitor are included and a transient from 0 V is run.

    Returns:
        The deck as text; it prints every free node.
    """
    circuit = cell.netlist() if transient_seconds is None else cell.reading_circuit()
    shift = {cell.stored: cell.level_shifts()[level]}
    lines = [f"* {cell.name}, level {level}, {temp:g} C"]
    lines += [f"V{node} {node} 0 {volts:.12g}" for node, volts in circuit.drives.items()]
    for element in circuit.elements:
        if isinstance(element, Fet):
            lines.append(_ekv_source(element, temp, float(shift.get(element.name, 0.0))))
        elif isinstance(element, Resistor):
            lines.append(f"R{element.name} {element.a} {element.b} {element.ohms:.12g}")
        elif isinstance(element, Capacitor):
            lines.append(f"C{element.name} {element.a} {element.b} {element.farads:.12g} ic=0")
    nodes = " ".join(f"v({node})" for node in circuit.free_nodes)
    if transient_seconds is None:
        run = ["op", f"print {nodes}"]
    else:
        initial = " ".join(f"v({node})=0" for node in circuit.free_nodes)
        lines.append(f".ic {initial}")
        final = " ".join(f"{node.lower()}_end" for node in circuit.free_nodes)
        run = [f"tran {transient_seconds / 2000:.6g} {transient_seconds:.6g} uic"]
        run += [f"let {node.lower()}_end = v({node})[length(v({node}))-1]" for node in circuit.free_nodes]
        run += [f"print {final}"]
    options = ".options reltol=1e-7 abstol=1e-18 vntol=1e-9 gmin=1e-18"
    return "\n".join([*lines, options, ".control", "set numdgt=10", *run, "quit", ".endc", ".end", ""])


def _ekv_source(fet: Fet, temp: float, shift: float) -> str:
    model, kelvin = fet.model, temp + 273.15
    ut = float(thermal_voltage(temp))
    threshold = model.threshold + shift - model.kappa * (kelvin - T_NOMINAL)
    beta = model.beta * (kelvin / T_NOMINAL) ** -model.mobility_exponent
    scale = 2 * model.slope * beta * ut**2

    def half(node: str) -> str:
        pinch = f"(v({fet.gate})-({threshold:.12g}))/{model.slope:.12g}"
        return f"ln(1+exp(({pinch}-v({node}))/{2 * ut:.12g}))**2"

    return f"B{fet.name} {fet.drain} {fet.source} i={scale:.12g}*({half(fet.source)}-{half(fet.drain)})"


def bsim4_deck(delta: float | None, temp: float, v_read: float = 0.35, ohms: float = 10e6) -> str:
    """A deck with BSIM4 transistors.

    Args:
        delta: ΔV of the clamp cell in volts, applied by lowering the gate of the lower transistor; None for the
            1FeFET-1R with the resistor `ohms`.
        temp: °C.
        v_read: the read line, volts.
        ohms: the resistor of the 1FeFET-1R.
    """
    lines = [f"* BSIM4, {temp:g} C", _BSIM4, f"Vr r 0 {v_read:.12g}", "M1 r r a 0 n1 w=300n l=100n"]
    if delta is None:
        lines.append(f"R1 a 0 {ohms:.12g}")
    else:
        lines += [f"Vg2 g2 0 {v_read - delta:.12g}", "M2 a g2 0 0 n1 w=300n l=100n"]
    options = f".options temp={temp:.12g} reltol=1e-7 abstol=1e-18 vntol=1e-9 gmin=1e-18"
    return "\n".join([*lines, options, ".control", "set numdgt=10", "op", "print v(a)", "quit", ".endc", ".end", ""])


def run_deck(deck: str, seconds: float = 60.0) -> dict[str, float]:
    """Run a deck in ngspice and read what it prints.

    Args:
        deck: the text of a deck that prints single values.
        seconds: the longest it may run.

    Returns:
        Printed name, in lower case and without v(), to value.

    Raises:
        UserError: if ngspice is missing or prints no value.
    """
    if not available():
        raise UserError("ngspice is not installed; on Debian: apt-get install ngspice")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.cir"
        path.write_text(deck)
        done = subprocess.run(
            ["ngspice", "-b", str(path)], capture_output=True, text=True, timeout=seconds, check=False, cwd=folder
        )
    found = re.findall(r"^\s*(?:v\()?(\w+?)\)?\s*=\s*(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*$", done.stdout, re.M | re.I)
    if not found:
        raise UserError(f"ngspice printed no result: {(done.stderr or done.stdout).strip()[-300:]}")
    return {name.lower().removesuffix("_end"): float(value) for name, value in found}
