"""Batched sampling from any Hugging Face causal LM: prompts and seeds in, token ids and log-probabilities out.

Texts go through the engine of threads (continuous batching: a row that is done makes room for the next prompt). Prompts
with pictures, and models that keep something else than keys and values or count positions for themselves, go through
the plain loop below, batch by batch.

Exact where it matters: every row has its own stream of random numbers that depends on its seed alone, so what is
sampled for one session does not depend on which others share the batch; and the token ids and log-probabilities that
come back are those of the tokens that were drawn.

Notable:
- One uniform number a token, turned into a token by inverting the cumulative distribution. The stream is numpy's
  Philox, so a seed means the same on CPU and GPU.
- Log-probabilities are those of the model at temperature 1 before top-p, which is what losses and scoring use.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from turnsmith.engine.cache import new_cache, select_rows
from turnsmith.engine.draw import draw
from turnsmith.engine.forward import Prompt, forward_options, group_by_length, join_vision, left_pad
from turnsmith.engine.models import LanguageModel, Tokenizer
from turnsmith.engine.rows import serves
from turnsmith.engine.sampling import Sample, Sampling
from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import Limits, NoThreads, Request, Status, Tree
from turnsmith.errors import UserError
from turnsmith.trace.types import StopReason


def end_tokens(model: LanguageModel, tokenizer: Tokenizer | None = None) -> tuple[int, ...]:
    """The ids that end a response: those of the generation config, else of the model's config, and the tokenizer's."""
    found: list[int] = []
    for source in (getattr(model, "generation_config", None), model.config.get_text_config(), tokenizer):
        ids = getattr(source, "eos_token_id", None)
        if ids is not None and (source is tokenizer or not found):
            found += [ids] if isinstance(ids, int) else list(ids)
    return tuple(dict.fromkeys(found))


def sample(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    sampling: Sampling,
    eos_ids: Sequence[int],
    decode: Callable[[list[int]], str] | None = None,
    batch_tokens: int = 16384,
) -> list[Sample]:
    """Sample one response a prompt.

    Args:
        model: a Hugging Face causal LM or vision-language model in `eval()` mode.
        prompts: what the model reads; rows of similar length are batched together. A prompt that is given several
            times, as the same object, is read once a batch.
        seeds: one a prompt; each determines its row's sample, whatever else is in the batch (up to rounding: two
            tokens within 1e-6 of a tie).
        sampling: temperature and limits.
        eos_ids: tokens that end a response; see `end_tokens`.
        decode: token ids to text; needed where `sampling.stop` is given.
        batch_tokens: rows times columns (prompt and response) of one batch.

    Raises:
        UserError: if a prompt and its response do not fit into the model's context.
        ValueError: if a prompt is empty, or stop strings are given without `decode`.
    """
    if sampling.stop and decode is None:
        raise ValueError("stop strings need `decode`")
    if not all(len(prompt.ids) for prompt in prompts):
        raise ValueError("a prompt needs at least one token")
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    lengths = [len(prompt.ids) + sampling.max_new_tokens for prompt in prompts]
    if limit and lengths and max(lengths) > limit:
        raise UserError(
            f"a prompt of {max(lengths) - sampling.max_new_tokens} tokens and {sampling.max_new_tokens} new ones do "
            f"not fit into the model's context of {limit}. Show less history or a smaller page."
        )
    if prompts and serves(model) and not any(prompt.vision for prompt in prompts):
        return _sample_threads(model, prompts, seeds, sampling, eos_ids, decode, batch_tokens, max(lengths))
    results: list[Sample | None] = [None] * len(prompts)
    with torch.inference_mode():
        for group in group_by_length(lengths, batch_tokens):
            rows = _sample_batch(
                model, [prompts[i] for i in group], [seeds[i] for i in group], sampling, eos_ids, decode
            )
            for i, row in zip(group, rows, strict=True):
                results[i] = row
    return [result for result in results if result is not None]


def _sample_threads(
    model: LanguageModel,
    prompts: Sequence[Prompt],
    seeds: Sequence[int],
    sampling: Sampling,
    eos_ids: Sequence[int],
    decode: Callable[[list[int]], str] | None,
    batch_tokens: int,
    longest: int,
) -> list[Sample]:
    def stopped(ids: list[int]) -> bool:
        return decode is not None and any(stop in decode(ids) for stop in sampling.stop)

    engine = Engine(
        model,
        NoThreads(eos_ids),
        Limits(window=longest),
        sampling.temperature,
        sampling.top_p,
        rows=max(1, min(len(prompts), batch_tokens // longest)),
        pass_tokens=batch_tokens,
        stopped=stopped if sampling.stop else None,
    )
    trees = engine.run(
        [
            Request(prompt.ids, seed, window=len(prompt.ids) + sampling.max_new_tokens)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
    )
    return [_sample_of(tree, frozenset(eos_ids)) for tree in trees]


def _sample_of(tree: Tree, ends: frozenset[int]) -> Sample:
    call = tree.root.calls[0]
    stop = StopReason.LENGTH
    if tree.root.status is Status.ENDED:
        stop = StopReason.EOS if call.token_ids[-1] in ends else StopReason.STOP
    return Sample(tuple(call.token_ids), tuple(call.logprobs), stop)


def _sample_batch(
    model: LanguageModel,
    prompts: list[Prompt],
    seeds: list[int],
    sampling: Sampling,
    eos_ids: Sequence[int],
    decode: Callable[[list[int]], str] | None,
) -> list[Sample]:
    device = model.device
    once = list({id(prompt): prompt for prompt in prompts}.values())
    place = {id(prompt): index for index, prompt in enumerate(once)}
    copies = torch.tensor([place[id(prompt)] for prompt in prompts], device=device)
    ids, mask = (tensor.to(device) for tensor in left_pad([prompt.ids for prompt in once]))
    vision = {name: value.to(device) for name, value in join_vision(once, [len(prompt.ids) for prompt in once]).items()}
    uniform = torch.from_numpy(
        np.stack([np.random.Generator(np.random.Philox(key=seed)).random(sampling.max_new_tokens) for seed in seeds])
    ).to(device)
    cache = new_cache(model)
    tokens: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    stops = [StopReason.LENGTH] * len(prompts)
    ends = frozenset(eos_ids)
    rows = list(range(len(prompts)))  # which prompt each row of the batch belongs to
    done = [False] * len(prompts)

    output = model(input_ids=ids, past_key_values=cache, use_cache=True, **forward_options(model, mask, 1), **vision)
    following = output.logits[:, -1]
    if len(once) < len(prompts):
        select_rows(cache, copies)
        following, mask = following[copies], mask[copies]
    for step in range(sampling.max_new_tokens):
        logits = following.float()
        chosen = draw(logits, uniform[rows, step], sampling.temperature, sampling.top_p)
        chosen_logprobs = logits.log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0].tolist()
        for row, token, logprob in zip(rows, chosen.tolist(), chosen_logprobs, strict=True):
            if done[row]:
                continue
            tokens[row].append(token)
            logprobs[row].append(logprob)
            if token in ends:
                stops[row], done[row] = StopReason.EOS, True
            elif sampling.stop and decode is not None:
                text = decode(tokens[row])
                if any(stop in text for stop in sampling.stop):
                    stops[row], done[row] = StopReason.STOP, True
        alive = [index for index, row in enumerate(rows) if not done[row]]
        if not alive or step + 1 == sampling.max_new_tokens:
            break
        if 4 * len(alive) <= 3 * len(rows):
            keep = torch.tensor(alive, device=device)
            select_rows(cache, keep)
            chosen, mask, rows = chosen[keep], mask[keep], [rows[index] for index in alive]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        options = forward_options(model, mask, 1, width=1)
        output = model(input_ids=chosen[:, None], past_key_values=cache, use_cache=True, **options)
        following = output.logits[:, -1]
    return [Sample(tuple(t), tuple(p), s) for t, p, s in zip(tokens, logprobs, stops, strict=True)]
