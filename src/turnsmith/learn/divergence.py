"""How far a policy has moved from another, token by token."""

from collections.abc import Sequence

import torch
from torch import Tensor

from turnsmith.engine.forward import Prompt, collate, group_by_length, response_logits
from turnsmith.engine.models import LanguageModel


def token_kl(logp_BKV: Tensor, logq_BKV: Tensor, real_BK: Tensor) -> Tensor:
    """KL(p ‖ q) of the next-token distributions at each real token, summed over tokens of a row, (B,).

    Args:
        logp_BKV, logq_BKV: normalised log-probabilities.
        real_BK: True where there is a token.
    """
    kl_BK = (logp_BKV.exp() * (logp_BKV - logq_BKV)).sum(dim=-1)
    return (kl_BK * real_BK).sum(dim=1)


def mean_token_kl(
    model: LanguageModel,
    other: LanguageModel,
    prompts: Sequence[Prompt],
    responses: Sequence[Sequence[int]],
    batch_tokens: int = 4096,
) -> float:
    """KL(model ‖ other) a token, averaged over all tokens of the responses, which `model` should have sampled.

    The distributions are compared whole at every prefix, so only the prefixes are a sample.

    Raises:
        ValueError: if there are no responses.
    """
    if not prompts:
        raise ValueError("no responses to compare two policies on")
    total, tokens = 0.0, 0
    lengths = [len(prompt.ids) + len(response) for prompt, response in zip(prompts, responses, strict=True)]
    with torch.inference_mode():
        for group in group_by_length(lengths, batch_tokens):
            batch = collate([prompts[i] for i in group], [responses[i] for i in group], model.device)
            first, second = (response_logits(each, batch).log_softmax(dim=-1) for each in (model, other))
            total += float(token_kl(first, second, batch.real_BK).sum())
            tokens += int(batch.real_BK.sum())
    return total / tokens
