"""Tasks of the airline for its made-up database: what a passenger may want, as a brief and the write that fulfils it.

Kinds: cancel a reservation, add checked bags (each of them paid), correct a passenger's name, move a flight to another
day. Gold writes are executed once: a task whose write fails or changes nothing is drawn again.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from turnsmith.envs.tools.base import DatabaseWorld
from turnsmith.envs.tools.database import Base, Record
from turnsmith.envs.tools.replay import calls_of, replay
from turnsmith.envs.tools.user import Brief, RuleUser, Utterance, Wish
from turnsmith.trace.types import Task
from turnsmith.worlds.airline.tools import FUNCTIONS, NOW, SPECS

Kind = Literal["cancel", "bags", "name", "day"]
KINDS: tuple[Kind, ...] = ("cancel", "bags", "name", "day")
INSTRUCTION = "Help the passenger who is writing to you."
_NAMES = ("Ira", "Uma", "Noel", "Tess", "Viktor")


def user_of(task: Task) -> RuleUser:
    """The rule-based user of a task: they say who they are, then what they want, the payment only when asked."""
    hidden = task.hidden
    identity = Utterance(f"Hello. My user id is {hidden['user_id']}.", reveals=("user_id",))
    wishes = []
    for row in hidden["wishes"]:
        details = {topic: Utterance(text, reveals=(topic,)) for topic, text in row["details"].items()}
        wishes.append(Wish(Utterance(row["says"], reveals=(row["kind"],)), details))
    return RuleUser(Brief(identity, wishes))


def random_task(
    task_id: str, base: Base, rng: random.Random, kinds: Sequence[Kind] = KINDS, split: str = "train"
) -> Task:
    """A task with one request of a random passenger that the tools fulfil."""
    world = DatabaseWorld("tau_airline_tasks", base, SPECS, FUNCTIONS)
    kind, reservations = rng.choice(list(kinds)), base.tables["reservations"]
    while True:
        reservation = reservations[rng.choice(sorted(reservations))]
        user_id = reservation["user_id"]
        wish = _WISHES[kind](base, reservation, base.tables["users"][user_id], rng)
        if wish is None:
            continue
        action, says, details = wish
        outcome = replay(world, calls_of([action]))
        if outcome.changes and not any(output.startswith("Error") for output in outcome.outputs):
            break
    hidden = {
        "user_id": user_id,
        "wishes": [{"kind": kind, "says": says, "details": dict(details)}],
        "actions": [action],
        "outputs": [],
    }
    return Task(task_id, INSTRUCTION, "tau_airline", {"role": "help"}, split, {"kinds": [kind]}, hidden)


_Wanted = tuple[dict[str, Any], str, Mapping[str, str]]
"""The gold action, what the passenger says, and what only when asked."""


def _cancel(base: Base, reservation: Record, user: Record, rng: random.Random) -> _Wanted | None:
    name = reservation["reservation_id"]
    if reservation.get("status") == "cancelled":
        return None
    reason = rng.choice(("My plans changed.", "I am ill and cannot fly.", "The trip was called off."))
    action = {"name": "cancel_reservation", "kwargs": {"reservation_id": name}}
    return action, f"Please cancel my reservation {name}.", {"reason": reason}


def _bags(base: Base, reservation: Record, user: Record, rng: random.Random) -> _Wanted | None:
    more = rng.randint(1, 3)
    able = _able(user, 50 * more)
    if not able:
        return None
    name, payment = reservation["reservation_id"], rng.choice(able)
    kwargs = {
        "reservation_id": name,
        "total_baggages": reservation["total_baggages"] + more,
        "nonfree_baggages": reservation["nonfree_baggages"] + more,
        "payment_id": payment,
    }
    says = f"I want {more} more checked {'bag' if more == 1 else 'bags'} in reservation {name}; I pay for each of them."
    return {"name": "update_reservation_baggages", "kwargs": kwargs}, says, {"payment": f"Use {payment}."}


def _name(base: Base, reservation: Record, user: Record, rng: random.Random) -> _Wanted | None:
    passengers = [dict(one) for one in reservation["passengers"]]
    one = rng.choice(passengers)
    before, after = one["first_name"], rng.choice([name for name in _NAMES if name != one["first_name"]])
    one["first_name"] = after
    name = reservation["reservation_id"]
    action = {
        "name": "update_reservation_passengers",
        "kwargs": {"reservation_id": name, "passengers": passengers},
    }
    says = f"In reservation {name} the first name of {before} {one['last_name']} is wrong: it has to be {after}."
    return action, says, {}


def _day(base: Base, reservation: Record, user: Record, rng: random.Random) -> _Wanted | None:
    if len(reservation["flights"]) != 1:
        return None
    [flight] = reservation["flights"]
    cabin, seats = reservation["cabin"], len(reservation["passengers"])
    days = base.tables["flights"][flight["flight_number"]]["dates"]
    free = [
        day
        for day, one in days.items()
        if day > NOW[:10] and day != flight["date"] and one["status"] == "available"
        and one["available_seats"][cabin] >= seats
    ]  # fmt: skip
    if not free:
        return None
    day = rng.choice(free)
    extra = (days[day]["prices"][cabin] - flight["price"]) * seats
    able = _able(user, extra)
    if not able:
        return None
    name, payment = reservation["reservation_id"], rng.choice(able)
    kwargs = {
        "reservation_id": name,
        "cabin": cabin,
        "flights": [{"flight_number": flight["flight_number"], "date": day}],
        "payment_id": payment,
    }
    says = f"I want to fly on {day} instead with reservation {name}: the same flight, the same cabin."
    return {"name": "update_reservation_flights", "kwargs": kwargs}, says, {"payment": f"Use {payment}."}


def _able(user: Record, total: float) -> list[str]:
    """The payment methods that can pay so much: cards always, gift cards up to their amount, certificates never."""
    return [
        name
        for name, method in user["payment_methods"].items()
        if method["source"] == "credit_card" or (method["source"] == "gift_card" and method["amount"] >= total)
    ]


_WISHES = {"cancel": _cancel, "bags": _bags, "name": _name, "day": _day}
