"""Which tile holds which layer: the floorplan of a chip, exact against the reference.

A chip is a grid of tiles, a tile a few processing elements (PEs), a PE a square of subarrays. A k × k convolution gets
one PE for each kernel position ("novel" mapping, so that inputs can be shared along rows); linear layers, and
convolutions so shallow that they would waste rows that way, are laid out as one matrix ("conventional"). Small matrices
are repeated inside a tile, and early layers over several tiles, so that the pipeline keeps pace.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from turnsmith.cim.networks import LayerShape
from turnsmith.errors import UserError

SPEED_UP_DEGREE = 8
"""The most that the largest feature map is divided by to set the pipeline's pace."""


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """Where one layer lies.

    Attributes:
        shape: the layer.
        novel: whether each kernel position has its own PE.
        columns: cells in a row of its matrix: outputs · cells a weight.
        copies_in_tile: how often the matrix is repeated within its tiles.
        tile_copies: how often its tiles are repeated.
        tile_rows, tile_columns: tiles of one copy.
        utilisation: cells used / cells in its tiles.
    """

    shape: LayerShape
    novel: bool
    columns: int
    copies_in_tile: int
    tile_copies: int
    tile_rows: int
    tile_columns: int
    utilisation: float

    @property
    def tiles(self) -> int:
        """All tiles of the layer."""
        return self.tile_copies * self.tile_rows * self.tile_columns

    @property
    def speed_up(self) -> int:
        """Output positions that are computed at once."""
        return self.copies_in_tile * self.tile_copies


@dataclass(frozen=True, slots=True)
class Floorplan:
    """The whole chip.

    Attributes:
        subarray: side of a subarray in cells.
        pe, tile: sides of a conventional PE and tile in cells.
        novel_pe: side of a PE of the novel mapping.
        kernel: PEs of a novel tile (kernel positions); 0 without such layers.
        layers: one plan a layer.
    """

    subarray: int
    pe: int
    tile: int
    novel_pe: int
    kernel: int
    layers: tuple[LayerPlan, ...]

    @property
    def tiles(self) -> int:
        """Tiles on the chip."""
        return sum(layer.tiles for layer in self.layers)

    @property
    def novel_subarrays(self) -> int:
        """Subarrays of one novel tile."""
        return self.kernel * (self.novel_pe // self.subarray) ** 2

    @property
    def conventional_subarrays(self) -> int:
        """Subarrays of one conventional tile."""
        return (self.tile // self.subarray) ** 2

    @property
    def slot_subarrays(self) -> int:
        """Subarrays that fit one slot of the grid: the larger kind of tile."""
        return max(self.novel_subarrays, self.conventional_subarrays)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the grid of tile slots, as square as it gets."""
        columns = math.ceil(math.sqrt(self.tiles))
        return math.ceil(self.tiles / columns), columns


def plan_chip(layers: Sequence[LayerShape], cells_per_weight: int, subarray: int = 128) -> Floorplan:
    """Lay a network out.

    Args:
        layers: shapes in order.
        cells_per_weight: columns that one weight takes.
        subarray: side of a subarray in cells.

    Returns:
        The floorplan.

    Raises:
        UserError: without layers.
    """
    if not layers:
        raise UserError("a chip needs at least one layer.")
    novel = [_is_novel(layer, subarray) for layer in layers]
    wide = [layer for layer, is_novel in zip(layers, novel, strict=True) if is_novel]
    flat = [layer for layer, is_novel in zip(layers, novel, strict=True) if not is_novel]
    novel_pe = _best_side([(layer.channels, layer.outputs * cells_per_weight) for layer in wide], 2 * subarray)
    matrices = [(layer.rows, layer.outputs * cells_per_weight) for layer in flat]
    tile = _best_side(matrices, 4 * subarray)
    pe = min(tile, _best_side(matrices, 2 * subarray, start=max(tile // 2, 2 * subarray)))
    kernel = max((layer.kernel**2 for layer in wide), default=0)
    pace = _paces(layers)
    plans = [
        _plan_layer(layer, is_novel, cells_per_weight, novel_pe if is_novel else tile, subarray, kernel, pace[index])
        for index, (layer, is_novel) in enumerate(zip(layers, novel, strict=True))
    ]
    return Floorplan(subarray, pe, tile, novel_pe, kernel, tuple(plans))


def _is_novel(layer: LayerShape, subarray: int) -> bool:
    """Convolutions whose rows fill subarrays as well kernel position by kernel position as in one matrix."""
    if layer.kernel == 1:
        return False
    apart = layer.channels / (math.ceil(layer.channels / subarray) * subarray)
    together = layer.rows / (math.ceil(layer.rows / subarray) * subarray)
    return apart >= together


def _best_side(matrices: Sequence[tuple[int, int]], above: int, start: int | None = None) -> int:
    """The power-of-two side, more than `above`, whose tiles waste least; the largest of equals.

    The search starts from the power of two that holds the widest matrix, unless `start` caps it.
    """
    if not matrices:
        return 2 * above
    widest = max(2 ** math.ceil(math.log2(columns)) for _, columns in matrices)
    side = max(2 * above, widest) if start is None else start
    best, best_use = side, 0.0
    while side > above:
        used = sum(rows * columns for rows, columns in matrices)
        given = sum(math.ceil(rows / side) * math.ceil(columns / side) * side**2 for rows, columns in matrices)
        if used / given > best_use:
            best, best_use = side, used / given
        side //= 2
    return best


def _paces(layers: Sequence[LayerShape]) -> list[int]:
    """Copies that each layer needs: (H_l / ceil(H_max / s))², s capped by the spread of feature-map sides."""
    sides = [layer.height for layer in layers if layer.height > 1]
    if not sides:
        return [1] * len(layers)
    degree = min(SPEED_UP_DEGREE, max(sides) // min(sides))
    target = math.ceil(max(sides) / degree)
    return [max(1, math.ceil(layer.height / target)) ** 2 for layer in layers]


def _plan_layer(
    layer: LayerShape, novel: bool, cells_per_weight: int, side: int, subarray: int, kernel: int, copies: int
) -> LayerPlan:
    """Fill one tile (novel: the PEs of one tile) with copies, then add tiles until the pace is met."""
    columns = layer.outputs * cells_per_weight
    rows = layer.channels if novel else layer.rows
    # Copies start at subarray borders.
    down = max(1, side // (math.ceil(rows / subarray) * subarray))
    across = max(1, side // (math.ceil(columns / subarray) * subarray))
    tile_rows, tile_columns = math.ceil(rows / side), math.ceil(columns / side)
    inside = down * across
    tile_copies = max(1, math.ceil(copies / inside))
    cells = (kernel if novel else 1) * side**2 * tile_rows * tile_columns
    used = inside * columns * (layer.kernel**2 * rows if novel else rows)
    return LayerPlan(layer, novel, columns, inside, tile_copies, tile_rows, tile_columns, used / cells)
