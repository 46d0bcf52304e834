"""What `turnsmith bench engine` compares says the same, and its floor is the sum it claims to be."""

import pytest
import torch

from turnsmith.bench.engine import Work, countdown_work, floor_seconds, make_model, run_engine, run_padded, run_single

torch.set_num_threads(1)


def test_all_ways_write_the_same_tokens():
    model = make_model(32, 1, "cpu")
    work = [Work(one.prompt, 2 + index % 7) for index, one in enumerate(countdown_work(9, seed=1))]
    written = run_engine(model, work)
    assert [len(tokens) for tokens in written] == [one.new for one in work]
    assert written == run_padded(model, work) == run_single(model, work)


def test_the_floor_is_reading_weights_and_keys_and_multiplying():
    model = make_model(32, 2, "cpu")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    # prompts of 3 and 5 tokens, 2 and 1 new: contexts 3 + 4 + 5; keys and values of 2 layers, 32 wide, 4 bytes
    work = [Work((1, 2, 3), 2), Work((1, 2, 3, 4, 5), 1)]
    keys = (3 + 4 + 5) * 2 * 2 * 32 * 4
    weights = 3 / 2 * parameters * 4
    expected = (keys + weights) / 10.0 + 3 * 2 * parameters / 100.0
    assert floor_seconds(model, work, 10.0, 100.0) == pytest.approx(expected)
