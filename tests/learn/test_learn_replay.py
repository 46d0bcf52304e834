"""Weights over the all-time buffer against their formula, and draws against exact enumeration."""

from collections import Counter
from itertools import permutations

import pytest

from turnsmith.learn.replay import Replay, draw, weights


def test_recency_is_the_papers_weight():
    assert weights(["a"] * 4, Replay()) == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_balance_gives_every_site_the_same_share():
    sites = ["shop", "shop", "shop", "forum"]
    assert weights(sites, Replay(recency=0, balance=1)) == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    half = weights(sites, Replay(recency=0.5, balance=0.5))  # the authors' code
    assert half == pytest.approx([0.05 + 1 / 12, 0.1 + 1 / 12, 0.15 + 1 / 12, 0.2 + 1 / 4])
    assert weights(sites, Replay(recency=0)) == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("replay", [Replay(), Replay(recency=0.5, balance=0.5), Replay(recency=0.2, balance=0.3)])
@pytest.mark.parametrize("sites", [["a"], ["a", "b"], ["a", "b", "a", "c", "c", "c"]])
def test_weights_are_a_distribution(replay, sites):
    assert sum(weights(sites, replay)) == pytest.approx(1)
    assert weights([], replay) == []


def test_shares_of_more_than_all_are_refused():
    for bad in ({"recency": 0.7, "balance": 0.5}, {"recency": -0.1}):
        with pytest.raises(ValueError, match="shares"):
            Replay(**bad)


def test_draws_without_replacement_follow_the_exact_law():
    """Against the enumeration of drawing one after the other, 20,000 draws of two of four."""
    chances = [0.1, 0.2, 0.3, 0.4]
    exact: Counter[tuple[int, ...]] = Counter()
    for first, second in permutations(range(4), 2):
        exact[tuple(sorted((first, second)))] += chances[first] * chances[second] / (1 - chances[first])  # type: ignore
    count = 20_000
    found = Counter(tuple(draw(range(4), chances, 2, seed)) for seed in range(count))
    for pair, chance in exact.items():
        assert found[pair] / count == pytest.approx(chance, abs=4.5 * (chance * (1 - chance) / count) ** 0.5)


def test_a_draw_depends_on_its_seed_alone_and_keeps_the_order():
    items = [f"trace-{k}" for k in range(50)]
    chances = weights(["a"] * 50, Replay())
    assert draw(items, chances, 20, "s0/3") == draw(items, chances, 20, "s0/3")
    assert draw(items, chances, 20, "s0/3") != draw(items, chances, 20, "s0/4")
    assert draw(items, chances, 20, 1) == sorted(draw(items, chances, 20, 1), key=items.index)
    assert draw(items, chances, 99, 1) == items
    assert draw([1, 2, 3], [0.5, 0.0, 0.5], 3, 0) == [1, 3]
    assert draw([], [], 3, 0) == []
    with pytest.raises(ValueError, match="do not fit"):
        draw([1], [0.5, 0.5], 1, 0)
