"""Tasks of the three families, with their answers, how they are found, and two ways of grading."""

import json
import random
from collections.abc import Callable
from typing import Any

from turnsmith.trace.types import Call, Task
from turnsmith.worlds.m3.tools import CITIES, CURRENCIES, DAYS, encode_morse, world

_WORDS = ("harbor", "lantern", "meadow", "signal", "copper", "winter", "garden", "planet")


def _call(family: str, name: str, **arguments: Any) -> tuple[Call, str]:
    return Call(name, arguments), world(family).fresh().call(name, arguments)


def _trade(rng: random.Random) -> tuple[str, str, list[Call]]:
    source, target = rng.sample(sorted(CURRENCIES), 2)
    price, pieces, tariff, discount = rng.randint(10, 90), rng.randint(2, 30), rng.randint(5, 25), rng.randint(5, 40)
    first, total = _call("trade", "total_cost", unit_price=float(price), pieces=pieces)
    second, reduced = _call("trade", "subtract_discount", price=float(total), percent=float(discount))
    third, taxed = _call("trade", "add_tariff", price=float(reduced), percent=float(tariff))
    fourth, answer = _call("trade", "convert_currency", amount=float(taxed), source=source, target=target)
    text = (
        f"{pieces} pieces at {price} {source}s each are bought with a discount of {discount} per cent; then a tariff "
        f"of {tariff} per cent is added. How much is that in {target}s?"
    )
    return text, answer, [first, second, third, fourth]


def _travel(rng: random.Random) -> tuple[str, str, list[Call]]:
    origin, destination = rng.sample(CITIES, 2)
    day, nights = rng.choice(DAYS), rng.randint(2, 6)
    first, flights = _call("travel", "find_flights", origin=origin, destination=destination, day=day)
    second, flight = _call("travel", "cheapest", offers=json.loads(flights))
    third, hotels = _call("travel", "find_hotels", city=destination)
    fourth, hotel = _call("travel", "cheapest", offers=json.loads(hotels))
    price = float(json.loads(hotel)["price"])
    fifth, lodging = _call("travel", "total_cost", unit_price=price, pieces=nights)
    answer = str(round(json.loads(flight)["price"] + float(lodging), 2))
    text = (
        f"What do the cheapest flight from {origin} to {destination} on {day} and {nights} nights in the cheapest "
        "hotel there cost together?"
    )
    return text, answer, [first, second, third, fourth, fifth]


def _message(rng: random.Random) -> tuple[str, str, list[Call]]:
    word, by = rng.choice(_WORDS), rng.randint(1, 25)
    _, shifted = _call("message", "shift_letters", text=word, by=by)
    kind = rng.choice(("hex", "morse"))
    hidden = shifted[::-1]
    coded = hidden.encode().hex() if kind == "hex" else encode_morse(hidden)
    first, plain = _call("message", f"decode_{kind}", text=coded)
    second, turned = _call("message", "reverse_text", text=plain)
    third, answer = _call("message", "shift_letters", text=turned, by=-by)
    code = "hexadecimal digits" if kind == "hex" else "Morse signs"
    text = (
        f"Decode {coded!r}: it is in {code}; what they say is backwards, and each letter was moved {by} places forward."
    )
    return text, answer, [first, second, third]


FAMILIES: dict[str, Callable[[random.Random], tuple[str, str, list[Call]]]] = {
    "trade": _trade,
    "travel": _travel,
    "message": _message,
}


def make_task(family: str, seed: int, split: str = "train") -> Task:
    """A task of a family; its answer and the calls that find it are hidden.

    Raises:
        KeyError: if there is no such family.
    """
    text, answer, calls = FAMILIES[family](random.Random(f"{family}/{split}/{seed}"))
    gold = [{"name": call.name, "kwargs": dict(call.arguments)} for call in calls]
    hidden = {"answer": answer, "calls": gold}
    return Task(f"m3/{family}/{split}/{seed}", text, f"m3_{family}", {"family": family}, split, {}, hidden)


def grade_answer(given: str | None, expected: str) -> tuple[bool, bool]:
    """(strict, fixed): the same text as the official grader wants it, and the same up to form.

    `fixed` takes numbers within 0.005 (the exact equality of floats rejects some right sums) and ignores case, outer
    blanks and quotes.
    """
    if given is None:
        return False, False
    strict = given == expected
    try:
        return strict, abs(float(given) - float(expected)) <= 0.005 + 1e-9
    except ValueError:
        return strict, given.strip().strip("'\".").casefold() == expected.strip().casefold()
