"""SWEET-RL's critic as a language model: score of a response = log-ratio to the reference, given hidden information.

A(o, a, c) = (1/L) Σ_l [log π_θ(a^l | o, a^<l, c) − log π_ref(a^l | o, a^<l, c)]        (arXiv 2503.15478, equation 2)

Trained by `learn.preference` with the reduction `turn_mean` on pairs of episodes. The regression head of the paper's
ablation is here too: a linear map of the mean hidden state over a turn's tokens, trained on the same pairs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from turnsmith.engine.branches import score_branches
from turnsmith.engine.forward import Prompt, collate, response_logprobs
from turnsmith.learn.batching import all_updates, passes
from turnsmith.learn.examples import Example
from turnsmith.learn.fit import fit
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.preference import Comparison, bradley_terry, turn_means

Ids = tuple[int, ...]


def rank_by_ratio(
    critic: PreTrainedModel,
    reference: PreTrainedModel | None,
    prompts: Sequence[Ids],
    candidates: Sequence[Sequence[Ids]],
    reference_prompts: Sequence[Ids] | None = None,
    mean: bool = True,
    pass_tokens: int = 32768,
) -> list[list[float]]:
    """A of each candidate of each prompt.

    Args:
        critic: π_θ, in `eval()` mode.
        reference: π_ref; None scores by log π_θ alone.
        prompts: hidden information and history.
        candidates: of each prompt.
        reference_prompts: what the reference reads instead (the authors rank against a reference without c).
        mean: over the tokens of the turn; False sums (the ablation without 1/L).
        pass_tokens: see `score_branches`.
    """

    def scored(model: PreTrainedModel, given: Sequence[Ids]) -> list[list[float]]:
        rows = score_branches(model, given, candidates, pass_tokens)
        return [[sum(logprobs) / (len(logprobs) if mean else 1) for logprobs in group] for group in rows]

    ours = scored(critic, prompts)
    if reference is None:
        return ours
    theirs = scored(reference, prompts if reference_prompts is None else reference_prompts)
    return [[a - b for a, b in zip(*rows, strict=True)] for rows in zip(ours, theirs, strict=True)]


class TurnHead(nn.Module):
    """The ablation: w · mean hidden state of a turn's tokens."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(model.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def token_scores(self, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        """w · h of each response token and the mask of those that count, (B, K): their turn means are turn scores."""
        # One token more behind each, so that the last one is read too: a state says nothing of the token it predicts.
        responses = [(*example.token_ids, 0) for example in examples]
        batch = collate([Prompt(example.prompt_ids) for example in examples], responses, self.model.device)
        with last_hidden(self.model) as hidden:
            response_logprobs(self.model, batch)
        width = batch.targets_BK.shape[1] - 1
        score_BK = self.head(hidden[0][:, -width:])[..., 0]
        mask_BK = torch.zeros_like(batch.real_BK[:, 1:])
        for row, example in enumerate(examples):
            mask_BK[row, -len(example.mask) :] = torch.tensor(example.mask, device=mask_BK.device)
        return score_BK, mask_BK

    def scores(self, examples: Sequence[Example]) -> Tensor:
        """Sum of turn scores of each example, (B,)."""
        return turn_means(*self.token_scores(examples)).sum(dim=1)


@contextmanager
def last_hidden(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """What the trunk of a causal LM puts out during one forward pass."""
    found: list[Tensor] = []
    trunk = getattr(model, model.base_model_prefix)
    handle = trunk.register_forward_hook(lambda module, inputs, output: found.append(output.last_hidden_state))
    try:
        yield found
    finally:
        handle.remove()


def fit_head(head: TurnHead, pairs: Sequence[Comparison], beta: float, optim: OptimConfig) -> list[float]:
    """Bradley-Terry over pairs of episodes (an example for all turns of a side, or one a turn), in place."""
    head.eval()
    lengths = [pair.length for pair in pairs]
    updates = [members for _, members in all_updates(lengths, optim.batch_size, optim.epochs, optim.seed)]

    def losses(update: int) -> Iterator[Tensor]:
        members = updates[update]
        for part in passes(members, lengths, optim.pass_tokens):
            sides = [pairs[i].sides[side] for i in part for side in (0, 1)]
            row_scores = head.scores([example for side in sides for example in side])
            owner = torch.tensor([place for place, side in enumerate(sides) for _ in side], device=row_scores.device)
            score = row_scores.new_zeros(len(sides)).index_add(0, owner, row_scores)
            yield bradley_terry(score[0::2], score[1::2], beta).sum() / len(members)

    return fit(head, losses, optim, optim.updates(len(pairs)))


def rank_by_head(
    head: TurnHead,
    prompts: Sequence[Ids],
    candidates: Sequence[Sequence[Ids]],
    on_prompt: Callable[[], None] | None = None,
) -> list[list[float]]:
    """Score of each candidate of each prompt by the head."""
    found = []
    with torch.inference_mode():
        for prompt, group in zip(prompts, candidates, strict=True):
            examples = [Example(prompt, ids, (True,) * len(ids)) for ids in group]
            found.append(head.scores(examples).tolist() if examples else [])
            if on_prompt is not None:
                on_prompt()
    return found
