"""Intervals and paired tests against hand-computed figures and against enumeration."""

import itertools

import numpy as np
import pytest

from turnsmith.evaluate.stats import bootstrap_mean, clustered_bootstrap, paired_bootstrap, resampled_means, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_equals_the_published_table(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_without_trials_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_refuses_impossible_counts():
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_bootstrap_quantiles_equal_the_enumerated_distribution():
    values = [0.0, 1.0, 1.0, 3.0]
    means = sorted(np.mean(draw) for draw in itertools.product(values, repeat=4))
    _, low, high = bootstrap_mean(values, resamples=40_000)
    assert low == pytest.approx(np.quantile(means, 0.025), abs=0.26)  # the distribution has steps of 0.25
    assert high == pytest.approx(np.quantile(means, 0.975), abs=0.26)


def test_paired_differences_keep_the_pairing():
    first, second = [0.0, 1.0] * 50, [0.1, 1.1] * 50
    mean, low, high = paired_bootstrap(first, second)
    assert (mean, low, high) == pytest.approx((0.1, 0.1, 0.1))  # unpaired, the interval would be ±0.14


def test_paired_bootstrap_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="2 and 1 scores"):
        paired_bootstrap([0, 1], [1])


def test_interval_over_seeds_is_wider_than_over_pooled_tasks():
    seeds = [[0.0] * 50, [1.0] * 50, [0.5] * 50]
    mean, low, high = clustered_bootstrap(seeds, resamples=2000)
    _, pooled_low, pooled_high = bootstrap_mean([value for seed in seeds for value in seed], resamples=2000)
    assert mean == pytest.approx(0.5)
    assert high - low > 3 * (pooled_high - pooled_low)


@pytest.mark.parametrize("sizes", [(1,), (7,), (1, 1), (40, 40, 40), (3, 5)])
@pytest.mark.parametrize("width", [(), (2,)])
def test_resampling_at_once_reads_the_stream_of_drawing_one_after_the_other(sizes, width):
    """Recorded intervals were made cluster by cluster: to the last bit."""
    clusters = [np.random.default_rng(size + i).random((size, *width)) for i, size in enumerate(sizes)]
    source, expected = np.random.default_rng(5), []
    for _ in range(200):
        drawn = source.integers(0, len(clusters), size=len(clusters))
        expected.append(
            np.mean([source.choice(clusters[d], size=len(clusters[d])).mean(axis=0) for d in drawn], axis=0)
        )
    assert np.array_equal(resampled_means(clusters, 200, 5), expected)
