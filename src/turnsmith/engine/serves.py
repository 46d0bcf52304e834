"""Whether a model is served right: what it says while it samples must be what it says when the same tokens are scored.

Every family of models keeps something of its own about the tokens that it has read. Where a cache is handed over under
another name, or a row of a batch sees its neighbours' padding, nothing crashes: the samples are merely wrong. So a
model that is to act is asked once, when it is loaded, on two short prompts of different lengths.
"""

import torch

from turnsmith.engine.forward import Prompt, collate, response_logits
from turnsmith.engine.local import sample
from turnsmith.engine.models import LanguageModel, context_of
from turnsmith.engine.sampling import Sampling
from turnsmith.errors import UserError

_LENGTHS, _NEW = (9, 4), 5
_TOLERANCE = {torch.float32: 2e-3, torch.float64: 2e-3}
"""Differences that rounding explains, in units of the spread of a token's log-probabilities over the vocabulary."""
_ROUGH = 0.3
"""The same for half precision."""


def check_served(model: LanguageModel) -> None:
    """Sample after two short prompts, together and alone, and score again what was said.

    Raises:
        UserError: if the model fails, or if the log-probabilities differ by more than rounding: it cannot be served.
    """
    kind = model.config.model_type
    try:
        worst = _worst(model)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a family of models raises when it is called in a way that it does not know
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"a model of type {kind!r} cannot be sampled from here ({type(error).__name__}: {line})."
        ) from error
    if not worst <= _TOLERANCE.get(model.dtype, _ROUGH):
        raise UserError(
            f"a model of type {kind!r} cannot be served: the log-probabilities that it samples with are not those that "
            "it scores with, or a row of a batch changes with its neighbours (its cache or its padding works in a way "
            "that is not known here)."
        )


def _worst(model: LanguageModel) -> float:
    """The largest difference of a log-probability, over the spread of its distribution."""
    vocabulary = int(model.get_input_embeddings().weight.shape[0])  # pyright: ignore[reportIndexIssue]
    room = context_of(model) or sum(_LENGTHS)
    generator = torch.Generator().manual_seed(0)
    prompts = [
        Prompt(torch.randint(vocabulary, (max(1, min(length, room - _NEW)),), generator=generator).tolist())
        for length in _LENGTHS
    ]
    sampling, worst = Sampling(max_new_tokens=min(_NEW, max(1, room - 1))), 0.0
    for group in ([0, 1], [0], [1]):
        chosen = [prompts[index] for index in group]
        # The last token that the first row says ends a response, so that rows leave the batch at different times.
        ends = () if len(group) == 1 else (sample(model, chosen[:1], [0], sampling, ())[0].token_ids[1],)
        for prompt, drawn in zip(chosen, sample(model, chosen, group, sampling, ends), strict=True):
            with torch.inference_mode():
                logits_KV = response_logits(model, collate([prompt], [drawn.token_ids], model.device))[0]
            logprobs_KV = logits_KV.log_softmax(dim=-1)
            found_K = logprobs_KV.gather(1, torch.tensor(drawn.token_ids, device=model.device)[:, None])[:, 0]
            said_K = torch.tensor(drawn.logprobs, device=model.device)
            difference_K = (found_K - said_K).abs() / logprobs_KV.std(dim=-1).clamp_min(1e-6)
            worst = max(worst, float(difference_K.nan_to_num(nan=float("inf")).max()))
    return worst
