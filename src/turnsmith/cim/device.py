"""Transistor and ferroelectric: the two physics from which every figure of a temperature sweep follows.

`Ekv` is the bulk-referenced EKV drain current with temperature in every term: thermal voltage, threshold and mobility.
`Preisach` is the polarisation of a ferroelectric film with turning-point memory; `program_levels` uses it to say which
write pulse puts a FeFET at which threshold. Currents are numpy, vectorised over whatever shapes broadcast, with the
derivatives that the nodal solver needs.

Deliberately left out: short-channel effects (the BSIM4 cross-check in `spice` has them), gate leakage, self-heating.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from turnsmith.errors import UserError

Array = NDArray[np.float64]
Volts = float | Array

BOLTZMANN_OVER_CHARGE = 1.380649e-23 / 1.602176634e-19
"""k/q in V/K."""
T_NOMINAL = 300.15
"""27 °C in kelvin: where V_T0 and β0 are given."""


def thermal_voltage(celsius: Volts) -> Volts:
    """U_T = kT/q in volts."""
    return BOLTZMANN_OVER_CHARGE * (np.asarray(celsius) + 273.15)


@dataclass(frozen=True, slots=True)
class Ekv:
    """An n-channel transistor (EKV, bulk at ground), or a FeFET whose threshold was programmed.

    I_D = 2 n β U_T² [F((V_P − V_S)/U_T) − F((V_P − V_D)/U_T)],  F(u) = ln²(1 + e^(u/2)),  V_P = (V_G − V_T)/n
    V_T(T) = V_T0 − κ (T − 300.15 K),  β(T) = β0 (T/300.15 K)^−m

    Attributes:
        threshold: V_T0 in volts.
        beta: β0 in A/V².
        slope: n, the subthreshold slope factor.
        kappa: κ in V/K.
        mobility_exponent: m.
    """

    threshold: float
    beta: float = 300e-6
    slope: float = 1.3
    kappa: float = 0.7e-3
    mobility_exponent: float = 1.5

    def current(
        self, drain: Volts, gate: Volts, source: Volts, celsius: Volts, shift: Volts = 0.0
    ) -> tuple[Array, Array, Array, Array]:
        """Drain current and its derivatives by drain, gate and source voltage.

        Args:
            drain, gate, source: volts against the bulk; any shapes that broadcast.
            celsius: temperature in °C.
            shift: added to V_T0 (a stored level, a static error), volts.

        Returns:
            (I_D in A, dI_D/dV_D, dI_D/dV_G, dI_D/dV_S in S), each of the broadcast shape.
        """
        kelvin = np.asarray(celsius, dtype=np.float64) + 273.15
        ut = BOLTZMANN_OVER_CHARGE * kelvin
        threshold = self.threshold + shift - self.kappa * (kelvin - T_NOMINAL)
        scale = 2 * self.slope * self.beta * (kelvin / T_NOMINAL) ** -self.mobility_exponent * ut**2
        pinch = (np.asarray(gate) - threshold) / self.slope
        forward, forward_slope = _inversion((pinch - source) / ut)
        reverse, reverse_slope = _inversion((pinch - drain) / ut)
        by_drain, by_source = scale * reverse_slope / ut, -scale * forward_slope / ut
        return scale * (forward - reverse), by_drain, -(by_drain + by_source) / self.slope, by_source


def _inversion(u: Array) -> tuple[Array, Array]:
    """F(u) = ln²(1 + e^(u/2)) and dF/du, without overflow."""
    soft = np.logaddexp(0.0, u / 2)
    # The logistic function through tanh: no overflow on either side.
    return soft**2, soft * 0.5 * (1 + np.tanh(u / 4))


@dataclass(slots=True)
class Preisach:
    """Polarisation of a ferroelectric film: Miller's branches with turning-point memory and a first-order field lag.

    Saturated branches: P(E) = P_s tanh((E ∓ E_c) / 2δ), δ = E_c / ln((1 + P_r/P_s) / (1 − P_r/P_s)). Between two
    turning points the branch is scaled and shifted to pass through both, so a minor loop closes on itself and stays
    inside the last two reversals; going past an older turning point forgets the loop inside it.

    Attributes:
        saturation, remanence: P_s and P_r, µC/cm².
        coercive: E_c, MV/cm.
        lag: time constant of the field in the film, seconds; 0 for none.
        field_now: the lagged field, MV/cm.
        turning: (field, polarisation) of the reversals still remembered, oldest first; a new film is erased.
    """

    saturation: float = 25.0
    remanence: float = 20.0
    coercive: float = 1.0
    lag: float = 0.0
    field_now: float = 0.0
    turning: list[tuple[float, float]] = field(default_factory=list)
    rising: bool = True
    _polarisation: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.remanence < self.saturation:
            raise UserError(f"remanence must lie between 0 and saturation, got {self.remanence}, {self.saturation}.")
        if not self.turning:
            self.reset()

    @property
    def delta(self) -> float:
        """δ in MV/cm, from P_r and P_s."""
        ratio = self.remanence / self.saturation
        return self.coercive / float(np.log((1 + ratio) / (1 - ratio)))

    @property
    def limit(self) -> float:
        """A field beyond which both branches are saturated, MV/cm."""
        return self.coercive + 40 * self.delta

    @property
    def polarisation(self) -> float:
        """P now, µC/cm²."""
        return self._polarisation

    def reset(self) -> None:
        """Erase to negative remanence: one full negative cycle."""
        self.field_now = 0.0
        self._move(-self.limit)
        self._move(0.0)

    def apply(self, target: float, seconds: float = 0.0) -> float:
        """Drive the electrodes to a field and hold it.

        Args:
            target: field in MV/cm.
            seconds: how long it is held; with a lag τ the film sees 1 − e^(−t/τ) of the step.

        Returns:
            The polarisation, µC/cm².
        """
        reach = 1.0 if self.lag == 0 else 1 - float(np.exp(-seconds / self.lag))
        self._move(self.field_now + reach * (target - self.field_now))
        return self._polarisation

    def pulse(self, amplitude: float, width: float = 1e-6) -> float:
        """One write pulse and the return to zero field; returns the polarisation that stays."""
        self.apply(amplitude, width)
        return self.apply(0.0, max(width, 20 * self.lag))

    def branch(self, value: float, rising: bool) -> float:
        """The saturated branch at a field."""
        return self.saturation * float(
            np.tanh((value - (self.coercive if rising else -self.coercive)) / (2 * self.delta))
        )

    def _move(self, target: float) -> None:
        target = float(np.clip(target, -self.limit, self.limit))
        if target == self.field_now:
            return
        rising = target > self.field_now
        if abs(target) == self.limit:  # saturated: everything before is forgotten
            sign = 1.0 if rising else -1.0
            self.turning = [(-target, -sign * self.saturation), (target, sign * self.saturation)]
            self.field_now, self.rising, self._polarisation = target, not rising, sign * self.saturation
            return
        if rising != self.rising:
            self.turning.append((self.field_now, self._polarisation))
            self.rising = rising
        # A field past the turning point before last closes the minor loop: both its ends are forgotten.
        while len(self.turning) > 3 and (target - self.turning[-2][0] >= 0) == rising:
            del self.turning[-2:]
        self.field_now = target
        self._polarisation = self._between(target, rising)

    def _between(self, value: float, rising: bool) -> float:
        """The branch from the last turning point towards the one before it, scaled to pass through both."""
        (start, start_p), (end, end_p) = self.turning[-1], self.turning[-2]
        low, high = self.branch(start, rising), self.branch(end, rising)
        if high == low:
            return start_p
        return start_p + (end_p - start_p) * (self.branch(value, rising) - low) / (high - low)


@dataclass(frozen=True, slots=True)
class FerroelectricGate:
    """The film on a gate, and how its polarisation moves the threshold: V_T = V_mid − (MW/2)(P/P_r).

    Attributes:
        middle: V_mid in volts.
        window: MW in volts; at most 2 E_c t_FE.
        thickness: t_FE in nanometres.
        coercive: E_c in MV/cm.
    """

    middle: float = 0.45
    window: float = 0.8
    thickness: float = 8.0
    coercive: float = 1.0

    def __post_init__(self) -> None:
        largest = 2 * self.coercive * self.thickness * 0.1
        if not 0 < self.window <= largest + 1e-12:
            raise UserError(f"memory window {self.window} V is not within 0 and 2 E_c t_FE = {largest:g} V.")

    def threshold(self, polarisation: float, remanence: float) -> float:
        """V_T in volts for a polarisation in µC/cm²."""
        return self.middle - self.window / 2 * polarisation / remanence


@dataclass(frozen=True, slots=True)
class WritePulse:
    """What write-verify settled on for one level: the pulse, the threshold it left, and how many pulses it took."""

    volts: float
    threshold: float
    pulses: int


def program_levels(
    targets: Sequence[float],
    gate: FerroelectricGate | None = None,
    film: Preisach | None = None,
    tolerance: float = 1e-3,
    width: float = 1e-6,
    attempts: int = 60,
) -> list[WritePulse]:
    """Find, by write-verify, the pulse amplitude after an erase that leaves each threshold.

    Args:
        targets: thresholds in volts.
        gate, film: what is written; defaults of the classes.
        tolerance: accepted distance in volts.
        width: pulse width in seconds.
        attempts: erase-pulse-verify cycles before giving up.

    Returns:
        One `WritePulse` a target.

    Raises:
        UserError: if a target lies outside the memory window.
    """
    gate, film = gate or FerroelectricGate(), film or Preisach()
    found = []
    for target in targets:
        # A larger positive pulse raises P and lowers V_T: bisection on the amplitude.
        low, high = 0.0, film.limit
        for attempt in range(1, attempts + 1):
            amplitude = (low + high) / 2
            film.reset()
            reached = gate.threshold(film.pulse(amplitude, width), film.remanence)
            if abs(reached - target) <= tolerance:
                volts = amplitude * gate.thickness * 0.1  # MV/cm times nm is 0.1 V
                found.append(WritePulse(volts, reached, attempt))
                break
            low, high = (amplitude, high) if reached > target else (low, amplitude)
        else:
            raise UserError(
                f"threshold {target:g} V cannot be written: the window of {gate.window:g} V around {gate.middle:g} V "
                f"reaches {gate.threshold(film.remanence, film.remanence):g} to "
                f"{gate.threshold(-film.remanence, film.remanence):g} V."
            )
    return found
