"""Where a screen is moved, what is tapped stays what is tapped."""

import torch

from turnsmith.agents.screen_llama import CELL, ScreenLlamaConfig
from turnsmith.learn.examples import Example
from turnsmith.learn.transforms.screens import HistoryDropout, ScreenAugment, ViewAugment

CONFIG = ScreenLlamaConfig(image_height=100, image_width=50, first_point_id=7)
ROWS, COLUMNS = CONFIG.grid


def example(row: int, column: int) -> Example:
    """A screen with one lit cell, and a tap at it; the prompt says where was tapped before: a row above."""
    pixels = torch.zeros(1, 3, 100, 50, dtype=torch.uint8)
    pixels[..., row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 200
    here = 7 + row * COLUMNS + column
    return Example((3, here - COLUMNS, 4), (5, here, 1), (True, True, True), vision={"pixel_values": pixels})


def lit(made: Example) -> int:
    cells = made.vision["pixel_values"].float().mean(dim=(0, 1)).view(ROWS, CELL, COLUMNS, CELL).mean(dim=(1, 3))
    return 7 + int(cells.argmax())


def test_the_tap_and_the_previous_tap_move_with_the_screen():
    move = ScreenAugment(CONFIG, share=1.0, colour=0.0, mixing=0.0)
    places = set()
    for seed in range(60):
        made = move(example(10, 5), seed)
        assert made.token_ids[1] == lit(made)
        assert made.prompt_ids[1] == made.token_ids[1] - COLUMNS
        assert (made.token_ids[0], made.token_ids[2], made.prompt_ids[0]) == (5, 1, 3)
        places.add(made.token_ids[1])
    assert len(places) > 30


def test_a_tap_never_leaves_the_screen():
    move = ScreenAugment(CONFIG, share=1.0, rows=30, columns=9)
    for seed in range(60):
        made = move(example(1, 0), seed)
        assert 7 <= made.token_ids[1] < 7 + ROWS * COLUMNS
        assert made.token_ids[1] == lit(made)


def test_colours_change_and_bytes_stay_bytes():
    paint = ScreenAugment(CONFIG, share=1.0, rows=0, columns=0)
    made = paint(example(10, 5), 3)
    assert made.token_ids == example(10, 5).token_ids
    assert made.vision["pixel_values"].dtype == torch.uint8
    assert not torch.equal(made.vision["pixel_values"], example(10, 5).vision["pixel_values"])


def test_the_seed_decides_and_no_share_changes_nothing():
    one, move = example(10, 5), ScreenAugment(CONFIG, share=0.7)
    first, again = move(one, 9), move(one, 9)
    assert first.token_ids == again.token_ids
    assert torch.equal(first.vision["pixel_values"], again.vision["pixel_values"])
    left = ScreenAugment(CONFIG, share=0.0)(one, 9)
    assert left.token_ids == one.token_ids
    assert torch.equal(left.vision["pixel_values"], one.vision["pixel_values"])


def test_the_previous_action_is_left_out_in_its_share_and_nothing_else():
    one = Example((2, 2, 50, 8, 9, 51, 4, 6), (5, 8, 1), (True, True, True))
    forget = HistoryDropout(50, 51, 0.5)
    made = [forget(one, seed).prompt_ids for seed in range(200)]
    assert set(made) == {one.prompt_ids, (2, 2, 50, 51, 4, 6)}
    assert 70 < made.count(one.prompt_ids) < 130
    cut = Example((9, 51, 4, 6), (5, 8, 1), (True, True, True))
    assert HistoryDropout(50, 51, 1.0)(cut, 1) == cut


def test_an_example_without_a_screen_stays():
    plain = Example((3,), (8,), (True,))
    assert ScreenAugment(CONFIG, share=1.0)(plain, 1) is plain


def test_the_point_of_a_view_moves_with_its_screen():
    frame = example(10, 5).vision["pixel_values"][0]
    point = ((10.5 * CELL) / 100, (5.5 * CELL) / 50)
    move, seen = ViewAugment(1.0, colour=0.0, mixing=0.0), set()
    for seed in range(60):
        made, there = move(frame, point, (7, seed))
        assert there is not None
        assert made[:, int(there[0] * 100), int(there[1] * 50)].tolist() == [200, 200, 200]
        seen.add(there)
    assert len(seen) > 30
    again, _ = move(frame, point, (7, 3))
    assert torch.equal(again, move(frame, point, (7, 3))[0])


def test_a_view_without_a_point_moves_too_and_no_share_changes_nothing():
    frame = example(10, 5).vision["pixel_values"][0]
    moved, nowhere = ViewAugment(1.0)(frame, None, (1, 1))
    assert nowhere is None
    assert not torch.equal(moved, frame)
    same, point = ViewAugment(0.0)(frame, (0.2, 0.3), (1, 1))
    assert torch.equal(same, frame)
    assert point == (0.2, 0.3)


def test_the_point_of_a_view_stays_on_the_screen():
    frame = example(0, 0).vision["pixel_values"][0]
    for seed in range(60):
        _, point = ViewAugment(1.0, rows=30, columns=9)(frame, (0.01, 0.98), (seed,))
        assert point is not None
        assert all(0 <= side < 1 for side in point)
