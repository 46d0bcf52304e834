"""One forward pass that suits every Hugging Face causal LM: how prompts and responses become tensors and logits.

Sampling, scoring and training all go through here, so that they cannot disagree.

Notable:
- Batches are padded on the left. Responses then end in the last column whatever their prompts' lengths, and asking the
  model for the logits of its last K positions (`logits_to_keep`, known to every family of models) skips the vocabulary
  projection of the prompt, the larger part of the head's work.
- Positions are counted from the first real token, so padding does not move anything.
- Images travel as whatever tensors the model's own processor made of them; only how to join rows is known here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from turnsmith.engine.models import LanguageModel, base_of, keeps_states, parameters_of, rope_switch
from turnsmith.errors import UserError

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


def forward_options(model: LanguageModel, mask_BT: Tensor, keep: int, width: int | None = None) -> dict[str, Any]:
    """Keyword arguments of `model(...)`: positions of the last `width` columns, logits of the last `keep`.

    Models with several position axes (Qwen-VL) count for themselves and are given none.
    """
    base = base_of(model)
    known = parameters_of(type(base).forward)
    options: dict[str, Any] = {"attention_mask": mask_BT}
    if width is not None and keeps_states(model):
        options = {}  # a state-space model's mask is that of the columns it is given, and these are real
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
    switch = rope_switch(model)
    if switch is not None and batch.ids_BT.shape[1] > switch and int(batch.mask_BT.sum(dim=1).max()) > switch:
        return _logits_across(model, batch, switch)
    return _last_logits(model, batch.ids_BT, batch.mask_BT, keep, batch.vision)


def _last_logits(
    model: LanguageModel, ids_BT: Tensor, mask_BT: Tensor, keep: int, vision: Mapping[str, Tensor]
) -> Tensor:
    options = forward_options(model, mask_BT, keep)
    return model(input_ids=ids_BT, use_cache=False, **options, **vision).logits[:, -keep:].float()


def _logits_across(model: LanguageModel, batch: Batch, switch: int) -> Tensor:
    """`response_logits` of a model whose rotary factors change beyond `switch` tokens, where some rows are longer.

    Each token is predicted as from its own prefix alone: with the first factors where the prefix has up to `switch`
    tokens, with the others beyond. Rows that cross are read twice.
    """
    if batch.vision:
        raise UserError(
            f"this model's rotary embedding changes beyond {switch:,} tokens, and with pictures it is served up to "
            "there. Show less history or smaller pictures."
        )
    keep, device = batch.targets_BK.shape[1], batch.ids_BT.device
    length_B = batch.mask_BT.sum(dim=1)
    prefix_BK = length_B[:, None] - (keep - 1 - torch.arange(keep, device=device))
    rows = [ids[mask.bool()].tolist() for ids, mask in zip(batch.ids_BT, batch.mask_BT, strict=True)]
    parts = (
        ((batch.real_BK & (prefix_BK <= switch)).any(dim=1), switch, prefix_BK <= switch),
        (length_B > switch, max(map(len, rows)), prefix_BK > switch),
    )
    logits_BKV: Tensor | None = None
    for rows_B, most, wanted_BK in parts:
        chosen = rows_B.nonzero()[:, 0]
        if not len(chosen):
            continue
        ids, mask = (tensor.to(device) for tensor in left_pad([rows[index][:most] for index in chosen.tolist()]))
        found = _last_logits(model, ids, mask, keep, {})
        found = torch.nn.functional.pad(found, (0, 0, keep - found.shape[1], 0))
        missing = length_B[chosen] - length_B[chosen].clamp_max(most)  # tokens that were cut from each row's end
        place = (torch.arange(keep, device=device) + missing[:, None]).clamp_max(keep - 1)
        found = found.gather(1, place[..., None].expand_as(found))
        if logits_BKV is None:
            logits_BKV = found.new_zeros(len(rows), keep, found.shape[-1])
        use = wanted_BK[chosen][..., None]
        logits_BKV = logits_BKV.index_copy(0, chosen, torch.where(use, found, logits_BKV[chosen]))
    assert logits_BKV is not None
    return logits_BKV


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
