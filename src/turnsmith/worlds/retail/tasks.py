"""Tasks of the shop: the official ones as far as requests can say them, random ones, and the users that bring them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.database import Base
from turnsmith.envs.tools.replay import calls_of, replay
from turnsmith.envs.tools.user import Brief, RuleUser, Utterance, Wish
from turnsmith.jsonl import read_jsonl
from turnsmith.trace.types import Call, Task
from turnsmith.worlds.retail import official_folder
from turnsmith.worlds.retail.compact import REASON, Word, request_words, says
from turnsmith.worlds.retail.requests import KINDS, Kind, Request, item_of, random_request, request_of

INSTRUCTION = "Help the user of the shop who is speaking to you."


@dataclass(frozen=True, slots=True)
class Expressed:
    """Official tasks of a split that requests can say, and why the others cannot be.

    Attributes:
        tasks: those that can.
        left_out: reason -> how many.
    """

    tasks: tuple[Task, ...]
    left_out: Mapping[str, int]


def make_task(
    task_id: str,
    base: Base,
    user_id: str,
    requests: Sequence[Request],
    split: str = "train",
    seed: int = 0,
    **more: Any,
) -> Task:
    """A task from what its user wants. The brief and the gold actions are hidden; `more` joins the hidden fields."""
    rng = random.Random(f"{seed}/{task_id}")
    hidden = {
        "user_id": user_id,
        "requests": [asdict(request) for request in requests],
        "withheld": [rng.random() < 0.5 for _ in requests],
        "by_email": rng.random() < 0.5,
        "actions": [
            {"name": call.name, "kwargs": dict(call.arguments)} for call in (wanted.call() for wanted in requests)
        ],
        "outputs": [],
    }
    kinds = [request.kind for request in requests]
    return Task(task_id, INSTRUCTION, "tau_retail", {"role": "help"}, split, {"kinds": kinds}, {**hidden, **more})


def requests_of(task: Task) -> list[Request]:
    """What the user of a task wants.

    Raises:
        KeyError: if the task was not made by `make_task`.
    """
    return [
        Request(
            row["kind"], row["subject"], row["reason"], row["payment"],
            tuple((old, new) for old, new in row["items"]), tuple(row["address"]),
        )
        for row in task.hidden["requests"]
    ]  # fmt: skip


def user_of(world: DatabaseWorld, task: Task) -> RuleUser:
    """The rule-based user of a task."""
    base, user = world.base, world.base.tables["users"][task.hidden["user_id"]]
    name = user["name"]
    if task.hidden["by_email"]:
        identity = Utterance(f"Hello. My email is {user['email']}.", says(["am", (user["email"],)]), ("email",))
    else:
        values = (name["first_name"], name["last_name"], user["address"]["zip"])
        text = f"Hello. I am {values[0]} {values[1]}, zip code {values[2]}."
        identity = Utterance(text, says(["am", *((value,) for value in values)]), ("name", "zip"))
    pairs = zip(requests_of(task), task.hidden["withheld"], strict=True)
    return RuleUser(Brief(identity, [wish_of(base, request, held) for request, held in pairs]))


def wish_of(base: Base, request: Request, withheld: bool) -> Wish:
    """How a user puts a request: only what changes of a variant; where withheld, reason or payment on demand."""
    words = request_words(request, base.tables["orders"].get(request.subject), base.tables["products"])
    details: dict[str, Utterance] = {}
    if request.kind == "cancel":
        details["reason"] = Utterance(f"It is {request.reason}.", says([REASON[request.reason]]), ("reason",))
        shown = words[:-1] if withheld else words
    elif request.kind in ("return", "exchange", "modify"):
        via: list[Word] = ["via", (request.payment,)]
        details["payment"] = Utterance(f"Use {request.payment}.", says(via), ("payment",))
        shown = words[:-2] if withheld else words
    else:
        shown = words
    reveals = (request.kind, *(() if withheld else tuple(details)))
    return Wish(Utterance(sentence(base, request, not withheld), says(shown), reveals), details)


def sentence(base: Base, request: Request, complete: bool = True) -> str:
    """A request in plain English; without its reason or payment where it is not complete."""
    orders = base.tables["orders"]
    if request.kind == "cancel":
        return f"Cancel order {request.subject}{f' because it is {request.reason}' if complete else ''}."
    if request.kind == "payment":
        return f"For order {request.subject}, change the payment method to {request.payment}."
    if request.kind in ("address", "home"):
        whose = "my default address" if request.kind == "home" else f"the address of order {request.subject}"
        return f"Change {whose} to {', '.join(part for part in request.address if part)}."
    order, via = orders[request.subject], f" via {request.payment}" if complete else ""
    if request.kind == "return":
        names = ", ".join(item_of(order, old)["name"] for old, _ in request.items)
        return f"Return from order {request.subject}: {names}{via}."
    parts = []
    for old, new in request.items:
        item = item_of(order, old)
        fresh = base.tables["products"][item["product_id"]]["variants"][new]["options"]
        changed = {key: value for key, value in fresh.items() if item["options"].get(key) != value}
        wanted = ", ".join(f"{key} {value}" for key, value in changed.items()) or "the same again"
        parts.append(f"the {item['name']} to {wanted}")
    return f"For order {request.subject}, {request.kind} {'; '.join(parts)}{via}."


def random_task(
    task_id: str, base: Base, rng: random.Random, most: int = 2, kinds: Sequence[Kind] = KINDS, split: str = "train"
) -> Task:
    """A task with one to `most` random requests of a random user, about different orders, that the tools fulfil."""
    users = sorted(base.tables["users"])
    kind = rng.choice(list(kinds))  # first the kind, so that those that fit many users do not crowd out the others
    while True:
        user_id = rng.choice(users)
        first = random_request(base, user_id, rng, [kind])
        if first is None:
            continue
        requests = {first.subject: first}
        for _ in range(rng.randint(1, most) - 1 if rng.random() < 0.5 else 0):
            request = random_request(base, user_id, rng, kinds)
            if request is not None:
                requests.setdefault(request.subject, request)
        return make_task(task_id, base, user_id, list(requests.values()), split, rng.randrange(2**31))


def official_tasks(world: DatabaseWorld, split: str, most: int = 2) -> Expressed:
    """tau-bench's own tasks of a split as far as requests can say them.

    Their users' free texts are replaced by briefs made from the gold writes. Left out are tasks without a write, with
    more than `most`, with required outputs, with gold writes that fail or change nothing, about another user's order,
    or with two items of one name.

    Raises:
        UserError: if the data is not on this machine.
    """
    path = official_folder() / f"tasks_{split}.jsonl"
    tasks: list[Task] = []
    left_out: dict[str, int] = {}
    for number, (_, row) in enumerate(read_jsonl(path)):
        calls = calls_of(row["actions"])
        requests = [request for call in calls if (request := request_of(call)) is not None]
        why = _cannot_say(world, row, requests, most)
        if why:
            left_out[why] = left_out.get(why, 0) + 1
        else:
            tasks.append(make_task(f"tau_retail/{split}/{number}", world.base, row["user_id"], requests, split))
    return Expressed(tuple(tasks), left_out)


def _cannot_say(world: DatabaseWorld, row: Mapping[str, Any], requests: Sequence[Request], most: int) -> str:
    if row.get("outputs"):
        return "required outputs"
    if not requests:
        return "no write"
    if len(requests) > most:
        return f"more than {most} writes"
    user = world.base.tables["users"].get(row["user_id"])
    if user is None:
        return "unknown user"
    calls: list[Call] = [request.call() for request in requests]
    outcome = replay(world, calls)
    if any(output.startswith("Error") for output in outcome.outputs) or not outcome.changes:
        return "gold writes that fail or change nothing"
    for request in requests:
        if request.kind == "home":
            continue
        order = world.base.tables["orders"][request.subject]
        if order["user_id"] != row["user_id"]:
            return "another user's order"
        names = [item["name"] for item in order["items"]]
        chosen = [item_of(order, old)["name"] for old, _ in request.items]
        if any(names.count(name) > 1 for name in chosen):
            return "two items of one name"
    return ""
