"""`turnsmith verify ENV FILE`: grade recorded answers with the environment's own checker.

Reads JSONL rows and prints, a line each, `{"valid": true|false, "reason": …}` (or what came of replaying recorded
actions). What a row holds is the environment's business: `turnsmith verify ENV --help` says.
"""

import importlib
import json
import sys

from turnsmith.errors import UserError
from turnsmith.jsonl import read_jsonl

# environment -> module with `verify_row(row) -> (valid, reason)` or a JSON object to print, whose docstring says what a
# row holds. `verify_row` raises ValueError for a row that it cannot read.
VERIFIERS: dict[str, str] = {
    "browser": "turnsmith.worlds.sites.verify",
    "countdown": "turnsmith.worlds.countdown.verify",
    "tau_airline": "turnsmith.worlds.airline.verify",
    "tau_retail": "turnsmith.worlds.retail.verify",
}


def main(argv: list[str]) -> int:
    """Grade every row and print the results."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith verify ENV FILE\n\n{__doc__}\nenvironments: {', '.join(VERIFIERS)}")
        return 0
    if argv[0] not in VERIFIERS:
        raise UserError(f"unknown environment {argv[0]!r}. Environments: {', '.join(VERIFIERS)}.")
    checker = importlib.import_module(VERIFIERS[argv[0]])
    if "--help" in argv or "-h" in argv:
        print(checker.verify_row.__doc__)
        return 0
    name = argv[1] if len(argv) > 1 else "-"
    for number, row in read_jsonl(name):
        try:
            found = checker.verify_row(row)
        except ValueError as error:
            sys.stdout.flush()
            raise UserError(f"{name}, line {number}: {error}") from error
        answer = {"valid": found[0], "reason": found[1]} if isinstance(found, tuple) else found
        print(json.dumps(answer, ensure_ascii=False))
    return 0
