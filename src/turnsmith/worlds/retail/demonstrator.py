"""Scripted agents of the shop, as good or as sloppy as asked for: what a small model learns its trade from.

The helper knows what its user wants and does it step by step; with probability `noise` it does something else that it
could have meant. The challenger explores and writes a task; its carelessness is of the kinds that the paper counts:
tasks that cannot be done, verifiers that look at too little, failure cases that are none.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from turnsmith.agents.base import Context
from turnsmith.envs.tools.database import Base
from turnsmith.errors import ParseError
from turnsmith.trace.types import Action, Task
from turnsmith.worlds.retail.challenges import read_proposal
from turnsmith.worlds.retail.compact import (
    REASON,
    STATUS,
    STATUS_OF,
    Seen,
    Word,
    log_of,
    parse_action,
    request_words,
)  # fmt: skip
from turnsmith.worlds.retail.requests import KINDS, SWAPS_OFTEN, Request, address_of, mutations, random_request
from turnsmith.worlds.retail.tasks import requests_of

_AFTER = {
    "cancel": "cancelled", "return": "return requested", "exchange": "exchange requested",
    "modify": "pending (item modified)", "payment": "pending", "address": "pending",
}  # fmt: skip


def next_step(task: Task, context: Context, base: Base, rng: random.Random, noise: float) -> str:
    """The helper's next action in the small language."""
    pieces, seen = log_of(context)
    done = [turn.action.text for turn in context.turns]
    if not any(text.startswith("find") for text in done):
        return "find " + " ".join(word for word in pieces[1].split() if word != "am")
    asked = done.count("ask next")
    begun = len(done) - 1 - done[::-1].index("ask next") if asked else 0
    since = done[begun + 1 :]
    requests = requests_of(task)
    if asked == 0 or asked > len(requests) or any(text.split()[0] in KINDS for text in since):
        return "ask next"
    request, held = requests[asked - 1], task.hidden["withheld"][asked - 1]
    wanted = _preparation(request, held, since, seen, base)
    if rng.random() < noise:
        request = rng.choice(mutations(base, request, task.hidden["user_id"]) or [request])
        if rng.random() < 0.5:
            wanted = wanted[1:]
    if wanted:
        return wanted[0]
    return _write(request, seen)


def _preparation(request: Request, held: bool, since: Sequence[str], seen: Seen, base: Base) -> list[str]:
    """What is to be asked or looked at before the write, in order."""
    wanted = []
    if held and request.kind == "cancel" and "ask reason" not in since:
        wanted.append("ask reason")
    if request.kind in ("return", "exchange", "modify"):
        if held and "ask pay" not in since:
            wanted.append("ask pay")
        if request.subject not in seen.orders:
            wanted.append(f"order {seen.mark(request.subject)}")
        order = base.tables["orders"][request.subject]
        for old, new in request.items if request.kind != "return" else ():
            name = next(item["name"] for item in order["items"] if item["item_id"] == old)
            if new != old and name not in seen.products:
                wanted.append(f"product {seen.mark(name)}")
    return wanted


def _write(request: Request, seen: Seen) -> str:
    try:
        return seen.text(request_words(request, seen.orders.get(request.subject), seen.products))
    except (KeyError, StopIteration):
        return f"order {seen.mark(request.subject)}"


@dataclass(frozen=True)
class Sloppiness:
    """How a scripted challenger errs, as probabilities.

    Attributes:
        infeasible: the request ignores the order's status.
        missing: each condition of the verifier is left out.
        wrong: the verifier's status is another one.
        slip: the solution does something else.
        lenient: a failure case is nothing at all, which proves little.
        same: a failure case is the solution.
    """

    infeasible: float = 0.25
    missing: float = 0.2
    wrong: float = 0.1
    slip: float = 0.1
    lenient: float = 0.1
    same: float = 0.02


def next_challenge(
    user_id: str, context: Context, base: Base, rng: random.Random, sloppy: Sloppiness, seed: int
) -> str:
    """The challenger's next action: explore what its request needs, then propose. The plan depends on `seed` alone."""
    plan = random.Random(f"{seed}/{user_id}")
    request = _plan(base, user_id, plan, sloppy)
    _, seen = log_of(context)
    if user_id not in seen.users:
        return f"user {seen.mark(user_id)}"
    record = base.tables["users"][user_id]
    orders = [order_id for order_id in record["orders"] if order_id in base.tables["orders"]]
    wanted = [request.subject] if request.subject in orders else orders[:1]
    for order_id in wanted:
        if order_id not in seen.orders:
            return f"order {seen.mark(order_id)}"
    if request.kind in ("exchange", "modify"):
        order = base.tables["orders"][request.subject]
        for item in order["items"]:
            if any(old == item["item_id"] for old, _ in request.items) and item["name"] not in seen.products:
                return f"product {seen.mark(item['name'])}"
    return seen.text(proposal_words(base, request, user_id, plan, sloppy, seen))


def _plan(base: Base, user_id: str, rng: random.Random, sloppy: Sloppiness) -> Request:
    for _ in range(20):
        request = random_request(base, user_id, rng, SWAPS_OFTEN)
        if request is None or (request.kind == "home" and rng.random() < 0.8):
            continue
        if rng.random() < sloppy.infeasible and request.kind in ("cancel", "payment", "address", "return"):
            others = [
                order_id for order_id in base.tables["users"][user_id]["orders"] if order_id in base.tables["orders"]
            ]
            other = base.tables["orders"][rng.choice(others)]
            items = ((rng.choice(other["items"])["item_id"], ""),) if request.kind == "return" else ()
            return replace(request, subject=other["order_id"], items=items)
        return _known_address(base, user_id, request)
    user = base.tables["users"][user_id]
    return Request("home", user_id, address=address_of(user))


def _known_address(base: Base, user_id: str, request: Request) -> Request:
    """An address that a challenger has seen: it cannot copy one that nobody showed it."""
    if not request.address:
        return request
    user = base.tables["users"][user_id]
    if request.kind == "address":
        return replace(request, address=address_of(user))
    orders = [base.tables["orders"][order_id] for order_id in user["orders"] if order_id in base.tables["orders"]]
    return replace(request, address=address_of(orders[0])) if orders else request


def proposal_words(
    base: Base, request: Request, user_id: str, rng: random.Random, sloppy: Sloppiness, seen: Seen
) -> list[Word]:
    """A proposal about a request, with the mistakes of a sloppy author."""
    order = base.tables["orders"].get(request.subject)

    def said(one: Request) -> list[Word]:
        return request_words(one, order, seen.products)

    words: list[Word] = ["task", *said(request), "check"]
    for atom in _atoms(request, rng, sloppy):
        if rng.random() >= sloppy.missing:
            words += atom
    others: list[Request] = []
    for other in mutations(base, request, user_id):
        try:
            said(other)
        except (KeyError, StopIteration):
            continue
        named = (other.subject, other.payment, "|".join(other.address))
        if all(value in seen.marks for value in named if value):
            others.append(other)
    others = _by_turns(request, others, rng)
    words += ["solve", *said(others[0] if others and rng.random() < sloppy.slip else request)]
    for number in range(3):
        words.append("fail")
        if rng.random() < sloppy.same:
            words += said(request)
        elif rng.random() < sloppy.lenient or number >= len(others):
            words.append("none")
        else:
            words += said(others[number])
    return words


def _by_turns(request: Request, others: Sequence[Request], rng: random.Random) -> list[Request]:
    """Shuffled so that each next one differs from the request in another respect, while there are any."""
    fields = ("payment", "items", "reason", "address", "subject")
    groups: dict[str, list[Request]] = {}
    for other in rng.sample(list(others), len(others)):
        respect = next((field for field in fields if getattr(other, field) != getattr(request, field)), "kind")
        groups.setdefault(respect, []).append(other)
    ordered = rng.sample(list(groups.values()), len(groups))
    return [group[place] for place in range(len(others)) for group in ordered if place < len(group)]


def _atoms(request: Request, rng: random.Random, sloppy: Sloppiness) -> list[list[Word]]:
    if request.kind == "home":
        return [["at", ("|".join(request.address),)]]
    after = STATUS[_AFTER[request.kind]]
    status = rng.choice(sorted(STATUS_OF)) if rng.random() < sloppy.wrong else after
    atoms: list[list[Word]] = [["status", status]]
    if request.reason:
        atoms.append(["reason", REASON[request.reason]])
    if request.payment:
        atoms.append(["pay", (request.payment,)])
    if request.items:
        atoms.append(["items"])
    if request.kind in ("exchange", "modify"):
        atoms.append(["new"])
    if request.address:
        atoms.append(["at", ("|".join(request.address),)])
    return atoms


class ScriptedHelper:
    """The helper as a policy: the tasks it may be asked about are known to it.

    Attributes:
        version: says how noisy it is.
    """

    def __init__(self, tasks: Sequence[Task], base: Base, noise: float = 0.0) -> None:
        self._tasks = {task.id: task for task in tasks}
        self._base, self._noise = base, noise
        self.version = f"script-noise-{noise:g}"

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context."""
        return [self._one(context) for context in contexts]

    def _one(self, context: Context) -> Action:
        task, rng = self._tasks[context.task.id], random.Random(context.seed)
        text = next_step(task, context, self._base, rng, self._noise)
        try:
            return Action(text, parse_action(text, log_of(context)[1]))
        except ParseError:  # the mistake speaks of something that was not shown: none is made instead
            text = next_step(task, context, self._base, rng, 0.0)
            return Action(text, parse_action(text, log_of(context)[1]))

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """A script has no probabilities."""
        raise NotImplementedError


class ScriptedChallenger:
    """The challenger as a policy. Tasks have the user's id in `params["user_id"]`.

    Attributes:
        version: its name.
    """

    version = "script-challenger"

    def __init__(self, base: Base, sloppy: Sloppiness | None = None) -> None:
        self._base, self._sloppy = base, sloppy or Sloppiness()

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context."""
        return [self._one(context) for context in contexts]

    def _one(self, context: Context) -> Action:
        user_id = str(context.task.params["user_id"])
        rng, plan = random.Random(context.seed), int(context.task.params.get("plan", 0))
        text = next_challenge(user_id, context, self._base, rng, self._sloppy, plan)
        seen = log_of(context)[1]
        try:
            return Action(text, read_proposal(text, seen) if text.startswith("task") else parse_action(text, seen))
        except ParseError as error:
            return Action(text, None, str(error))

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """A script has no probabilities."""
        raise NotImplementedError
