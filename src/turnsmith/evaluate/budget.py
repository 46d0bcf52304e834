"""Methods that spend different amounts, compared where they spend the same.

A method with a setting that makes it spend more (checks, forced thoughts, samples a step) is a curve of success over
tokens an episode. Between its measured points the curve is taken to be straight, and outside of them it is unknown, so
methods are compared only over the stretch that all of them cover.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One measured setting of a method: what an episode cost, and how many succeeded (0 to 1)."""

    cost: float
    success: float


def success_at(points: Sequence[Point], cost: float) -> float | None:
    """A curve's success at a cost; None outside of what was measured. Of points with equal cost the best counts."""
    curve: dict[float, float] = {}
    for point in sorted(points, key=lambda point: (point.cost, point.success)):
        curve[point.cost] = point.success
    if cost in curve:
        return curve[cost]
    below = max((spent for spent in curve if spent < cost), default=None)
    above = min((spent for spent in curve if spent > cost), default=None)
    if below is None or above is None:
        return None
    share = (cost - below) / (above - below)
    return curve[below] + share * (curve[above] - curve[below])


def at_equal_cost(curves: Mapping[str, Sequence[Point]], count: int = 3) -> list[tuple[float, dict[str, float]]]:
    """Success of each method at `count` costs, evenly over the stretch that all methods cover.

    Returns:
        (cost, {method: success}) rows; none where no cost is covered by all.

    Raises:
        ValueError: if there is no method, one has no point, or `count` is below 1.
    """
    if not curves or count < 1 or not all(curves.values()):
        raise ValueError("at least one method, each with a point, and one cost are needed")
    low = max(min(point.cost for point in points) for points in curves.values())
    high = min(max(point.cost for point in points) for points in curves.values())
    if low > high:
        return []
    costs = [low + (high - low) * k / (count - 1) for k in range(count)] if count > 1 and high > low else [low]
    return [(cost, {name: success_at(points, cost) or 0.0 for name, points in curves.items()}) for cost in costs]
