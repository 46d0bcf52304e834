"""Log-probabilities of given tokens after given prompts: what a policy would have said of what was said."""

from collections.abc import Sequence

import torch

from turnsmith.engine.forward import Prompt, collate, group_by_length, response_logprobs
from turnsmith.engine.models import LanguageModel


def score(
    model: LanguageModel, prompts: Sequence[Prompt], responses: Sequence[Sequence[int]], batch_tokens: int = 16384
) -> list[list[float]]:
    """Natural log-probability of every response token at temperature 1, batched by length.

    Equal to what `engine.local.sample` reported for the same tokens to about 1e-5 in float32.

    Args:
        model: a Hugging Face causal LM or vision-language model; it is scored as it stands (call `eval()` first).
        prompts: what came before each response.
        responses: token ids, at least one each.
        batch_tokens: rows times columns of one forward pass.
    """
    results: list[list[float]] = [[] for _ in prompts]
    lengths = [len(prompt.ids) + len(response) for prompt, response in zip(prompts, responses, strict=True)]
    with torch.inference_mode():
        for group in group_by_length(lengths, batch_tokens):
            batch = collate([prompts[i] for i in group], [responses[i] for i in group], model.device)
            rows = response_logprobs(model, batch).tolist()
            for i, row in zip(group, rows, strict=True):
                results[i] = row[len(row) - len(responses[i]) :]
    return results
