"""From a response to a call, with the action grammar that a policy was given."""

from collections.abc import Callable, Sequence

from turnsmith.agents.aitw import parse_aitw
from turnsmith.agents.grammar import Dialect, parse_tti, parse_turnsmith, parse_webvoyager
from turnsmith.engine.sampling import Sample
from turnsmith.errors import ParseError
from turnsmith.trace.types import Action, Call

PARSERS: dict[Dialect, Callable[[str], Call]] = {
    "webvoyager": parse_webvoyager,
    "tti": parse_tti,
    "turnsmith": parse_turnsmith,
}


def parse(text: str, dialect: Dialect) -> tuple[Call | None, str]:
    """The call of a response and "", or None and what is wrong with it."""
    return _call_of(text, PARSERS[dialect])


def _call_of(text: str, parser: Callable[[str], Call]) -> tuple[Call | None, str]:
    try:
        return parser(text), ""
    except ParseError as error:
        return None, str(error)


def device_action(text: str, prompt_ids: Sequence[int], drawn: Sample) -> Action:
    """The action on a device that these sampled tokens are.

    Args:
        text: what the tokens say.
        prompt_ids: after which they were drawn.
        drawn: tokens, log-probabilities, why it stopped.
    """
    call, error = _call_of(text, parse_aitw)
    return Action(
        text,
        call,
        error,
        prompt_ids=tuple(prompt_ids),
        token_ids=drawn.token_ids,
        logprobs=drawn.logprobs,
        stop=drawn.stop,
    )
