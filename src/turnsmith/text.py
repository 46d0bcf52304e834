"""Text from outside: what a page, a model or a file gives may hold half an emoji, which nothing downstream can take."""

import re

_LONE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text with every lone surrogate as U+FFFD, the sign for what is no character.

    JavaScript's strings and JSON's escapes can hold half of a pair; tokenizers, UTF-8 and SQLite refuse it. Two halves
    that stand beside each other become the character that they are.
    """
    if not _LONE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
