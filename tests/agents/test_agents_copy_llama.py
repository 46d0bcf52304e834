"""The copy model: its logits are a distribution, and neither padding nor caching changes it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from turnsmith.agents.copy_llama import CopyLlamaForCausalLM, match_lengths, new_copy_llama
from turnsmith.engine.forward import left_pad


@pytest.fixture(scope="module")
def model() -> CopyLlamaForCausalLM:
    """Weights far from their initial values, so that every part matters."""
    made = new_copy_llama(1000, width=32, layers=2, heads=2, context=128, content_heads=2, induction_heads=2).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return made


@pytest.fixture
def rows() -> list[list[int]]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(2, 30, (length,), generator=generator).tolist() for length in (7, 23, 1, 16)]


def test_logits_are_log_probabilities(model, rows):
    with torch.no_grad():
        logits = model(*left_pad(rows)).logits
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(logits.shape[:2]))


def test_rows_without_pointers_learn_from_the_vocabulary_alone_and_only_while_training(rows):
    made = new_copy_llama(1000, width=32, layers=2, heads=2, context=128, pointer_dropout=1.0)
    batch = left_pad(rows)
    with torch.no_grad():
        dropped, both = made.train()(*batch).logits, made.eval()(*batch).logits
        hidden = made.model(
            inputs_embeds=made._embed(batch[0], batch[1], torch.where(batch[1].bool(), batch[0], -3), 0),
            attention_mask=batch[1],
            position_ids=(batch[1].cumsum(dim=1) - 1).clamp_min(0),
        ).last_hidden_state
        alone = F.linear(hidden, made.model.embed_tokens.weight).log_softmax(dim=-1)
        made.config.pointer_dropout = 0.0
        torch.testing.assert_close(made.train()(*batch).logits, both)
    real = batch[1].bool()
    torch.testing.assert_close(dropped[real], alone[real], atol=1e-4, rtol=0)
    assert not torch.allclose(both[real], alone[real], atol=1e-2)


def test_match_lengths_agrees_with_counting():
    ids = torch.tensor([[5, 6, 7, 5, 6, 7, 8, 5, 6], [1, 1, 1, 1, 2, 1, 1, 1, 1]])
    wanted = torch.tensor([8, 0, 5])
    matched = match_lengths(ids, wanted, longest=3)
    for row, sequence in enumerate(ids.tolist()):
        for column, r in enumerate(wanted.tolist()):
            for j in range(len(sequence)):
                count = 0
                while count < 3 and min(r, j) - count >= 0 and sequence[r - count] == sequence[j - count]:
                    count += 1
                assert matched[row, column, j] == count


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(model, rows, side):
    ids, mask = left_pad(rows)
    if side == "right":
        width = ids.shape[1]
        ids = torch.stack([F.pad(torch.tensor(row), (0, width - len(row))) for row in rows])
        mask = torch.stack([F.pad(torch.ones(len(row), dtype=torch.long), (0, width - len(row))) for row in rows])
    with torch.no_grad():
        padded = model(ids, attention_mask=mask).logits
        for index, row in enumerate(rows):
            alone = model(torch.tensor([row])).logits[0]
            torch.testing.assert_close(padded[index][mask[index].bool()], alone, atol=1e-5, rtol=0)


def test_incremental_decoding_equals_the_full_forward(model, rows):
    ids, mask = left_pad(rows)
    with torch.no_grad():
        full = model(ids, attention_mask=mask).logits
        cut = 18
        output = model(ids[:, :cut], attention_mask=mask[:, :cut], use_cache=True)
        pieces = [output.logits]
        for end in [cut + 1, cut + 4, ids.shape[1]]:  # one token at a time, and several
            start = sum(piece.shape[1] for piece in pieces)
            output = model(ids[:, start:end], attention_mask=mask[:, :end], past_key_values=output.past_key_values)
            pieces.append(output.logits)
    real = mask.bool()
    torch.testing.assert_close(torch.cat(pieces, dim=1)[real], full[real], atol=1e-5, rtol=0)


def test_only_the_wanted_logits_are_computed(model, rows):
    ids, mask = left_pad(rows)
    with torch.no_grad():
        full = model(ids, attention_mask=mask).logits
        torch.testing.assert_close(model(ids, attention_mask=mask, logits_to_keep=3).logits, full[:, -3:])
        chosen = torch.tensor([4, 20])
        torch.testing.assert_close(model(ids, attention_mask=mask, logits_to_keep=chosen).logits, full[:, chosen])


def test_what_was_never_said_again_cannot_be_copied(model):
    """With the vocabulary switched off, all probability lies on tokens of the context."""
    pointer = copy.deepcopy(model)
    pointer.copy_gate.weight.data.zero_()
    pointer.copy_gate.bias.data[0] = -50.0
    ids = torch.tensor([[11, 12, 13, 11, 14]])
    with torch.no_grad():
        probabilities = pointer(ids).logits[0, -1].exp()
    assert probabilities[[11, 12, 13, 14]].sum() == pytest.approx(1, abs=1e-5)


def test_an_induction_head_copies_what_came_next(model):
    """With no content to go by, the pointer follows the longest n-gram that ends like the context."""
    pointer = copy.deepcopy(model)
    pointer.copy_query.weight.data.zero_()
    pointer.copy_gate.weight.data.zero_()
    pointer.copy_gate.bias.data.copy_(torch.tensor([-50.0, -50.0, -50.0, 0.0, 0.0]))
    pointer.copy_match.data.copy_(10.0 * torch.arange(5.0).expand(2, 5))
    with torch.no_grad():
        # "20 21" was followed by 22; "30 21", which matches one token less, by 23.
        following = pointer(torch.tensor([[30, 21, 23, 20, 21, 22, 40, 20, 21]])).logits[0, -1].exp()
    assert following.argmax() == 22
    assert following[22] > 0.99


def test_a_saved_model_loads_as_any_other_and_is_equal(model, rows, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(loaded, CopyLlamaForCausalLM)
    ids, mask = left_pad(rows)
    with torch.no_grad():
        assert torch.equal(loaded(ids, attention_mask=mask).logits, model(ids, attention_mask=mask).logits)


def test_every_parameter_learns(model, rows):
    ids, mask = left_pad(rows)
    trained = copy.deepcopy(model)
    trained(ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
    for name, parameter in trained.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_seed_decides_the_weights_and_nothing_else():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (new_copy_llama(1000, width=32, layers=1, heads=2, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.model.embed_tokens.weight, other.model.embed_tokens.weight)
