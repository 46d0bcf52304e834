"""Training examples: a prompt, the tokens that followed, and which of them count.

Notable: a turn that was sampled from a model is trained on exactly the ids that were sampled. Only a scripted or
imported action, which never had ids, is encoded, once, and ends with the end-of-sequence token so that the model learns
to stop.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from turnsmith.agents.base import Context
from turnsmith.trace.types import StopReason, Trace, Turn


@dataclass(frozen=True, slots=True)
class Example:
    """One response to learn from.

    Attributes:
        prompt_ids: what the model read.
        token_ids: what followed, end-of-sequence included.
        mask: for each of `token_ids`, whether it counts in the loss.
        weight: factor of this example's loss: 1 for imitation, an advantage for policy gradients.
        vision: image inputs of the prompt (see `engine.forward.Prompt`).
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    mask: tuple[bool, ...]
    weight: float = 1.0
    vision: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.prompt_ids or not self.token_ids or len(self.mask) != len(self.token_ids):
            raise ValueError(
                f"an example needs a prompt, a response and a mask as long as the response; got "
                f"{len(self.prompt_ids)}, {len(self.token_ids)} and {len(self.mask)} tokens"
            )

    @property
    def length(self) -> int:
        """Tokens in all."""
        return len(self.prompt_ids) + len(self.token_ids)


Transform = Callable[[Example, int], Example]
"""What an example becomes each time it is used; the second argument is a seed."""


class Encoder(Protocol):
    """What turns contexts and texts into tokens: `agents.hf_policy.HFPolicy` is one."""

    def encode_prompt(self, context: Context) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        """Token ids and image inputs of the prompt that this policy would read in this context."""
        ...

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Token ids of a response in this policy's own tokens, end-of-sequence included."""
        ...


def example_from_turn(turn: Turn, context: Context, encoder: Encoder, weight: float = 1.0) -> Example:
    """One turn as an example.

    Args:
        turn: sampled (it has token ids) or scripted (it has only text).
        context: what the agent knew on that turn, images with their bytes.
        encoder: the policy that is going to learn. Its prompt is rendered for scripted turns, and for the images.
        weight: factor of the loss.
    """
    action = turn.action
    if action.token_ids and action.prompt_ids:
        images = any(observation.images for observation in (turn.observation, *(t.observation for t in context.turns)))
        vision = encoder.encode_prompt(context)[1] if images else {}
        mask = action.sampled or (True,) * len(action.token_ids)
        return Example(action.prompt_ids, action.token_ids, mask, weight, vision)
    prompt_ids, vision = encoder.encode_prompt(context)
    token_ids = encoder.encode_response(action.text)
    return Example(prompt_ids, token_ids, (True,) * len(token_ids), weight, vision)


def context_at(trace: Trace, index: int) -> Context:
    """What the agent knew when it acted on turn `index` of a trace: the earlier turns of the same thread."""
    turn = trace.turns[index]
    earlier = tuple(t for t in trace.turns[:index] if t.thread == turn.thread)
    return Context(visible(trace), turn.observation, earlier, trace.seed)


def visible(trace: Trace) -> Any:
    """The trace's task without its hidden fields."""
    return replace(trace.task, hidden={})


def examples_from_traces(
    traces: Iterable[Trace],
    encoder: Encoder,
    weights: Mapping[str, Sequence[float]] | None = None,
    keep_truncated: bool = False,
    keep_invalid: bool = False,
) -> list[Example]:
    """All turns of these traces as examples.

    Args:
        traces: what to learn from; filtering by reward is the caller's business.
        encoder: the policy that is going to learn.
        weights: trace id to one weight a turn; 1 without.
        keep_truncated: keep responses that were cut off at the token limit (they never say stop).
        keep_invalid: keep responses that did not parse.
    """
    examples = []
    for trace in traces:
        for index, turn in enumerate(trace.turns):
            if turn.action.stop is StopReason.LENGTH and not keep_truncated:
                continue
            if turn.action.call is None and not keep_invalid:
                continue
            weight = 1.0 if weights is None else weights[trace.id][index]
            examples.append(example_from_turn(turn, context_at(trace, index), encoder, weight))
    return examples
