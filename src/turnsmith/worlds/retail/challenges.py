"""A challenger's proposal in the small language, made into Code-as-Task; and the oracle that audits what it means.

    proposal := task request check {atom} solve request fail (request | none) fail … fail …

What the proposal says is rendered as Python as it stands: a wrong state in `check` becomes a verifier that is wrong.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.code_task import FAILURES, CodeTask
from turnsmith.envs.tools.replay import replay
from turnsmith.errors import ParseError
from turnsmith.trace.types import Call, Task
from turnsmith.worlds.retail.compact import REASON_OF, STATUS_OF, Reader, Seen
from turnsmith.worlds.retail.requests import Request, mutations, request_of
from turnsmith.worlds.retail.tasks import make_task, sentence

ATOMS = ("status", "reason", "pay", "items", "new", "at")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal that could be read.

    Attributes:
        request: what the user is to want.
        conditions: Python expressions over the record, all of which the verifier wants to be true.
        solution: the request that the example solution fulfils.
        failures: what the failure cases do; None is nothing.
    """

    request: Request
    conditions: tuple[str, ...]
    solution: Request
    failures: tuple[Request | None, ...]


def parse_proposal(text: str, seen: Seen, only_task: bool = False) -> Proposal:
    """Read a proposal.

    Args:
        text: of the small language.
        seen: what the challenger was shown.
        only_task: an instruction and nothing else (PAE: nobody verifies it).

    Raises:
        ParseError: if it is not in the grammar or names something that was not shown.
    """
    reader = Reader(text, seen)
    reader.take("task")
    request = reader.request()
    if only_task:
        reader.end()
        return Proposal(request, (), request, ())
    reader.take("check")
    conditions = []
    while reader.peek() in ATOMS:
        conditions.append(_condition(reader, request))
    reader.take("solve")
    solution = reader.request()
    failures: list[Request | None] = []
    for _ in range(FAILURES):
        reader.take("fail")
        if reader.peek() == "none":
            reader.take("none")
            failures.append(None)
        else:
            failures.append(reader.request())
    reader.end()
    return Proposal(request, tuple(conditions), solution, tuple(failures))


def _condition(reader: Reader, request: Request) -> str:
    atom = reader.take(*ATOMS)
    new, old = [new for _, new in request.items], [old for old, _ in request.items]
    if atom == "status":
        return f"record['status'] == {STATUS_OF[reader.take(*STATUS_OF)]!r}"
    if atom == "reason":
        return f"record.get('cancel_reason') == {REASON_OF[reader.take(*REASON_OF)]!r}"
    if atom == "at":
        fields = reader.value().split("|")
        return f"list(record['address'][k] for k in {list(_ADDRESS)!r}) == {fields!r}"
    if atom == "pay":
        method = reader.value()
        if request.kind in ("return", "exchange"):
            return f"record.get('{request.kind}_payment_method_id') == {method!r}"
        entry = "any" if request.kind == "modify" else "record['payment_history'][1:2] and all"
        part = "" if request.kind == "modify" else "[1:2]"
        return f"bool({entry}(p['payment_method_id'] == {method!r} for p in record['payment_history']{part}))"
    if atom == "items":
        if request.kind == "modify":
            return f"not any(item['item_id'] in {old!r} for item in record['items'])"
        return f"record.get('{request.kind}_items') == {sorted(old)!r}"
    if request.kind == "exchange":
        return f"record.get('exchange_new_items') == {sorted(new)!r}"
    return f"all(any(item['item_id'] == new for item in record['items']) for new in {new!r})"


_ADDRESS = ("address1", "address2", "city", "state", "country", "zip")


def code_task(
    task_id: str, proposal: Proposal, user_id: str, world: DatabaseWorld, explored: Sequence = ()
) -> CodeTask:
    """The proposal as Python: what is checked, done and done wrongly."""
    request = proposal.request
    getter = "get_user_details(user_id" if request.kind == "home" else "get_order_details(order_id"
    conditions = " and ".join(f"({condition})" for condition in proposal.conditions) or "True"
    verify = f"def verify(answer):\n    record = tools.{getter}={request.subject!r})\n    return {conditions}\n"
    try:
        instruction = sentence(world.base, request)
    except KeyError:
        instruction = f"{request.kind} {request.subject}"
    about = {"user_id": user_id, "request": asdict(request)}
    return CodeTask(
        task_id, instruction, verify, _program(proposal.solution),
        tuple(_program(failure) for failure in proposal.failures),
        tuple(explored), json.loads(json.dumps(about)),
    )  # fmt: skip


def _program(request: Request | None) -> str:
    """A request as a program; nothing at all is `pass`."""
    if request is None:
        return "pass\n"
    call = request.call()
    arguments = ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())
    return f"tools.{call.name}({arguments})\n"


def request_in(task: CodeTask) -> Request:
    """What the instruction of a task asks for.

    Raises:
        KeyError: if the task was not made here.
    """
    row = task.about["request"]
    items = tuple((old, new) for old, new in row["items"])
    return Request(row["kind"], row["subject"], row["reason"], row["payment"], items, tuple(row["address"]))


def executor_task(task: CodeTask, world: DatabaseWorld) -> Task | None:
    """The task for an executor, who serves a user with the instruction as the brief; None where none can be made."""
    request = request_in(task)
    try:
        sentence(world.base, request)
        return make_task(task.id, world.base, task.about["user_id"], [request], code=task.to_json())
    except (KeyError, StopIteration):
        return None


def truth(world: DatabaseWorld):
    """The oracle of an audit over this world (`tasks.challenge.Truth`)."""

    def of(task: CodeTask) -> tuple[list[Call] | None, list[list[Call]]]:
        request, user_id = request_in(task), task.about["user_id"]
        gold = replay(world, [request.call()])
        owner = world.base.tables["orders"].get(request.subject, {}).get("user_id", request.subject)
        if not gold.changes or any(out.startswith("Error") for out in gold.outputs) or owner != user_id:
            return None, []
        wrong = []
        for other in mutations(world.base, request, user_id):
            outcome = replay(world, [other.call()])
            if outcome.changes and outcome.changes != gold.changes:
                wrong.append([other.call()])
        return [request.call()], wrong

    return of


def same_as_official(request: Request, tasks: Sequence[Task]) -> bool:
    """Whether an official task asks for this very write: such a task is dropped, so that nobody trains on the test."""
    wanted = request.call()
    for task in tasks:
        for row in task.hidden["actions"]:
            if request_of(Call(row["name"], row["kwargs"])) is not None and row["kwargs"] == dict(wanted.arguments):
                return True
    return False


def read_proposal(text: str, seen: Seen, only_task: bool = False) -> Call:
    """A proposal as the call that ends a challenger's episode.

    Raises:
        ParseError: if it cannot be read.
    """
    parse_proposal(text, seen, only_task)
    return Call("propose", {"text": text})


__all__ = ["ParseError", "Proposal", "code_task", "executor_task", "parse_proposal", "read_proposal", "truth"]
