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
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from turnsmith.engine.cache import cache_options, new_cache, select_rows
from turnsmith.engine.draw import draw
from turnsmith.engine.forward import Prompt, forward_options, group_by_length, join_vision, left_pad
from turnsmith.engine.models import LanguageModel, Tokenizer, context_of, rope_switch
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
    limit = context_of(model)
    longest = max((len(prompt.ids) for prompt in prompts), default=0)
    if limit and longest + sampling.max_new_tokens > limit:
        raise UserError(
            f"a prompt of {longest} tokens and {sampling.max_new_tokens} new ones do not fit into the model's context "
            f"of {limit}. Show less history or a smaller page."
        )
    rows = [_Row(prompt, seed, sampling.max_new_tokens) for prompt, seed in zip(prompts, seeds, strict=True)]
    how = _How(sampling, tuple(eos_ids), decode, batch_tokens)
    switch = rope_switch(model)
    if switch is not None and longest + sampling.max_new_tokens > switch + 1:
        return _sample_across(model, rows, how, switch)
    return _sample_rows(model, rows, how)


@dataclass(frozen=True, slots=True)
class _Row:
    """What is asked for one prompt: its seed, how many tokens at most, and which its prompt already ends with."""

    prompt: Prompt
    seed: int
    budget: int
    said: Sample = field(default_factory=lambda: Sample((), (), StopReason.LENGTH))


@dataclass(frozen=True, slots=True)
class _How:
    """How all rows are sampled; see the arguments of `sample`."""

    sampling: Sampling
    eos_ids: tuple[int, ...]
    decode: Callable[[list[int]], str] | None
    batch_tokens: int

    def stopped(self, ids: list[int]) -> bool:
        """Whether these tokens contain a stop string."""
        if not self.sampling.stop or self.decode is None:
            return False
        text = self.decode(ids)
        return any(stop in text for stop in self.sampling.stop)


def _sample_rows(model: LanguageModel, rows: Sequence[_Row], how: _How) -> list[Sample]:
    if rows and serves(model) and not any(row.prompt.vision or row.said.token_ids for row in rows):
        return _sample_threads(model, rows, how)
    results: dict[int, Sample] = {}
    with torch.inference_mode():
        for group in group_by_length([len(row.prompt.ids) + row.budget for row in rows], how.batch_tokens):
            results.update(zip(group, _sample_batch(model, [rows[i] for i in group], how), strict=True))
    return [results[i] for i in range(len(rows))]


def _sample_across(model: LanguageModel, rows: Sequence[_Row], how: _How, switch: int) -> list[Sample]:
    """`_sample_rows` of a model whose rotary factors change beyond `switch` tokens: first every token whose prefix is
    short, then, read anew with the other factors, the rest of those that are not done."""
    if any(row.prompt.vision for row in rows):
        raise UserError(
            f"this model's rotary embedding changes beyond {switch:,} tokens, and with pictures it is served up to "
            "there. Show less history or smaller pictures."
        )
    results: list[Sample] = [row.said for row in rows]
    short = [i for i, row in enumerate(rows) if len(row.prompt.ids) <= switch]
    part = [replace(rows[i], budget=min(rows[i].budget, switch + 1 - len(rows[i].prompt.ids))) for i in short]
    for i, found in zip(short, _sample_rows(model, part, how), strict=True):
        results[i] = found
    later: dict[int, _Row] = {}
    for i, (row, found) in enumerate(zip(rows, results, strict=True)):
        left = row.budget - len(found.token_ids)
        if found.stop is StopReason.LENGTH and left:
            later[i] = _Row(Prompt([*row.prompt.ids, *found.token_ids]), row.seed, left, found)
    with torch.inference_mode():  # not the engine of threads, which may read the beginning of a prompt by itself
        lengths = [len(row.prompt.ids) + row.budget for row in later.values()]
        for group in group_by_length(lengths, how.batch_tokens):
            places = [list(later)[index] for index in group]
            for i, found in zip(places, _sample_batch(model, [later[i] for i in places], how), strict=True):
                results[i] = found
    return results


def _sample_threads(model: LanguageModel, rows: Sequence[_Row], how: _How) -> list[Sample]:
    windows = [len(row.prompt.ids) + row.budget for row in rows]
    engine = Engine(
        model,
        NoThreads(how.eos_ids),
        Limits(window=max(windows)),
        how.sampling.temperature,
        how.sampling.top_p,
        rows=max(1, min(len(rows), how.batch_tokens // max(windows))),
        pass_tokens=how.batch_tokens,
        stopped=how.stopped if how.sampling.stop else None,
    )
    trees = engine.run(
        [Request(row.prompt.ids, row.seed, window=window) for row, window in zip(rows, windows, strict=True)]
    )
    return [_sample_of(tree, frozenset(how.eos_ids)) for tree in trees]


def _sample_of(tree: Tree, ends: frozenset[int]) -> Sample:
    call = tree.root.calls[0]
    stop = StopReason.LENGTH
    if tree.root.status is Status.ENDED:
        stop = StopReason.EOS if call.token_ids[-1] in ends else StopReason.STOP
    return Sample(tuple(call.token_ids), tuple(call.logprobs), stop)


def _sample_batch(model: LanguageModel, asked: Sequence[_Row], how: _How) -> list[Sample]:
    device, sampling = model.device, how.sampling
    once = list({id(row.prompt): row.prompt for row in asked}.values())
    place = {id(prompt): index for index, prompt in enumerate(once)}
    copies = torch.tensor([place[id(row.prompt)] for row in asked], device=device)
    ids, mask = (tensor.to(device) for tensor in left_pad([prompt.ids for prompt in once]))
    vision = {name: value.to(device) for name, value in join_vision(once, [len(prompt.ids) for prompt in once]).items()}
    steps = max(row.budget for row in asked)
    uniform = torch.from_numpy(np.stack([_uniforms(row, steps) for row in asked])).to(device)
    cache = new_cache(model)
    tokens = [list(row.said.token_ids) for row in asked]
    logprobs = [list(row.said.logprobs) for row in asked]
    stops = [StopReason.LENGTH] * len(asked)
    ends = frozenset(how.eos_ids)
    rows = list(range(len(asked)))  # which prompt each row of the batch belongs to
    done = [False] * len(asked)

    options = cache_options(model, cache)
    output = model(input_ids=ids, **options, **forward_options(model, mask, 1), **vision)
    following = output.logits[:, -1]
    if len(once) < len(asked):
        select_rows(cache, copies)
        following, mask = following[copies], mask[copies]
    for step in range(steps):
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
            elif how.stopped(tokens[row]):
                stops[row], done[row] = StopReason.STOP, True
            elif step + 1 == asked[row].budget:
                done[row] = True
        alive = [index for index, row in enumerate(rows) if not done[row]]
        if not alive:
            break
        if 4 * len(alive) <= 3 * len(rows):
            keep = torch.tensor(alive, device=device)
            select_rows(cache, keep)
            chosen, mask, rows = chosen[keep], mask[keep], [rows[index] for index in alive]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        output = model(input_ids=chosen[:, None], **options, **forward_options(model, mask, 1, width=1))
        following = output.logits[:, -1]
    return [Sample(tuple(t), tuple(p), s) for t, p, s in zip(tokens, logprobs, stops, strict=True)]


def _uniforms(row: _Row, steps: int) -> np.ndarray:
    """The row's next numbers in [0, 1), (steps,): its stream goes on where what it said ends."""
    said = len(row.said.token_ids)
    return np.random.Generator(np.random.Philox(key=row.seed)).random(said + steps)[said:]
