"""One forward pass that suits every Hugging Face causal LM: how prompts and responses become tensors and logits.

Sampling, scoring and training all go through here, so that they cannot disagree.

Notable:
- Batches are padded on the left. Responses then end in the last column whatever their prompts' lengths, and asking the
  model for the logits of its last K positions (`logits_to_keep`, known to every family of models) skips the vocabulary
  projection of the prompt, the larger part of the head's work.
- Positions are counted from the first real token, so padding does not move anything.
- Images travel as whatever tensors the model's own processor made of them; only how to join rows is known here.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from turnsmith.engine.models import LanguageModel, base_of

# What processors give per token of the prompt rather than per image; 0 means text in all of them.
_PER_TOKEN = ("token_type_ids", "mm_token_type_ids")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads before it writes.

    Attributes:
        ids: token ids, placeholders of images included.
        vision: further inputs of the model for this one prompt, as its processor made them with a leading batch or
            image axis: pixel values, image sizes, token types. Empty for text.
    """

    ids: Sequence[int]
    vision: Mapping[str, Tensor] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts with their responses, padded on the left. B rows, T input columns, K response columns.

    Attributes:
        ids_BT: prompt and response without its last token.
        mask_BT: 1 on real tokens, 0 on padding.
        targets_BK: the response's tokens, right-aligned; column k is predicted at input column T - K + k.
        real_BK: True where `targets_BK` holds a response token.
        vision: joined inputs of the images.
    """

    ids_BT: Tensor
    mask_BT: Tensor
    targets_BK: Tensor
    real_BK: Tensor
    vision: dict[str, Tensor] = field(default_factory=dict, repr=False)


def left_pad(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of token ids as (ids, mask), each (B, T) int64, padded on the left with `pad`; mask is 1 on real tokens."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for index, row in enumerate(rows):
        if row:
            ids[index, width - len(row) :] = torch.as_tensor(row, dtype=torch.long)
            mask[index, width - len(row) :] = 1
    return ids, mask


def collate(prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Batch:
    """Pad prompts and responses into one batch.

    Raises:
        ValueError: if a prompt or a response is empty, or some rows have images and others none of that kind.
    """
    if not all(len(prompt.ids) for prompt in prompts) or not all(len(response) for response in responses):
        raise ValueError("a prompt and a response need at least one token each")
    rows = [[*prompt.ids, *response[:-1]] for prompt, response in zip(prompts, responses, strict=True)]
    ids, mask = left_pad(rows)
    targets, real = left_pad(responses)
    vision = join_vision(prompts, [len(row) for row in rows])
    return Batch(
        ids.to(device),
        mask.to(device),
        targets.to(device),
        real.bool().to(device),
        {name: value.to(device) for name, value in vision.items()},
    )


def join_vision(prompts: Sequence[Prompt], lengths: Sequence[int]) -> dict[str, Tensor]:
    """The image inputs of several prompts as one set of tensors.

    Per-token inputs are padded on the left like the ids, and with 0 (text) up to `lengths` on the right, where the
    response stands. All others are joined along their first axis; where the second axis counts a row's images
    (SmolVLM), rows with fewer are filled up with zeros, which such models skip as empty images.
    """
    names = {name for prompt in prompts for name in prompt.vision}
    joined: dict[str, Tensor] = {}
    for name in sorted(names):
        values = [prompt.vision[name] for prompt in prompts if name in prompt.vision]
        if name in _PER_TOKEN:
            if len(values) != len(prompts):
                raise ValueError(f"rows with and without {name} cannot share a batch")
            rows = [
                value.reshape(-1).tolist() + [0] * (length - value.numel())
                for value, length in zip(values, lengths, strict=True)
            ]
            joined[name] = left_pad(rows)[0]
            continue
        if values[0].dim() >= 4 and len({value.shape[1] for value in values}) > 1:
            most = max(value.shape[1] for value in values)
            values = [
                torch.cat([value, value.new_zeros(value.shape[0], most - value.shape[1], *value.shape[2:])], dim=1)
                for value in values
            ]
        joined[name] = torch.cat(values)
    return joined


def positions(mask_BT: Tensor) -> Tensor:
    """Position of each token counted from its row's first real token, (B, T); 0 on padding."""
    return (mask_BT.cumsum(dim=1) - 1).clamp_min(0)


@lru_cache(maxsize=64)
def _parameters(forward: Any) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)


def forward_options(model: LanguageModel, mask_BT: Tensor, keep: int, width: int | None = None) -> dict[str, Any]:
    """Keyword arguments of `model(...)`: positions of the last `width` columns, logits of the last `keep`.

    Models with several position axes (Qwen-VL) count for themselves and are given none.
    """
    base = base_of(model)
    known = _parameters(type(base).forward)
    options: dict[str, Any] = {"attention_mask": mask_BT}
    rope = getattr(base.config.get_text_config(), "rope_parameters", None) or {}
    if "position_ids" in known and "mrope_section" not in rope:
        options["position_ids"] = positions(mask_BT)[:, -(width or mask_BT.shape[1]) :]
    if "logits_to_keep" in known:
        options["logits_to_keep"] = keep
    return options


def response_logits(model: LanguageModel, batch: Batch) -> Tensor:
    """Logits of each response token before it was seen, (B, K, V) float32, with gradients where the model has them."""
    if getattr(model.config, "is_encoder_decoder", False):
        return _encoder_decoder_logits(model, batch)
    keep = batch.targets_BK.shape[1]
    options = forward_options(model, batch.mask_BT, keep)
    logits = model(input_ids=batch.ids_BT, use_cache=False, **options, **batch.vision).logits
    return logits[:, -keep:].float()


def _encoder_decoder_logits(model: LanguageModel, batch: Batch) -> Tensor:
    """`response_logits` of a model that reads the prompt in its encoder and writes the response in its decoder (T5)."""
    length_B, device = batch.real_BK.sum(dim=1), batch.ids_BT.device
    rows = [ids[mask.bool()] for ids, mask in zip(batch.ids_BT, batch.mask_BT, strict=True)]
    prompts = [ids[: len(ids) - int(length) + 1].tolist() for ids, length in zip(rows, length_B, strict=True)]
    ids_BL, mask_BL = (tensor.to(device) for tensor in left_pad(prompts))
    # Positions of a decoder count from its first column, so responses lie to the left here, and back again.
    count = batch.targets_BK.shape[1]
    place_BK = torch.arange(count, device=device) + (count - length_B)[:, None]
    start_B1 = batch.targets_BK.new_full((len(rows), 1), int(model.config.decoder_start_token_id or 0))
    response_BK = batch.targets_BK.gather(1, place_BK.clamp_max(count - 1))
    logits = model(
        input_ids=ids_BL,
        attention_mask=mask_BL,
        decoder_input_ids=torch.cat([start_B1, response_BK[:, :-1]], dim=1),
        use_cache=False,
        **batch.vision,
    ).logits
    back_BK = (torch.arange(count, device=device) - (count - length_B)[:, None]).clamp_min(0)
    return logits.gather(1, back_BK[..., None].expand(-1, -1, logits.shape[-1])).float()


def response_logprobs(model: LanguageModel, batch: Batch) -> Tensor:
    """Natural log-probability of each response token, (B, K) float32; 0 where there is none."""
    logprobs_BKV = response_logits(model, batch).log_softmax(dim=-1)
    chosen_BK = logprobs_BKV.gather(2, batch.targets_BK[..., None])[..., 0]
    return chosen_BK.masked_fill(~batch.real_BK, 0.0)


def group_by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in groups of similar length: rows times the longest of a group stay within `budget` tokens (one row may
    exceed it alone). Longest first, so that memory runs out at once or not at all."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    groups: list[list[int]] = []
    for index in order:
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
