"""Heads, eyes and electrodes: how strongly each source reaches each channel, for one simulated participant.

The head is a sphere with constant conductivity. MNE's default four-shell sphere refuses sources at the eyes (they lie
86 mm from its centre) and one shell is not accepted, so two concentric spheres of equal conductivity stand for one.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

HEAD_RADIUS_M = 0.095
EYES_M = np.array([[-0.032, 0.067, 0.005], [0.032, 0.067, 0.005]])
EYE_MOMENT_AM = 7.3e-7  # per eye; gives about 16 microvolts per degree at the best pair of channels
HYDROCEL = "GSN-HydroCel-129"


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One participant's head. Lead fields are microvolts at each channel against the average of all.

    Attributes:
        positions: electrodes where they really sit, metres, (channels, 3): x right, y front, z up.
        eyes: both eyes' corneo-retinal dipoles along x, y, z at full moment, (channels, 3).
        lids: a closing lid or a blink at unit closure, (channels,).
        spike: the spike potential of the eye muscles at unit strength, (channels,).
        brain: cortical sources of unit amplitude, (channels, sources).
        alpha: occipital sources of unit amplitude, (channels, sources).
        lambda_wave: the occipital response to a new fixation, (channels,).
    """

    positions: np.ndarray
    eyes: np.ndarray
    lids: np.ndarray
    spike: np.ndarray
    brain: np.ndarray
    alpha: np.ndarray
    lambda_wave: np.ndarray


def montage(name: str = HYDROCEL, channels: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Electrode names and positions in metres, (3,) each, of an MNE standard montage (or of some of its channels)."""
    import mne

    places = mne.channels.make_standard_montage(name).get_positions()["ch_pos"]
    wanted = channels or tuple(places)
    missing = [channel for channel in wanted if channel not in places]
    if missing:
        raise ValueError(f"the montage {name} has no {missing}")
    return {channel: np.asarray(places[channel]) for channel in wanted}


def lead_field(electrodes_m: np.ndarray, sources_m: np.ndarray, moments_am: np.ndarray) -> np.ndarray:
    """Potential of current dipoles in a sphere, microvolts against the average of the electrodes.

    Args:
        electrodes_m: (channels, 3), metres, head coordinates.
        sources_m: (sources, 3), inside the sphere.
        moments_am: dipole moments, ampere metres, (sources, 3).

    Returns:
        (channels, sources).
    """
    import mne

    names = [str(index) for index in range(len(electrodes_m))]
    info = mne.create_info(names, 500.0, "eeg", verbose="error")
    positions = dict(zip(names, electrodes_m, strict=True))
    info.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"), verbose="error")
    sphere = mne.make_sphere_model(
        r0=(0.0, 0.0, 0.0), head_radius=HEAD_RADIUS_M, relative_radii=(0.99, 1.0), sigmas=(0.33, 0.33), verbose="error"
    )
    size = np.linalg.norm(moments_am, axis=1)
    dipoles = mne.Dipole(
        times=np.arange(len(sources_m)) * 1e-3,
        pos=sources_m,
        amplitude=size,
        ori=moments_am / size[:, None],
        gof=np.full(len(sources_m), 100.0),
        verbose="error",
    )
    forward, _ = mne.make_forward_dipole(dipoles, sphere, info, verbose="error")
    field = np.asarray(forward["sol"]["data"], np.float64) * size * 1e6  # type: ignore[index]
    return field - field.mean(0)


def make_anatomy(electrodes_m: np.ndarray, rng: np.random.Generator, sources: int = 40) -> Anatomy:
    """Draw one participant: eye places, moments, a shifted and turned cap, cortical sources.

    Args:
        electrodes_m: where the montage says the electrodes are, (channels, 3), metres.
        rng: the participant.
        sources: how many cortical dipoles make the background.
    """
    positions = _worn(electrodes_m, rng)
    places = EYES_M + rng.normal(0, 0.002, 3) * np.array([0.5, 1, 1]) + rng.normal(0, 0.0007, (2, 3))
    moment = EYE_MOMENT_AM * np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.05, 2))
    axes = np.concatenate([np.eye(3) * strength for strength in moment])
    eyes = lead_field(positions, np.repeat(places, 3, 0), axes)
    eyes = eyes[:, :3] + eyes[:, 3:]

    up, back = np.array([[0.0, 0.35, 1.0]] * 2), np.array([[0.0, -1.0, 0.2]] * 2)
    lids = lead_field(positions, places + np.array([0, 0.003, 0.004]), up * 1.2e-7).sum(1) * np.exp(rng.normal(0, 0.3))
    spike = lead_field(positions, places - np.array([0, 0.006, 0]), back * 4e-8).sum(1) * np.exp(rng.normal(0, 0.4))

    cortex = _directions(rng, sources, lowest=-0.2) * rng.uniform(0.055, 0.075, (sources, 1))
    brain = lead_field(positions, cortex, _moments(cortex, rng) * 1e-8)
    visual = np.array([0.0, -0.06, 0.02]) + rng.normal(0, 0.015, (4, 3))
    visual *= np.minimum(1, 0.075 / np.linalg.norm(visual, axis=1, keepdims=True))
    alpha = lead_field(positions, visual, _moments(visual, rng) * 1e-8)
    pole = np.array([[0.0, -0.065, 0.015]])
    return Anatomy(
        positions, eyes, lids, spike, _unit(brain), _unit(alpha), _unit(lead_field(positions, pole, pole * 1e-7))[:, 0]
    )


def _worn(electrodes_m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The cap as it sits: shifted by about 5 mm and turned by about 3 degrees, then pressed onto the sphere."""
    centred = electrodes_m - _sphere_centre(electrodes_m)
    turned = Rotation.from_rotvec(np.radians(rng.normal(0, 3, 3))).apply(centred) + rng.normal(0, 0.005 / 3**0.5, 3)
    return turned / np.linalg.norm(turned, axis=1, keepdims=True) * HEAD_RADIUS_M


def _sphere_centre(points: np.ndarray) -> np.ndarray:
    """Centre of the sphere that fits the points best (linear least squares on |p|^2 = 2 p.c + k)."""
    design = np.concatenate([2 * points, np.ones((len(points), 1))], 1)
    return np.linalg.lstsq(design, (points**2).sum(1), rcond=None)[0][:3]


def _directions(rng: np.random.Generator, count: int, lowest: float) -> np.ndarray:
    """Random unit vectors whose height is at least `lowest` (the brain does not reach the neck)."""
    height = rng.uniform(lowest, 1, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), height], 1)


def _moments(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Directions between radial (gyri) and random (sulci)."""
    radial = places / np.linalg.norm(places, axis=1, keepdims=True)
    return radial + rng.normal(0, 0.6, places.shape)


def _unit(field: np.ndarray) -> np.ndarray:
    """Scale each source so that its largest channel sees 1 microvolt."""
    return field / np.abs(field).max(0)
