"""WebArena's rules for texts: exact, included, and when a lone character counts.

Notable: the answer is cleaned twice and the reference once, as in the benchmark, so an answer in two pairs of quotes
loses both.
"""

import re

_INSIDE = r"[^\s\"“”`;@#$%&?!\[\](){}<>:,]"
# Numbers keep their inner colon and comma (6:30, 6,000); a run of full stops is one token; the rest splits off.
_TOKEN = re.compile(rf"\.\.+|--+|(?:(?!--)(?:{_INSIDE}|[:,](?=\d)))+|\S")
_ENDS = re.compile(r"(.+?)('s|'m|'d|'|\.)", re.DOTALL)


def clean(text: str) -> str:
    """A text without outer white space and one pair of equal outer quotes, in lower case."""
    text = text.strip()
    for quote in ("'", '"'):
        if text.startswith(quote) and text.endswith(quote):
            return text[1:-1].lower()
    return text.lower()


def equal(reference: str, text: str) -> bool:
    """Whether a cleaned text is the reference."""
    return clean(text) == clean(reference)


def included(reference: str, text: str, whole_token: bool = False) -> bool:
    """Whether the reference is in the text.

    Args:
        reference: what should be there.
        text: where.
        whole_token: a reference of one character counts only as a token of its own: 6 is in "$6, or 5.", and not in
            "16", "6.5", "6-7" or "6th". (The benchmark asks for this where the reference is the only one.)
    """
    reference, text = clean(reference), clean(text)
    return reference in (tokens(text) if whole_token and len(reference) == 1 else text)


def tokens(text: str) -> list[str]:
    """A text in words, numbers and signs, as in the Penn Treebank: signs split off, but not those inside a word."""
    found: list[str] = []
    for token in _TOKEN.findall(text):
        parts: list[str] = []
        while len(token) > 1 and not token.startswith("..") and (match := _ENDS.fullmatch(token)):
            token = match[1]
            parts.append(match[2])
        if len(token) > 1 and token[0] == "'":
            found.append("'")
            token = token[1:]
        found += [token, *reversed(parts)]
    return found
