"""Training: the order of batches, schedules, and that a killed run ends where an unbroken one does."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from turnsmith.eeg import fit as fitting
from turnsmith.eeg.batches import Crops, Scaler, Source, fit_scaler, orders, stream
from turnsmith.eeg.fit import Fitted, fit_windows, linear_probe, supervised
from turnsmith.eeg.relevance import channel_relevance
from turnsmith.eeg.settings import FitConfig, paper_optim, small_fit
from turnsmith.eeg.targets import squared_angle, target_of
from turnsmith.errors import UserError
from turnsmith.learn.optim import rate_at

SETTINGS = small_fit(12, 4, 1e-2, warmup=2, evaluate_every=2)


def _source(windows=14, channels=3, samples=8):
    rng = np.random.default_rng(0)
    eeg = rng.normal(0, 10, (windows, samples, channels))
    return Source(eeg, fit_scaler(eeg, np.arange(windows)), eeg[:, :4, 0].mean(1, keepdims=True))


def _model():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.Linear(8, 1))


def _error(source):
    rows = np.arange(10, 14)
    return lambda model: float(((fitting.outputs(model, source, rows) - source.targets[rows]) ** 2).mean())


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_at", [1, 3, 5])
def test_a_killed_training_resumes_to_the_same_weights_and_curve(tmp_path, killed_at):
    source, rows = _source(), np.arange(10)
    unbroken = _model()
    expected = fit_windows(unbroken, supervised(functional.mse_loss), source, rows, SETTINGS, 5, None, _error(source))

    calls = iter(range(100))

    def dies(model):
        if next(calls) == killed_at:
            raise _Killed
        return _error(source)(model)

    broken, loss = _model(), supervised(functional.mse_loss)
    with pytest.raises(_Killed):
        fit_windows(broken, loss, source, rows, SETTINGS, 5, tmp_path, dies, save_seconds=0)
    again = _model()
    found = fit_windows(again, loss, source, rows, SETTINGS, 5, tmp_path, _error(source), save_seconds=0)
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert [(p.step, p.train_loss, p.error) for p in found.curve] == [
        (p.step, p.train_loss, p.error) for p in expected.curve
    ]
    finished = fit_windows(
        _model(), loss, source, rows, SETTINGS, 5, tmp_path, dies
    )  # done: nothing is evaluated again
    assert finished.best_step == expected.best_step
    assert Fitted.from_dict(finished.as_dict()) == finished


def test_the_best_weights_are_kept_or_the_last_as_released():
    source, rows = _source(), np.arange(10)
    errors = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0] * 2)
    seen = []

    def error(model):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return next(errors)

    best = _model()
    found = fit_windows(best, supervised(functional.mse_loss), source, rows, SETTINGS, 0, None, error)
    assert (found.best_step, found.best_error) == (4, 1.0)
    assert torch.equal(best.state_dict()["1.weight"], seen[1]["1.weight"])
    last = _model()
    settings = replace(SETTINGS, keep_best=False)
    fit_windows(last, supervised(functional.mse_loss), source, rows, settings, 0, None, error)
    assert torch.equal(last.state_dict()["1.weight"], seen[-1]["1.weight"])


def test_patience_ends_training():
    errors = iter([1.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    settings = replace(SETTINGS, patience=2)
    source = _source()
    found = fit_windows(
        _model(), supervised(functional.mse_loss), source, np.arange(10), settings, 0, None, lambda _: next(errors)
    )
    assert found.curve[-1].step == 6


def test_every_epoch_holds_every_row_once_in_a_new_order():
    rows = np.arange(100, 110)
    epochs = [np.concatenate(list(orders(rows, 4, 1, first, first + 3, True))) for first in (0, 3)]
    for epoch in epochs:
        assert sorted(epoch) == list(rows)
    assert list(epochs[0]) != list(epochs[1])
    assert list(next(orders(rows, 4, 1, 2, 3, False))) == [108, 109]


def test_a_stream_from_the_middle_gives_the_batches_of_the_middle():
    source, rows = _source(), np.arange(14)
    whole = {step: eeg for step, eeg, _ in stream(source, rows, 4, 0, 0, 6)}
    for step, eeg, _ in stream(source, rows, 4, 0, 3, 6):
        assert torch.equal(eeg, whole[step])


def test_crops_are_the_recordings_own_samples():
    recordings = [np.arange(120.0).reshape(60, 2), -np.arange(90.0).reshape(45, 2)]
    crops = Crops(recordings, samples=40, stride=10)
    assert len(crops) == 3 + 1
    taken = crops[np.array([3, 1])]
    np.testing.assert_array_equal(taken[0], recordings[1][:40])
    np.testing.assert_array_equal(taken[1], recordings[0][10:50])


@pytest.mark.parametrize("average", [1, 4])
def test_kept_windows_are_the_same_batches_averaged(average):
    rng = np.random.default_rng(0)
    scaler, rows = Scaler(np.array([1.0, 2.0, 3.0]), 2.0), np.array([6, 0, 69, 3])

    def averaged(windows):
        return windows.reshape(len(windows), 3, -1, average).mean(3)

    eeg = rng.normal(0, 9, (70, 12, 3)).astype(np.float32)
    source = Source(eeg, scaler, np.arange(70.0)[:, None])
    kept, plain = source.keep(average).batch(rows), source.batch(rows)
    torch.testing.assert_close(kept[0], averaged(plain[0]))
    torch.testing.assert_close(kept[1], plain[1], rtol=0, atol=0)

    crops = Source(Crops([rng.normal(0, 9, (samples, 3)) for samples in (30, 51)], 12, 4), scaler)
    rows = np.arange(len(crops.eeg))
    assert len(rows) == 5 + 10
    torch.testing.assert_close(crops.keep(average).batch(rows)[0], averaged(crops.batch(rows)[0]))
    with pytest.raises(ValueError, match="averaged by 5"):
        source.keep(5)


def test_an_error_while_reading_reaches_the_training():
    with pytest.raises(IndexError):
        list(stream(_source(), np.array([99]), 4, 0, 0, 1))


def test_schedules():
    stairs = paper_optim(30, 10, an_epoch=5)
    rates = [rate_at(step, 150, stairs) for step in (0, 49, 50, 100)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6])
    cosine = small_fit(110, learning_rate=1.0, warmup=10).optim
    assert [rate_at(step, 110, cosine) for step in (0, 9, 10, 60, 110)] == pytest.approx([0.1, 1, 1, 0.5, 0])
    assert FitConfig().updates == 20 * 235  # the paper's fine-tuning


def test_the_one_training_loop_gives_the_weights_of_a_loop_written_out():
    """Bit by bit: rates, seeds, clip, decay of matrices alone."""
    source, rows = _source(), np.arange(10)
    model, plain = _model(), _model()
    fit_windows(model, supervised(functional.mse_loss), source, rows, SETTINGS, 5)
    matrices = [p for p in plain.parameters() if p.ndim > 1 and len(p) > 1]
    vectors = [p for p in plain.parameters() if p.ndim == 1 or len(p) == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}], fused=True
    )
    plain.train()
    for step, eeg, targets in stream(source, rows, 4, 5, 0, 12):
        torch.manual_seed(np.random.SeedSequence([5, step]).generate_state(1, np.uint64)[0].item() >> 1)
        for group in optimizer.param_groups:
            warm, share = (step + 1) / 2, max(0, step - 2) / 10
            group["lr"] = 1e-2 * warm if step < 2 else 1e-2 * 0.5 * (1 + math.cos(math.pi * share))
        optimizer.zero_grad()
        assert targets is not None
        functional.mse_loss(plain(eeg), targets).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_a_training_that_meets_nonsense_ends_with_a_word():
    source = _source()
    assert isinstance(source.eeg, np.ndarray)
    source.eeg[3] = np.nan
    with pytest.raises(UserError, match="loss is nan"):
        fit_windows(_model(), supervised(functional.mse_loss), source, np.arange(10), SETTINGS, 5)


def test_scaling_gives_unit_spread_cuts_extremes_and_survives_a_flat_channel():
    rng = np.random.default_rng(0)
    eeg = rng.normal(0, [5, 50, 0], (200, 100, 3))
    eeg[0, 0, 0] = 1e6
    scaled = fit_scaler(eeg, np.arange(200))(eeg)
    assert scaled.shape == (200, 3, 100)
    np.testing.assert_allclose(scaled[1:, :2].std((0, 2)), 1, atol=0.05)
    assert scaled.max() == 6
    assert np.isfinite(scaled).all()
    np.testing.assert_array_equal(Scaler(np.ones(3), 0)(eeg)[0, 0, 0], np.float32(1e6))


def test_a_probe_of_features_that_hold_the_answer_finds_it():
    source = _source(windows=60)
    assert source.targets is not None
    parts = np.arange(40), np.arange(40, 50), np.arange(50, 60)
    _, predicted = linear_probe(lambda x: x.flatten(1), source, source.targets, *parts)
    np.testing.assert_allclose(predicted, source.targets[50:], atol=0.2)


def test_relevance_points_at_the_only_channel_that_is_used():
    class First(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 2].sum(1), x[:, 0].sum(1) * 5], 1)

    relevance = channel_relevance(First(), _source(), np.arange(14))
    np.testing.assert_array_equal(relevance, [[0, 0, 1], [1, 0, 0]])


def test_targets_are_scaled_and_scaled_back_in_every_task():
    rng = np.random.default_rng(0)
    labels = rng.uniform(0.1, 3, (20, 2))
    for task in ("Position", "Direction"):
        target = target_of(task, labels)
        np.testing.assert_allclose(target.predictions(target.scaled(labels)), labels)
        assert target.score(labels, labels)[target.error] == pytest.approx(0)
    sides = target_of("LR", np.array([[0.0], [1.0]]))
    assert sides.score(np.array([[-2.0], [0.5]]), np.array([[0.0], [0.0]]))["accuracy"] == 0.5
    angles = torch.tensor([3.1]), torch.tensor([-3.1])
    assert squared_angle(*angles).item() == pytest.approx((2 * np.pi - 6.2) ** 2, rel=1e-4)


def test_amplitudes_that_are_kept_stand_in_the_channels_own_proportions():
    eeg = np.random.default_rng(0).normal(0, 1, (9, 50, 3)) * np.array([2.0, 4.0, 12.0])
    plain, kept = (Scaler(np.array([2.0, 4.0, 12.0]), 100.0, keep)(eeg) for keep in (False, True))
    assert kept[:, 2].std() / kept[:, 0].std() == pytest.approx(eeg[..., 2].std() / eeg[..., 0].std())
    assert (kept**2).mean() == pytest.approx((plain**2).mean(), rel=0.2)
    assert np.abs(Scaler(np.ones(3), 2.0, True)(eeg)).max() == 2.0  # cut before it is weighed


def test_dropped_channels_are_silent_whole_and_made_up_for_on_average():
    torch.manual_seed(0)
    seen = []
    loss = supervised(lambda outputs, targets: seen.append(outputs) or outputs.sum(), drop_channels=0.25)
    loss(nn.Identity(), torch.ones(64, 40, 5), torch.zeros(1))
    assert seen[0].unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert torch.equal(seen[0], seen[0][..., :1].expand(-1, -1, 5))
    assert seen[0].mean().item() == pytest.approx(1.0, abs=0.05)
