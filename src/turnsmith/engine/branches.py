"""Several responses to one prompt, scored or trained on with the prompt read once.

A turn with 16 candidates is a long prompt and 16 short answers. Read row by row, nearly all the work is the same prompt
again; here its keys and values are computed once and copied to its candidates, with gradients through the copies. The
numbers are those of `forward.response_logprobs` up to rounding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from turnsmith.engine.forward import Prompt, collate, forward_options, left_pad, response_logprobs
from turnsmith.engine.models import rope_switch


def branch_logprobs(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    prompt_B: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Natural log-probability of each token of each response, with gradients where the model has them.

    Args:
        model: a Hugging Face causal LM that reads text alone; it is used as it stands.
        prompts: P different ones, of at least one token.
        responses: B of at least one token.
        prompt_B: which prompt each response follows.

    Returns:
        (log-probabilities, True where there is a token), both (B, K), responses aligned on the left; 0 in the padding.

    Raises:
        ValueError: if a prompt or response is empty, or the lengths differ.
    """
    if len(responses) != len(prompt_B):
        raise ValueError(f"{len(responses)} responses, but prompts of {len(prompt_B)}")
    if not all(len(ids) for ids in (*prompts, *responses)):
        raise ValueError("a prompt and a response need at least one token each")
    if not _shares_prompts(model, max(map(len, prompts)) + max(map(len, responses))):
        return _row_by_row(model, [(prompts[owner], one) for owner, one in zip(prompt_B, responses, strict=True)])
    device = model.device
    ids_PT, mask_PT = (tensor.to(device) for tensor in left_pad(prompts))
    width = max(map(len, responses))
    target_BK = torch.zeros((len(responses), width), dtype=torch.long)
    real_BK = torch.zeros_like(target_BK, dtype=torch.bool)
    for row, response in enumerate(responses):
        target_BK[row, : len(response)] = torch.as_tensor(response, dtype=torch.long)
        real_BK[row, : len(response)] = True
    target_BK, real_BK = target_BK.to(device), real_BK.to(device)
    rows_B = torch.as_tensor(list(prompt_B), device=device)

    cache = DynamicCache(config=model.config)
    output = model(input_ids=ids_PT, past_key_values=cache, use_cache=True, **forward_options(model, mask_PT, 1))
    logits_BKV = output.logits[:, -1:][rows_B]
    if width > 1:
        cache.batch_select_indices(rows_B)
        mask_BT = torch.cat([mask_PT[rows_B], real_BK[:, :-1].long()], dim=1)
        options = forward_options(model, mask_BT, width - 1, width=width - 1)
        later = model(input_ids=target_BK[:, :-1], past_key_values=cache, use_cache=True, **options).logits
        logits_BKV = torch.cat([logits_BKV, later[:, -(width - 1) :]], dim=1)
    logprob_BKV = logits_BKV.float().log_softmax(dim=-1)
    found_BK = logprob_BKV.gather(2, target_BK[..., None])[..., 0]
    return found_BK.masked_fill(~real_BK, 0.0), real_BK


def _shares_prompts(model: PreTrainedModel, longest: int) -> bool:
    """Whether what was kept of a prompt can be copied to its responses, with gradients: keys and values can, states
    that are written in place cannot, and neither can keys whose rotary factors change with the response's length."""
    switch = rope_switch(model)
    layers = DynamicCache(config=model.config).layers
    return (switch is None or longest <= switch) and all(
        isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin) for layer in layers
    )


def _row_by_row(model: PreTrainedModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> tuple[Tensor, Tensor]:
    batch = collate([Prompt(prompt) for prompt, _ in pairs], [response for _, response in pairs], model.device)
    logprob_BK, real_BK = response_logprobs(model, batch), batch.real_BK
    width = real_BK.shape[1]
    place_BK = torch.arange(width, device=real_BK.device) + (width - real_BK.sum(dim=1))[:, None]
    left_BK = place_BK < width
    return logprob_BK.gather(1, place_BK.clamp_max(width - 1)).masked_fill(~left_BK, 0.0), left_BK


def score_branches(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    candidates: Sequence[Sequence[Sequence[int]]],
    pass_tokens: int = 16384,
) -> list[list[list[float]]]:
    """Log-probability of every token of every candidate of every prompt, in passes over prompts of similar length.

    Args:
        model: as in `branch_logprobs`.
        prompts: what came before.
        candidates: of each prompt, any number, of at least one token each.
        pass_tokens: padded tokens of one pass, each candidate counted with its prompt (which is what is kept of it).
    """
    found: list[list[list[float]]] = [[[] for _ in group] for group in candidates]
    rows = [max(1, len(group)) for group in candidates]
    lengths = [
        len(prompt) + max((len(candidate) for candidate in group), default=0)
        for prompt, group in zip(prompts, candidates, strict=True)
    ]
    order = sorted((index for index in range(len(prompts)) if candidates[index]), key=lambda index: -lengths[index])
    with torch.inference_mode():
        while order:
            longest, part, used = lengths[order[0]], [], 0
            while order and (not part or (used + rows[order[0]]) * longest <= pass_tokens):
                used += rows[order[0]]
                part.append(order.pop(0))
            responses = [candidate for index in part for candidate in candidates[index]]
            owner = [place for place, index in enumerate(part) for _ in candidates[index]]
            logprobs, _ = branch_logprobs(model, [prompts[index] for index in part], responses, owner)
            numbers = iter(zip(logprobs.tolist(), responses, strict=True))
            for index in part:
                found[index] = [row[: len(response)] for row, response in (next(numbers) for _ in candidates[index])]
    return found
