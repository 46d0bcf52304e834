"""Which examples make an update: everything once an epoch, the same again for the same seed, little padding."""

import random

from hypothesis import given
from hypothesis import strategies as st

from turnsmith.learn.batching import all_updates, epoch_updates, passes


def padding_share(lengths, updates):
    """Share of columns that are padding when each update is one pass."""
    columns = sum(len(update) * max(lengths[i] for i in update) for update in updates)
    return 1 - sum(lengths[i] for update in updates for i in update) / columns


@given(st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_holds_every_example_once(lengths, batch_size, epoch):
    updates = epoch_updates(lengths, batch_size, seed=1, epoch=epoch)
    assert sorted(index for update in updates for index in update) == list(range(len(lengths)))
    assert len(updates) == -(-len(lengths) // batch_size)
    assert all(1 <= len(update) <= batch_size for update in updates)


def test_the_seed_decides_the_order():
    lengths = list(range(1, 200))
    assert epoch_updates(lengths, 8, 3, 0) == epoch_updates(lengths, 8, 3, 0)
    assert epoch_updates(lengths, 8, 3, 0) != epoch_updates(lengths, 8, 3, 1)
    assert epoch_updates(lengths, 8, 3, 0) != epoch_updates(lengths, 8, 4, 0)


def test_a_resumed_run_finds_the_same_updates():
    lengths = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
    whole = list(all_updates(lengths, 2, epochs=3, seed=7))
    assert list(all_updates(lengths, 2, epochs=3, seed=7, start=8)) == whole[8:]
    assert [index for index, _ in whole] == list(range(18))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(50, 400))
def test_passes_hold_the_update_within_the_budget(lengths, budget):
    update = list(range(len(lengths)))
    parts = passes(update, lengths, budget)
    assert sorted(index for part in parts for index in part) == update
    for part in parts:
        assert len(part) == 1 or len(part) * max(lengths[i] for i in part) <= budget


def test_sorting_by_length_saves_most_of_the_padding():
    rng = random.Random(0)
    lengths = [rng.randint(100, 400) for _ in range(2000)]
    order = list(range(2000))
    unsorted = [order[i : i + 8] for i in range(0, 2000, 8)]
    assert padding_share(lengths, unsorted) > 0.25
    assert padding_share(lengths, epoch_updates(lengths, 8, 0, 0)) < 0.05
