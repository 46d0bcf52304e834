"""From the text of a response to a call, with the action grammar that a policy was given."""

from collections.abc import Callable

from turnsmith.agents.grammar import Dialect, parse_tti, parse_webvoyager
from turnsmith.errors import ParseError
from turnsmith.trace.types import Call

PARSERS: dict[Dialect, Callable[[str], Call]] = {"webvoyager": parse_webvoyager, "tti": parse_tti}


def parse(text: str, dialect: Dialect) -> tuple[Call | None, str]:
    """The call of a response and "", or None and what is wrong with it."""
    try:
        return PARSERS[dialect](text), ""
    except ParseError as error:
        return None, str(error)
