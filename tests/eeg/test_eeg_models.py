"""Models against oracles: torch's own convolutions, transformers' ViT, and what masking must and must not see."""

import json
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from turnsmith.eeg import mae
from turnsmith.eeg.baselines import BASELINES, braindecode_model
from turnsmith.eeg.vit import Block, EEGViT, load_image_weights
from turnsmith.errors import UserError

TINY = {"filters": 8, "width": 16, "depth": 2, "heads": 2, "mlp": 32, "head": 8}


def tiny(**more):
    torch.manual_seed(0)
    return EEGViT(**{**TINY, **more})


def test_the_stem_is_the_paper_s_two_convolutions():
    model = tiny().eval()
    assert model.stem.batchnorm1.running_mean is not None
    model.stem.batchnorm1.running_mean.normal_()
    eeg = torch.randn(2, 129, 500)
    time = nn.Conv2d(1, 8, (1, 36), (1, 36), (0, 2), bias=False)
    time.weight = model.stem.conv1.weight
    expected = model.stem.projection(model.stem.batchnorm1(time(eeg[:, None])))  # (2, 16, 16, 14)
    assert expected.shape == (2, 16, 16, 14)
    torch.testing.assert_close(model.stem(model.patches(eeg)), expected.flatten(2).transpose(1, 2))


def test_batch_statistics_are_the_convolution_s_in_training():
    model = tiny().train()
    eeg = torch.randn(3, 128, 504)  # whole patches: no padding to count
    model2 = tiny(n_chans=128, n_times=504).train()
    reference = nn.BatchNorm2d(8)
    time = functional.conv2d(eeg[:, None], model2.stem.conv1.weight, stride=(1, 36))
    reference(time)
    model2.stem(model2.patches(eeg))
    torch.testing.assert_close(model2.stem.batchnorm1.running_mean, reference.running_mean)
    torch.testing.assert_close(model2.stem.batchnorm1.running_var, reference.running_var)
    assert model.tokens == 224


def test_the_paper_s_sizes():
    with torch.device("meta"):
        model = EEGViT()
    assert (model.grid, model.tokens, model.padding) == ((16, 14), 224, (2, 2))
    blocks = sum(p.numel() for p in model.blocks.parameters())
    assert blocks == 12 * (4 * 768 * 768 + 4 * 768 + 2 * 768 * 3072 + 768 + 3072 + 4 * 768)  # ViT-Base's 85 M
    state = model.state_dict()
    assert [tuple(state[f"head.{index}.weight"].shape) for index in (0, 2)] == [(1000, 768), (2, 1000)]


def test_blocks_with_image_weights_compute_what_transformers_vit_computes(tmp_path):
    from safetensors.torch import load_file, save_file
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, layer_norm_eps=1e-6,
        image_size=32, patch_size=8, num_channels=1,
    )  # fmt: skip
    theirs = ViTModel(config, add_pooling_layer=False).eval()
    nn.init.normal_(theirs.embeddings.cls_token)
    theirs.save_pretrained(tmp_path)
    ours = tiny().eval()
    before = ours.positions.clone()
    filled = load_image_weights(ours, tmp_path)
    assert "blocks.1.qkv.weight" in filled
    torch.testing.assert_close(ours.positions, before)
    with torch.no_grad():
        theirs.embeddings.position_embeddings.zero_()
        ours.positions.zero_()
        image = torch.randn(2, 1, 32, 32)
        tokens = theirs.embeddings(image)[:, 1:]
        torch.testing.assert_close(ours.transform(tokens), theirs(image).last_hidden_state, atol=1e-5, rtol=1e-5)
    # The classifier's file, as google/vit-base-patch16-224 is published, has a prefix.
    plain = load_file(tmp_path / "model.safetensors")
    save_file({f"vit.{name}": tensor for name, tensor in plain.items()}, tmp_path / "model.safetensors")
    again = tiny().eval()
    assert load_image_weights(again, tmp_path) == filled
    for key in filled:
        torch.testing.assert_close(again.state_dict()[key], ours.state_dict()[key])


def test_a_block_that_is_asked_for_some_tokens_gives_what_the_whole_block_gives_for_them():
    torch.manual_seed(0)
    block = Block(16, 2, 32)
    x = torch.randn(3, 7, 16, requires_grad=True)
    rows = torch.tensor([[0, 3, 6], [1, 2, 4], [5, 2, 0]])
    some, every = block(x, rows), block(x).gather(1, rows[:, :, None].expand(-1, -1, 16))
    torch.testing.assert_close(some, every)
    wanted, expected = (torch.autograd.grad(out.square().sum(), [x, *block.parameters()]) for out in (some, every))
    torch.testing.assert_close(wanted, expected)


def test_image_weights_of_another_size_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 768, "num_hidden_layers": 12}))
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="768 and 12"):
        load_image_weights(tiny(), tmp_path)
    with pytest.raises(UserError, match="safetensors"):
        load_image_weights(tiny(), tmp_path / "missing")


def test_input_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="129, 500"):
        tiny()(torch.zeros(1, 64, 500))


def test_averaged_samples_are_all_that_the_model_sees_of_them():
    model = tiny(n_chans=10, n_times=60, patch_chans=10, kernel=20, average=5, pool="tokens").eval()
    eeg = torch.randn(2, 10, 60)
    flat = eeg.view(2, 10, 12, 5).mean(3).repeat_interleave(5, 2)
    assert model.patches(eeg).shape == (2, 3, 10, 4)
    torch.testing.assert_close(model(eeg), model(flat))
    with pytest.raises(ValueError, match="cannot be averaged"):
        tiny(kernel=21, average=5)


def test_the_head_reads_the_class_token_the_mean_or_every_token():
    eeg = torch.randn(2, 129, 500)
    model, encoded = tiny().eval(), {}
    for model.pool in ("cls", "mean", "tokens"):
        encoded[model.pool] = model.features(eeg)
    assert encoded["cls"].shape == (2, 16)
    assert encoded["tokens"].shape == (2, 224 * 16)
    torch.testing.assert_close(encoded["tokens"].view(2, 224, 16).mean(1), encoded["mean"])


@pytest.mark.parametrize("ratio", [0.5, 0.7])
def test_exactly_the_share_of_values_and_tokens_is_hidden(ratio):
    mask = mae.mask_values(torch.zeros(3, 129, 500), ratio)
    assert (mask == 0).flatten(1).sum(1).tolist() == [int(ratio * 64_500)] * 3
    assert not torch.equal(mask[0], mask[1])  # each window its own
    keep, hidden = mae.mask_tokens(3, 224, ratio)
    assert hidden.shape == (3, int(ratio * 224))
    for row in range(3):
        assert sorted([*keep[row].tolist(), *hidden[row].tolist()]) == list(range(224))


def test_what_is_hidden_cannot_reach_the_prediction():
    model = mae.FixedMae(tiny(), width=16, depth=1, heads=2).eval()
    patches = torch.randn(2, 224, 8, 36)
    keep, hidden = mae.mask_tokens(2, 224, 0.5)
    other = patches.scatter(1, hidden[:, :, None, None].expand(-1, -1, 8, 36), torch.randn(2, 112, 8, 36))
    torch.testing.assert_close(model.reconstruct(patches, keep, hidden), model.reconstruct(other, keep, hidden))
    undropped = mae.FixedMae(tiny(), width=16, depth=1, heads=2, drop=False).eval()
    torch.testing.assert_close(undropped.reconstruct(patches, keep, hidden), undropped.reconstruct(other, keep, hidden))


def test_dropped_tokens_never_enter_the_encoder():
    """The encoder's blocks work on half of the tokens: that is where the time goes."""
    model, seen = mae.FixedMae(tiny(), 0.5, width=16, depth=1, heads=2), []
    model.encoder.blocks[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    model.encoder.stem.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    model(torch.randn(2, 129, 500))
    assert seen == [112, 113]


def test_reconstruction_lands_on_the_hidden_patches():
    """With targets equal to a known function of the position, the gathered rows are those positions'."""
    model = mae.FixedMae(tiny(), width=16, depth=1, heads=2)
    patches = torch.arange(224.0)[None, :, None, None].expand(2, 224, 8, 36)
    _, hidden = mae.mask_tokens(2, 224, 0.5)
    torch.testing.assert_close(model.targets(patches, hidden)[:, :, 0], hidden.float())


def test_normalised_targets_have_no_mean_and_unit_spread():
    model = mae.FixedMae(tiny(), width=16, depth=1, heads=2, normalise="patch")
    _, hidden = mae.mask_tokens(1, 224, 0.5)
    target = model.targets(5 + 3 * torch.randn(1, 224, 8, 36), hidden)
    torch.testing.assert_close(target.mean(2), torch.zeros(1, 112), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.var(2), torch.ones(1, 112), atol=1e-4, rtol=0)


def test_the_released_decoder_attends_across_the_batch_and_the_fixed_one_does_not():
    torch.manual_seed(0)
    paper = mae.PaperMae(tiny(), heads=2, hidden=32).eval()
    eeg = torch.randn(3, 129, 500)
    changed = torch.cat([eeg[:2], torch.randn(1, 129, 500)])
    assert not torch.allclose(paper.reconstruct(eeg)[0], paper.reconstruct(changed)[0])
    fixed = mae.FixedMae(tiny(), width=16, depth=1, heads=2).eval()
    keep, hidden = mae.mask_tokens(3, 224, 0.5)
    ours, theirs = (fixed.reconstruct(fixed.encoder.patches(x), keep, hidden)[0] for x in (eeg, changed))
    torch.testing.assert_close(ours, theirs)


def test_the_released_loss_is_zero_for_the_truth_and_one_for_nothing_alike():
    eeg = torch.randn(2, 4, 50)
    assert mae.cosine_loss(3 * eeg, eeg).item() == pytest.approx(0, abs=1e-6)
    assert mae.cosine_loss(-eeg, eeg).item() == pytest.approx(2, abs=1e-6)


def test_interpolation_joins_known_neighbours_and_holds_the_ends():
    eeg = torch.tensor([[[9.0, 1.0, 9.0, 9.0, 4.0, 9.0]]])
    mask = torch.tensor([[[0.0, 1.0, 0.0, 0.0, 1.0, 0.0]]])
    filled = mae.interpolate_values(eeg, mask)
    torch.testing.assert_close(filled, torch.tensor([[[1.0, 1.0, 2.0, 3.0, 4.0, 4.0]]]))


def test_patches_are_interpolated_over_time_within_their_channels():
    model = tiny(n_chans=16, n_times=36 * 5)
    ramp = torch.arange(180.0).expand(1, 16, 180) + 1000 * torch.arange(16.0)[None, :, None]
    patches = model.patches(ramp)
    keep = torch.tensor([[0, 1, 3, 4, 5, 7, 8, 9]])  # spans 2 of group 0 and 1 of group 1 are hidden
    filled = mae.interpolate_patches(patches * 1.0, model.grid, keep)
    torch.testing.assert_close(filled, patches)


@pytest.mark.parametrize("name", list(BASELINES))
def test_baselines_take_braindecode_s_arguments_and_shapes(name):
    model = BASELINES[name](n_chans=6, n_times=64, n_outputs=3)
    out = model(torch.randn(2, 6, 64))
    assert out.shape == (2, 3)
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_baselines_have_the_benchmark_s_sizes():
    """Parameters counted from the published sizes: convolutions, norms, shortcuts and the head."""
    with torch.device("meta"):
        count = {name: sum(p.numel() for p in make().parameters()) for name, make in BASELINES.items()}
    head = lambda features: 2 * (features * 500 + 1)  # noqa: E731
    cnn = 129 * 16 * 64 + 11 * 16 * 16 * 64 + 12 * 32
    cnn += (129 + 3 * 16) * 16 * 64 + 4 * (16 + 32) + head(16)
    assert count["CNN"] == cnn
    widths = [129, 16, 32, 48, 64, 80, 96]
    assert count["PyramidalCNN"] == sum(16 * a * b + 2 * b for a, b in pairwise(widths)) + head(96)
    assert count["EEGNet"] == 16 * 256 + 32 + 64 * 129 + 128 + 256 * 64 + 4 * 256 + 8 + 2 * (4 * 500 + 1)
    separable = (129 * 40 + 129 * 64) + 17 * (64 * 40 + 64 * 64) + 18 * 128
    assert count["Xception"] == separable + (129 + 5 * 64) * 64 * 40 + 6 * (64 + 128) + head(64)
    inception = 12 * (16 * 16 * (64 + 32 + 16) + 128) + (129 + 11 * 64) * 16 * (64 + 1)
    assert count["InceptionTime"] == inception + (129 + 3 * 64) * 64 * 64 + 4 * (64 + 128) + head(64)


def test_braindecode_is_asked_for_by_name():
    pytest.importorskip("braindecode")
    assert braindecode_model("EEGNet", 6, 128, 2)(torch.randn(1, 6, 128)).shape == (1, 2)


def test_without_braindecode_the_message_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "braindecode", None)
    with pytest.raises(UserError, match="pip install braindecode"):
        braindecode_model("EEGNet", 6, 128, 2)
