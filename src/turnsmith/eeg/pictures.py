"""Pictures of the report, PNG or SVG by name: learning curves, gaze on the screen and along a recording, scalp maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as pyplot
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from turnsmith.eeg.fit import Point

# A colour for each role, the same in every picture; the first three are told apart by colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c8c8c", "#e69f00")


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    figure, axes = pyplot.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Equal figures give equal files: no date in the metadata.
    figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
    return path


def learning_curves(path: Path, curves: Mapping[str, Sequence[Point]], what: str = "validation error, mm") -> Path:
    """Error over updates and over wall-clock seconds, a line a model; dots mark the best."""
    figure, axes = _figure(9, 3.4, 2)
    for axis, along, label in ((axes[0], "step", "updates"), (axes[1], "seconds", "seconds of training")):
        for (name, curve), colour in zip(curves.items(), COLOURS * 2, strict=False):
            points = [point for point in curve if point.error is not None]
            at = [getattr(point, along) for point in points]
            errors = [float(point.error or 0.0) for point in points]
            axis.plot(at, errors, color=colour, label=name, linewidth=1.5)
            best = int(np.argmin(np.array(errors, float)))
            axis.plot(at[best], errors[best], "o", color=colour, markersize=4)
        axis.set_xlabel(label)
        axis.set_ylabel(what)
    axes[0].legend(frameon=False, fontsize=8)
    return _save(figure, path)


def loss_curves(path: Path, curves: Mapping[str, Sequence[Point]], floor: Mapping[str, float]) -> Path:
    """Pretraining losses over updates, a panel each; the dashed line is what interpolation alone reaches."""
    figure, axes = _figure(4.5 * len(curves), 3.2, len(curves))
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        axis.plot([point.step for point in curve], [point.train_loss for point in curve], color=COLOURS[0])
        axis.axhline(floor[name], color=COLOURS[1], linestyle="--", linewidth=1, label="interpolation in time")
        axis.set_ylim(0, None)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("updates")
        axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("loss on hidden values")
    return _save(figure, path)


def gaze_on_screen(path: Path, truth: np.ndarray, predictions: Mapping[str, np.ndarray], most: int = 60) -> Path:
    """Where people looked and where each model says they did: a line from truth to prediction, a panel a model."""
    figure, axes = _figure(4.2 * len(predictions), 3.4, len(predictions))
    rows = np.linspace(0, len(truth) - 1, min(most, len(truth))).astype(int)
    for axis, (name, predicted) in zip(axes, predictions.items(), strict=True):
        for row in rows:
            axis.plot(*zip(truth[row], predicted[row], strict=True), color=COLOURS[4], linewidth=0.7, zorder=1)
        axis.plot(*truth[rows].T, "o", color=COLOURS[0], markersize=4, label="looked at")
        axis.plot(*predicted[rows].T, ".", color=COLOURS[1], markersize=4, label="predicted")
        _screen(axis)
        axis.set_title(name, fontsize=9)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.16), ncols=2)
    return _save(figure, path)


def gaze_path(
    path: Path,
    at: np.ndarray,
    predicted: np.ndarray,
    truth: np.ndarray | None = None,
    unit: str = "window begins at, s",
) -> Path:
    """Predicted gaze in order of time: the path on the screen, and both coordinates over `at`."""
    figure, axes = _figure(11, 3.4, 2)
    axes[0].plot(*predicted.T, color=COLOURS[1], linewidth=0.7, alpha=0.6)
    axes[0].scatter(*predicted.T, c=at, s=8, cmap="viridis", zorder=2)
    _screen(axes[0])
    for index, name in enumerate(("x", "y")):
        axes[1].plot(at, predicted[:, index], color=COLOURS[index], linewidth=1, label=f"{name} predicted")
        if truth is not None:
            axes[1].plot(at, truth[:, index], "--", color=COLOURS[index], linewidth=0.8, label=f"{name} true")
    axes[1].set_xlabel(unit)
    axes[1].set_ylabel("px")
    axes[1].legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _save(figure, path)


def _screen(axis: Axes) -> None:
    axis.set_xlim(0, 800)
    axis.set_ylim(600, 0)
    axis.set_aspect("equal")
    axis.set_xlabel("x, px")
    axis.set_ylabel("y, px")


def scalp_maps(path: Path, maps: Mapping[str, np.ndarray], channels: Sequence[str], montage: str) -> Path:
    """One head a name, seen from above with the nose up; channels without a place in the montage are left out."""
    import mne

    places = mne.channels.make_standard_montage(montage)
    usable = [index for index, name in enumerate(channels) if name in places.ch_names]
    info = mne.create_info([channels[index] for index in usable], 100.0, "eeg", verbose="error")
    info.set_montage(places, verbose="error")
    figure, axes = _figure(3.1 * len(maps), 3.1, len(maps))
    draw: Any = mne.viz.plot_topomap  # its stub allows no marker for `sensors`, which the function does
    for axis, (name, values) in zip(axes, maps.items(), strict=True):
        signed = float(values.min()) < 0
        draw(
            np.asarray(values)[usable], info, axes=axis, show=False, cmap="RdBu_r" if signed else "Reds", contours=4,
            sensors="k,", extrapolate="head",
        )  # fmt: skip
        axis.set_title(name, fontsize=9)
    return _save(figure, path)
