"""`turnsmith verify ENV FILE`: grade recorded answers with the environment's own checker.

Reads JSONL rows and prints, a line each, `{"valid": true|false, "reason": …}` (or what came of replaying recorded
actions). What a row holds is the environment's business: `turnsmith verify ENV --help` says. WebArena's rows need their
tasks, and its lines are `{"score": 0|1|null, "reason": …}`:

  turnsmith verify webarena FILE --tasks TASKS.json [--judge openai:MODEL@URL]
"""

import asyncio
import importlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from turnsmith.errors import InfraError, UserError
from turnsmith.jsonl import dump_row, read_jsonl

if TYPE_CHECKING:
    from turnsmith.judges.webarena.verify import Question

# environment -> module with `verify_row(row) -> (valid, reason)` or a JSON object to print, whose docstring says what a
# row holds. `verify_row` raises ValueError for a row that it cannot read.
VERIFIERS: dict[str, str] = {
    "browser": "turnsmith.worlds.sites.verify",
    "colbench": "turnsmith.judges.unit_tests",
    "countdown": "turnsmith.worlds.countdown.verify",
    "tau_airline": "turnsmith.worlds.airline.verify",
    "tau_retail": "turnsmith.worlds.retail.verify",
}
WEBARENA = "webarena"


def main(argv: list[str]) -> int:
    """Grade every row and print the results."""
    environments = [*VERIFIERS, WEBARENA]
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith verify ENV FILE\n\n{__doc__}\nenvironments: {', '.join(environments)}")
        return 0
    if argv[0] not in environments:
        raise UserError(f"unknown environment {argv[0]!r}. Environments: {', '.join(environments)}.")
    if argv[0] == WEBARENA:
        return _webarena(argv[1:])
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


def _webarena(argv: Sequence[str]) -> int:
    from turnsmith.judges.webarena import verify

    if "--help" in argv or "-h" in argv:
        print("usage: turnsmith verify webarena FILE --tasks TASKS.json [--judge openai:MODEL@URL]\n")
        print(inspect.getdoc(verify.verify_row))
        return 0
    files, options = _split(argv, ("--tasks", "--judge"))
    if len(files) > 1:
        raise UserError(f"one file at a time: {' '.join(files)}.")
    if "--tasks" not in options:
        raise UserError("--tasks TASKS.json is missing: the file of WebArena's configurations.")
    name = files[0] if files else "-"
    rows = read_jsonl(name)
    questions = verify.read_questions(options["--tasks"])
    asyncio.run(_grade(name, rows, questions, options.get("--judge")))
    return 0


async def _grade(
    name: str, rows: Sequence[tuple[int, dict[str, Any]]], questions: "Mapping[int, Question]", judge: str | None
) -> None:
    from turnsmith.engine.openai_client import endpoint_of
    from turnsmith.judges.webarena import verify
    from turnsmith.judges.webarena.fuzzy import EndpointFuzzy
    from turnsmith.tasks.files import environment_urls

    urls = environment_urls()
    fuzzy = EndpointFuzzy(endpoint_of(judge, "judge")) if judge else None
    try:
        for number, row in rows:
            try:
                found = await verify.verify_row(row, questions, urls, fuzzy)
            except ValueError as error:
                sys.stdout.flush()
                raise UserError(f"{name}, line {number}: {error}") from error
            except InfraError as error:  # the judge failed on this row; the others go on
                found = verify.Score(None, f"the judge failed: {error}")
            print(dump_row({"score": found.value, "reason": found.reason}, sys.stdout.encoding or "utf-8"), flush=True)
    finally:
        if fuzzy is not None:
            await fuzzy.close()


def _split(argv: Sequence[str], known: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Arguments apart from options with a value, `--name VALUE` or `--name=VALUE`."""
    files, options, rest = [], {}, list(argv)
    while rest:
        word = rest.pop(0)
        name, given, value = word.partition("=")
        if name not in known:
            if word.startswith("--"):
                raise UserError(f"unknown option {word}. Options: {', '.join(known)}.")
            files.append(word)
        elif given:
            options[name] = value
        elif rest:
            options[name] = rest.pop(0)
        else:
            raise UserError(f"{name} needs a value.")
    return files, options
