"""The one training loop: its sums, its limits, and that a resumed run ends where an uninterrupted one does."""

import pytest
import torch
from torch import nn

from turnsmith.errors import UserError
from turnsmith.learn.checkpoint import TENSORS, ModelFormat, TrainingState
from turnsmith.learn.fit import fit, make_optimizer, mean_of_last_tenth
from turnsmith.learn.optim import OptimConfig, rate_at
from turnsmith.runs.once import iterations, once

torch.set_num_threads(1)
PLAIN = OptimConfig(learning_rate=0.1, warmup_updates=0, schedule="constant", optimizer="sgd", momentum=0.0,
                    weight_decay=0.0, grad_clip=0.0)  # fmt: skip


def scalar(value: float = 1.0) -> nn.Linear:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def squares(module: nn.Linear, parts: int = 1):
    """w² / 2 in `parts` equal passes: its gradient is w, so that SGD multiplies w by 1 − rate."""
    return lambda update: (module.weight.square().sum() / 2 / parts for _ in range(parts))


@pytest.mark.parametrize("parts", [1, 3])
def test_an_update_is_the_sum_of_its_passes(parts):
    module = scalar()
    losses = fit(module, squares(module, parts), PLAIN, total=3)
    assert module.weight.item() == pytest.approx(0.9**3)
    assert losses == pytest.approx([0.5, 0.5 * 0.81, 0.5 * 0.81**2])


def test_gradients_are_cut_to_the_limit():
    module = scalar(100.0)
    fit(module, squares(module), OptimConfig(**{**_fields(PLAIN), "grad_clip": 2.0}), total=1)
    assert module.weight.item() == pytest.approx(100 - 0.1 * 2)


def test_a_loss_that_is_no_number_leaves_the_weights_as_they_were():
    module = scalar()
    with pytest.raises(UserError, match="update 1: the loss is nan"):
        fit(module, lambda _: [module.weight.sum() * float("nan")], PLAIN, total=1)
    assert module.weight.item() == 1.0


def test_an_update_without_a_loss_is_an_error_of_the_caller():
    with pytest.raises(ValueError, match="without a loss"):
        fit(scalar(), lambda _: [], PLAIN, total=1)


def test_schedules_by_hand():
    linear = OptimConfig(learning_rate=1.0, warmup_updates=0, schedule="linear", final_rate=0.0)
    assert [rate_at(update, 4, linear) for update in range(4)] == [1.0, 0.75, 0.5, 0.25]
    cosine = OptimConfig(learning_rate=1.0, warmup_updates=2, schedule="cosine", final_rate=0.5)
    assert rate_at(0, 4, cosine) == pytest.approx(0.5)
    assert rate_at(2, 4, cosine) == pytest.approx(0.75)


def test_a_rate_of_its_own_and_what_is_done_after_each_step():
    module = scalar()

    def clip() -> None:
        module.weight.data.clamp_(min=0.95)

    fit(module, squares(module), PLAIN, total=2, rate=lambda update: [0.5, 0.01][update], after_step=clip)
    assert module.weight.item() == pytest.approx(0.95)


def test_training_ends_where_it_is_told_to():
    module = scalar()
    assert len(fit(module, squares(module), PLAIN, total=9, on_update=lambda progress: progress.update == 4)) == 4


def test_without_weight_decay_adamw_is_adam_to_the_bit():
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    config = OptimConfig(learning_rate=0.01, warmup_updates=0, schedule="constant", weight_decay=0.0,
                         betas=(0.9, 0.999), grad_clip=0.0)  # fmt: skip
    fit(ours, lambda _: [ours(x).square().mean()], config, total=5)
    for _ in range(5):
        adam.zero_grad()
        theirs(x).square().mean().backward()
        adam.step()
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)


class Tiny(nn.Linear):
    """A module that is saved as models are."""

    def save_pretrained(self, folder) -> None:
        from safetensors.torch import save_file

        save_file(
            {name: tensor.contiguous() for name, tensor in self.state_dict().items()}, folder / "model.safetensors"
        )


def test_a_loop_goes_on_bit_for_bit_with_its_moments_and_random_state(tmp_path):
    def rounds(folder, stop: int | None):
        torch.manual_seed(3)
        module = Tiny(4, 1)
        optimizer = make_optimizer(module, OptimConfig())
        state = TrainingState(module, optimizer=optimizer)
        for number in iterations(folder, "rounds", 4, state):
            state.notes["seen"] = [*state.notes.get("seen", []), number]
            x = torch.randn(5, 4)
            fit(module, lambda _, x=x: [module(x).square().mean()], OptimConfig(), total=2, optimizer=optimizer)
            if number == stop:
                return None
        return module.state_dict(), state.notes

    whole = rounds(tmp_path / "whole", None)
    assert rounds(tmp_path / "cut", 3) is None
    again = rounds(tmp_path / "cut", None)
    assert whole is not None
    assert again is not None
    assert whole[1] == again[1] == {"seen": [1, 2, 3, 4]}
    assert all(torch.equal(whole[0][name], again[0][name]) for name in whole[0])


def test_weights_and_tensors_are_kept_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return scalar(7.0)

    class Saved(ModelFormat):
        def write(self, value, folder) -> None:
            torch.nn.Module.state_dict(value)
            Tiny.save_pretrained(value, folder)

    for _ in range(2):
        model = once(tmp_path, "net", {"seed": 0}, make, Saved(scalar(0.0)))  # type: ignore
        assert model.weight.item() == 7.0
        view = torch.arange(6.0).reshape(2, 3).T
        tensors = once(tmp_path, "view", {}, lambda view=view: {"v": view, "same": view}, TENSORS)
        assert torch.equal(tensors["v"], view)
    assert made == [1]


def _fields(config: OptimConfig) -> dict:
    return {name: getattr(config, name) for name in OptimConfig.__dataclass_fields__}


@pytest.mark.parametrize(("losses", "mean"), [([3.0], 3.0), ([9.0] * 9 + [4.0], 4.0), ([9.0] * 18 + [1.0, 2.0], 1.5)])
def test_the_last_tenth_is_one_update_at_least(losses, mean):
    assert mean_of_last_tenth(losses) == mean


def test_no_update_has_no_last_loss():
    with pytest.raises(ValueError, match="no update"):
        mean_of_last_tenth([])
