"""Text from outside: what a page, a model or a file gives may hold half an emoji, which nothing downstream can take."""

import json
import re
from typing import Any

from turnsmith.errors import ParseError

_LONE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text with every lone surrogate as U+FFFD, the sign for what is no character.

    JavaScript's strings and JSON's escapes can hold half of a pair; tokenizers, UTF-8 and SQLite refuse it. Two halves
    that stand beside each other become the character that they are.
    """
    if not _LONE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def first_object(text: str) -> dict[str, Any]:
    """The first JSON object in a text.

    Raises:
        ParseError: if there is none.
    """
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            found, _ = decoder.raw_decode(text, at)
            if isinstance(found, dict):
                return found
        except (ValueError, RecursionError):
            pass
        at = text.find("{", at + 1)
    raise ParseError("no JSON object")
