"""`turnsmith tasks challenge --tools MODULE_OR_MCP_URL --n 100`: verified tasks for your own tools.

A model explores the tools and writes tasks as code: an instruction, a verification function, an example solution and
three failure cases. All of it runs in the sandbox against fresh worlds; what passes every check is written as JSONL.
docs/tools.md has the whole way, from your functions to tasks.
"""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from turnsmith.engine.openai_client import OpenAIClient, endpoint_of
from turnsmith.envs.sandbox import Sandbox
from turnsmith.envs.tools.base import Toolboxes
from turnsmith.envs.tools.code_task import CodeTask, from_json
from turnsmith.envs.tools.functions import load_toolboxes
from turnsmith.errors import ParseError, UserError
from turnsmith.jsonl import read_jsonl
from turnsmith.options import parse_options
from turnsmith.tasks.challenge import Checked, Filter, check, yields
from turnsmith.tasks.challenger import write_task


@dataclass(frozen=True, slots=True)
class Options:
    """What is written for which tools.

    Attributes:
        tools: a module (`package.module` or `file.py`), the URL of an MCP server, or `mcp:COMMAND` that starts one.
        challenger: who writes: openai:MODEL@BASE_URL.
        proposals: or a JSONL file of proposals that somebody wrote already.
        n: how many proposals are asked for.
        out: where kept tasks go; the audit (yield by stage, reasons) goes beside it.
        filter: how much a task has to pass: none, runs, solution, full.
        calls: how often the challenger may call tools before it writes.
        seed: of the sampling.
        allow_unsafe: run the code without a sandbox where this machine has none.
    """

    tools: str
    challenger: str = ""
    proposals: Path | None = None
    n: int = 100
    out: Annotated[Path, tyro.conf.arg(help="the JSONL file of kept tasks")] = Path("challenge.jsonl")
    filter: Filter = Filter.FULL
    calls: int = 8
    seed: int = 0
    allow_unsafe: bool = False


def main(argv: list[str]) -> int:
    """Run `tasks challenge`."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: turnsmith tasks challenge --tools NAME [options]\n\n{__doc__}")
        return 0
    if argv[0] != "challenge":
        raise UserError(f"unknown verb {argv[0]!r}. usage: turnsmith tasks challenge --tools NAME [options]")
    options = parse_options(Options, argv[1:], prog="turnsmith tasks challenge", description=__doc__)
    if bool(options.challenger) == (options.proposals is not None):
        raise UserError("give either --challenger openai:MODEL@BASE_URL or --proposals FILE.")
    toolboxes = load_toolboxes(options.tools)
    if options.proposals is not None:
        written, unread = _from_file(options.proposals), []
    else:
        written, unread = asyncio.run(_ask(options, toolboxes))
    with Sandbox("fresh", allow_unsafe=options.allow_unsafe) as sandbox:
        checks = [check(task, toolboxes, sandbox) for task in written]
    _write(options, written, checks, unread)
    return 0


def _from_file(path: Path) -> list[CodeTask]:
    tasks = []
    for number, row in read_jsonl(path):
        try:
            tasks.append(from_json({"id": f"line-{number}", **row}))
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}, line {number}: {error}.") from error
    return tasks


async def _ask(options: Options, toolboxes: Toolboxes) -> tuple[list[CodeTask], list[str]]:
    """The proposals that could be read, and why others could not."""
    client = OpenAIClient(endpoint_of(options.challenger, "challenger"))
    unread: list[str] = []

    async def one(number: int) -> CodeTask | None:
        try:
            return await write_task(client, toolboxes, f"task-{number}", options.seed + 1000 * number, options.calls)
        except ParseError as error:
            unread.append(str(error))
            return None

    try:
        found = await asyncio.gather(*(one(number) for number in range(options.n)))
    finally:
        await client.close()
    return [task for task in found if task is not None], unread


def _write(options: Options, tasks: list[CodeTask], checks: list[Checked], unread: list[str]) -> None:
    kept = [task for task, one in zip(tasks, checks, strict=True) if one.kept_by(options.filter)]
    options.out.write_text(
        "".join(json.dumps(task.to_json(), ensure_ascii=False) + "\n" for task in kept), encoding="utf-8"
    )
    audit = {"filter": options.filter.value, "unread": unread, **yields(checks)}
    rows = [
        {"id": task.id, "passed": one.passed.value, "reason": one.reason}
        for task, one in zip(tasks, checks, strict=True)
    ]
    beside = options.out.with_suffix(".audit.json")
    beside.write_text(json.dumps({**audit, "tasks": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{len(kept)} of {len(tasks)} tasks kept in {options.out} ({len(unread)} proposals could not be read)")
    for name, count in audit["kept"].items():
        print(f"  {name:10} {count}")
    for reason, count in list(audit["reasons"].items())[:5]:
        print(f"  {count:4} {reason}"[:79])
