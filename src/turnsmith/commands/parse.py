"""`turnsmith parse GRAMMAR [FILE]`: what an action grammar makes of model responses.

Reads JSONL rows `{"text": …}` from FILE or standard input and prints, a line each, `{"action": …, "arguments": {…}}`
or `{"error": …}`.
"""

import importlib
from collections.abc import Callable

from turnsmith.errors import ParseError, UserError
from turnsmith.jsonl import print_row, read_jsonl
from turnsmith.trace.types import Call

# grammar -> "module:function"; the function turns a response into a `Call` or raises `ParseError`.
GRAMMARS: dict[str, str] = {
    "webvoyager": "turnsmith.agents.grammar:parse_webvoyager",
    "tti": "turnsmith.agents.grammar:parse_tti",
    "turnsmith": "turnsmith.agents.grammar:parse_turnsmith",
    "aitw": "turnsmith.agents.aitw:parse_aitw",
}


def main(argv: list[str]) -> int:
    """Parse every row and print the results."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith parse GRAMMAR [FILE]\n\n{__doc__}\ngrammars: {', '.join(GRAMMARS)}")
        return 0
    if argv[0] not in GRAMMARS:
        raise UserError(f"unknown grammar {argv[0]!r}. Grammars: {', '.join(GRAMMARS)}.")
    if len(argv) > 2:
        raise UserError(f"parse takes one FILE (or none, for standard input), not {' '.join(argv[1:])!r}.")
    module, function = GRAMMARS[argv[0]].split(":")
    parse: Callable[[str], Call] = getattr(importlib.import_module(module), function)
    for text in _texts(argv[1] if len(argv) > 1 else "-"):
        try:
            call = parse(text)
            row = {"action": call.name, "arguments": dict(call.arguments)}
        except ParseError as error:
            row = {"error": str(error)}
        print_row(row)
    return 0


def _texts(name: str) -> list[str]:
    """The texts of all rows; complains about a malformed one before anything is printed."""
    texts = []
    for number, row in read_jsonl(name):
        if not isinstance(row.get("text"), str):
            raise UserError(
                f'{name}, line {number}: "text" is missing. Each row is {{"text": "Thought: … Action: …"}}.'
            )
        texts.append(row["text"])
    return texts
