"""Where simulated eyes look: scripts of the three EEGEyeNet experiments, and the event table that a tracker would give.

Eyes wait a reaction time, jump short of the target, correct, and then drift and jitter around where they landed; blinks
interrupt fixations. Saccade durations follow the main sequence (Bahill et al. 1975: about 21 ms + 2.2 ms per degree),
their course is minimum-jerk.
"""

from dataclasses import dataclass

import numpy as np

from turnsmith.eeg.files import SAMPLING_RATE
from turnsmith.eeg.prepare import DOT_PLACES_PX, EventTable

SCREEN_PX = (800.0, 600.0)
VIEWING_DISTANCE_PX = 1360.0  # 68 cm at 2 px per mm


def degrees(position_px: np.ndarray) -> np.ndarray:
    """Horizontal (right positive) and vertical (up positive) gaze angle of screen positions, (…, 2)."""
    centred = (np.asarray(position_px, np.float64) - np.array(SCREEN_PX) / 2) * np.array([1.0, -1.0])
    return np.degrees(np.arctan2(centred, VIEWING_DISTANCE_PX))


@dataclass(frozen=True, slots=True)
class Track:
    """What the eyes of one participant did.

    Attributes:
        gaze_px: screen position, (samples, 2).
        lid: 0 open to 1 closed, (samples,).
        saccades: first sample, last sample and amplitude in degrees, (saccades, 3).
        events: the synchronised event table.
    """

    gaze_px: np.ndarray
    lid: np.ndarray
    saccades: np.ndarray
    events: EventTable


class _Eyes:
    """Plays a script sample by sample and writes the tracker's events."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.at = np.array(SCREEN_PX) / 2
        self.path: list[np.ndarray] = []
        self.lid: list[np.ndarray] = []
        self.rows: list[tuple] = []
        self.saccades: list[tuple[float, float, float]] = []
        self.now = 0
        self.fixating_since = 0
        self.blink_rate = rng.uniform(0.05, 0.3)  # per second
        self.scatter_px = rng.uniform(6, 14)  # of landing positions
        self.undershoot = rng.uniform(0.03, 0.12)
        self.reaction_s = rng.normal(0.2, 0.02)

    def cue(self, kind: str) -> None:
        self.rows.append((kind, self.now + 1, 0.0, *[np.nan] * 7))

    def hold(self, seconds: float) -> None:
        """Fixate here: slow drift, microsaccades below the tracker's threshold, perhaps a blink."""
        samples = round(seconds * SAMPLING_RATE)
        if samples <= 0:
            return
        jitter = np.cumsum(self.rng.normal(0, 0.06, (samples, 2)), 0)
        for _ in range(self.rng.poisson(1.2 * seconds)):  # microsaccades, 0.1 to 0.4 degrees
            jitter[self.rng.integers(samples) :] += self.rng.normal(0, 4.0, 2)
        jitter -= np.linspace(0, 1, samples)[:, None] * jitter[-1]
        lid = np.zeros(samples)
        if samples > 300 and self.rng.random() < self.blink_rate * seconds:
            length = int(self.rng.uniform(90, 150))
            start = int(self.rng.integers(50, samples - length - 50))
            lid[start : start + length] = np.sin(np.linspace(0, np.pi, length)) ** 2
            self._append(self.at + jitter[:start], lid[:start])
            self._end_fixation()
            self.rows.append(("L_blink", self.now + 1, float(length), *[np.nan] * 7))
            self._append(self.at + jitter[start : start + length], lid[start : start + length])
            self.fixating_since = self.now
            jitter, lid = jitter[start + length :], lid[start + length :]
        self._append(self.at + jitter, lid)

    def jump(self, target: np.ndarray) -> None:
        """A primary saccade that lands short, and a corrective one where the error is worth it."""
        landing = target - self.undershoot * (target - self.at) + self.rng.normal(0, self.scatter_px, 2)
        self._saccade(landing)
        if np.hypot(*(target - self.at)) > 20:
            self.hold(self.rng.uniform(0.12, 0.22))
            self._saccade(target + self.rng.normal(0, 0.5 * self.scatter_px, 2))

    def _saccade(self, landing: np.ndarray) -> None:
        amplitude = float(np.hypot(*(degrees(landing) - degrees(self.at))))
        samples = max(4, round((0.021 + 0.0022 * amplitude) * SAMPLING_RATE))
        self._end_fixation()
        self.rows.append(("L_saccade", self.now + 1, float(samples), amplitude, *self.at, *landing, np.nan, np.nan))
        self.saccades.append((self.now, self.now + samples, amplitude))
        phase = np.linspace(0, 1, samples)[:, None]
        course = phase**3 * (10 - 15 * phase + 6 * phase**2)
        self._append(self.at + course * (landing - self.at), np.zeros(samples))
        self.at = landing
        self.fixating_since = self.now

    def _append(self, path: np.ndarray, lid: np.ndarray) -> None:
        self.path.append(path)
        self.lid.append(lid)
        self.now += len(path)

    def _end_fixation(self) -> None:
        length = self.now - self.fixating_since
        if length <= 0:
            return
        mean = self._tail(length).mean(0) + self.rng.normal(0, 3, 2)  # the tracker's own error
        self.rows.append(
            ("L_fixation", self.fixating_since + 1, float(length), np.nan, np.nan, np.nan, np.nan, np.nan, *mean)
        )

    def _tail(self, length: int) -> np.ndarray:
        pieces, have = [], 0
        for piece in reversed(self.path):
            pieces.append(piece)
            have += len(piece)
            if have >= length:
                break
        return np.concatenate(pieces[::-1])[-length:]

    def track(self) -> Track:
        self._end_fixation()
        rows = sorted(self.rows, key=lambda row: row[1])
        columns = list(zip(*rows, strict=True))
        table = EventTable(np.array(columns[0], object), *(np.array(column, np.float64) for column in columns[1:]))
        return Track(np.concatenate(self.path), np.concatenate(self.lid), np.array(self.saccades), table)


def dots(rng: np.random.Generator, count: int) -> Track:
    """Large grid: dots at 27 places in random order, 1.5 to 1.8 s each, in blocks (55 to 56) of 27."""
    eyes = _Eyes(rng)
    eyes.hold(2.0)
    shown = 0
    while shown < count:
        eyes.cue("55")
        for place in rng.permutation(27)[: count - shown]:
            eyes.cue(str(place + 1))
            length = rng.uniform(1.5, 1.8)
            begun = eyes.now
            eyes.hold(max(0.12, rng.normal(eyes.reaction_s, 0.04)))
            eyes.jump(DOT_PLACES_PX[place])
            eyes.hold(length - (eyes.now - begun) / SAMPLING_RATE)
            eyes.cue("41")
            shown += 1
        eyes.cue("56")
        eyes.hold(1.0)
    eyes.hold(2.0)
    return eyes.track()


def antisaccade(rng: np.random.Generator, count: int) -> Track:
    """Pro-saccade block (20 to 30): fixate the middle, jump to a dot left (10) or right (11); 4 % go the wrong way."""
    eyes = _Eyes(rng)
    middle = np.array(SCREEN_PX) / 2
    eyes.hold(2.0)
    eyes.cue("20")
    for _ in range(count):
        eyes.hold(rng.uniform(1.0, 2.0))
        right = bool(rng.integers(2))
        eyes.cue("11" if right else "10")
        eyes.hold(max(0.12, rng.normal(eyes.reaction_s, 0.04)))
        side = right ^ (rng.random() < 0.04)
        eyes.jump(middle + np.array([260.0 if side else -260.0, 0.0]))
        eyes.hold(1.0)
        eyes.jump(middle)
    eyes.cue("30")
    eyes.hold(2.0)
    return eyes.track()


def processing_speed(rng: np.random.Generator, count: int) -> Track:
    """Visual search: rows of symbols read in small jumps, fixations of 0.15 to 0.45 s."""
    eyes = _Eyes(rng)
    eyes.hold(2.0)
    line, column = 0, 0
    for _ in range(count):
        eyes.jump(np.array([100.0 + 60 * column, 80.0 + 44 * line]))
        eyes.hold(rng.uniform(0.15, 0.45))
        column += 1
        if column > 10:
            line, column = (line + 1) % 11, 0
    eyes.hold(2.0)
    return eyes.track()


SCRIPTS = {"dots": dots, "antisaccade": antisaccade, "processing_speed": processing_speed}
