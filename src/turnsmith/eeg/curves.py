"""Learning curves compared: when one reaches a level of another, and how much error was carried on the way.

"A third of the training time" depends on the schedule and on what is counted. So thresholds are asked of steps (which
cost the same in two runs of one model), wall clock and processor time alike, and the area under the curve stands beside
them.
"""

from collections.abc import Sequence

import numpy as np

from turnsmith.eeg.fit import Point

AXES = ("step", "seconds", "cpu_seconds")


def time_to_threshold(curve: Sequence[Point], threshold: float, axis: str = "step") -> float | None:
    """Where the curve's error is first at or below the threshold, on that axis; None where it never is."""
    for point in curve:
        if point.error is not None and point.error <= threshold:
            return float(getattr(point, axis))
    return None


def best_within(curve: Sequence[Point], limit: float, axis: str = "step") -> Point | None:
    """The point of least error among those at or before `limit` on that axis; None where there is none."""
    inside = [point for point in curve if point.error is not None and getattr(point, axis) <= limit]
    return min(inside, key=lambda point: point.error or 0.0, default=None)


def area_under_curve(curve: Sequence[Point], limit: float, axis: str = "step") -> float:
    """Mean of the best error so far between 0 and `limit` on that axis; until the first point its error counts.

    Raises:
        ValueError: if the curve has no error.
    """
    points = [(float(getattr(point, axis)), point.error) for point in curve if point.error is not None]
    if not points:
        raise ValueError("a curve without errors has no area")
    at = np.array([0.0] + [where for where, _ in points])
    best = np.minimum.accumulate(np.array([points[0][1]] + [error for _, error in points]))
    inside = at < limit
    widths = np.diff(np.append(at[inside], limit))
    return float((best[inside] * widths).sum() / limit)


def compare(scratch: Sequence[Point], pretrained: Sequence[Point], axis: str = "step") -> dict[str, float | None]:
    """The paper's two statements about two validation curves, and the areas.

    Returns:
        match_ratio: when the pretrained model reaches scratch's best error, as a share of when scratch did (None:
            never); half_time_ratio: the pretrained model's best error within half of that time, over scratch's best;
            area_scratch, area_pretrained: mean best-so-far error up to scratch's last point.
    """
    best = min((point for point in scratch if point.error is not None), key=lambda point: point.error or 0.0)
    assert best.error is not None
    when = float(getattr(best, axis))
    reached = time_to_threshold(pretrained, best.error, axis)
    half = best_within(pretrained, when / 2, axis)
    end = float(getattr(scratch[-1], axis))
    return {
        "match_ratio": None if reached is None else reached / when,
        "half_time_ratio": None if half is None or half.error is None else half.error / best.error,
        "area_scratch": area_under_curve(scratch, end, axis),
        "area_pretrained": area_under_curve(pretrained, end, axis),
    }
