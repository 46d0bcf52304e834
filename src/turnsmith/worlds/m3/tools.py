"""The tools of the three families. Each is a plain function of its arguments; tables are made from a world's seed."""

import json
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from turnsmith.envs.tools.base import DatabaseTool, DatabaseWorld, spec_of
from turnsmith.envs.tools.database import Base, Database

CITIES = ("Arlen", "Brask", "Corvo", "Delft", "Eskil", "Farro")
CURRENCIES = {"crown": 1.0, "dinar": 2.5, "florin": 0.8, "mark": 1.6}
DAYS = ("Monday", "Tuesday", "Wednesday")
_CODES = ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
_MORSE = dict(zip("abcdefghijklmnopqrstuvwxyz", _CODES.split(), strict=True))
_LETTER = {code: letter for letter, code in _MORSE.items()}


def convert_currency(database: Database, amount: float, source: str, target: str) -> str:
    """Convert an amount between crown, dinar, florin and mark."""
    return str(round(amount * CURRENCIES[source] / CURRENCIES[target], 2))


def add_tariff(database: Database, price: float, percent: float) -> str:
    """The price with a tariff of so many per cent on it."""
    return str(round(price * (1 + percent / 100), 2))


def subtract_discount(database: Database, price: float, percent: float) -> str:
    """The price with a discount of so many per cent."""
    return str(round(price * (1 - percent / 100), 2))


def total_cost(database: Database, unit_price: float, pieces: int) -> str:
    """The cost of so many pieces."""
    return str(round(unit_price * pieces, 2))


def find_flights(database: Database, origin: str, destination: str, day: str) -> str:
    """Flights between two cities on a day: number, price, arrival hour."""
    return json.dumps(_row(database, "flights", f"{origin}/{destination}/{day}"))


def find_hotels(database: Database, city: str) -> str:
    """Hotels of a city: name, price a night, stars."""
    return json.dumps(_row(database, "hotels", city))


def cheapest(database: Database, offers: list[dict[str, Any]]) -> str:
    """The cheapest of some offers."""
    return json.dumps(min(offers, key=lambda offer: offer["price"]))


def _row(database: Database, table: str, key: str) -> list[Any]:
    record = database.get(table, key)
    return [] if record is None else record["offers"]


def reverse_text(database: Database, text: str) -> str:
    """The text from its end to its beginning."""
    return text[::-1]


def shift_letters(database: Database, text: str, by: int) -> str:
    """Each letter moved along the alphabet; others stay."""
    return "".join(_shifted(letter, by) for letter in text)


def _shifted(letter: str, by: int) -> str:
    if not (letter.isascii() and letter.isalpha()):
        return letter
    first = ord("a" if letter.islower() else "A")
    return chr((ord(letter) - first + by) % 26 + first)


def decode_hex(database: Database, text: str) -> str:
    """The text that hexadecimal digits stand for."""
    return bytes.fromhex(text).decode()


def decode_morse(database: Database, text: str) -> str:
    """The letters that Morse signs stand for; signs are apart by a blank."""
    return "".join(_LETTER[sign] for sign in text.split())


def encode_morse(text: str) -> str:
    """Letters as Morse signs (for making tasks)."""
    return " ".join(_MORSE[letter] for letter in text)


TOOLS: dict[str, Sequence[Callable[..., str]]] = {
    "trade": (convert_currency, add_tariff, subtract_discount, total_cost),
    "travel": (find_flights, find_hotels, cheapest, total_cost),
    "message": (reverse_text, shift_letters, decode_hex, decode_morse),
}


@cache
def world(family: str = "", seed: int = 0) -> DatabaseWorld:
    """The tools of one family (or of all), over tables made from the seed."""
    chosen = TOOLS[family] if family else tuple(dict.fromkeys(tool for tools in TOOLS.values() for tool in tools))
    functions: dict[str, DatabaseTool] = {tool.__name__: tool for tool in chosen}
    name = f"m3_{family}" if family else "m3"
    return DatabaseWorld(name, Base(_tables(seed)), tuple(spec_of(tool, skip=1) for tool in chosen), functions)


def _tables(seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    rng = random.Random(seed)
    flights: dict[str, dict[str, Any]] = {}
    for origin in CITIES:
        for destination in CITIES:
            for day in DAYS if origin != destination else ():
                prices = rng.sample(range(60, 400), 3)
                rows = [
                    {"flight": f"F{rng.randint(100, 999)}", "price": p, "arrives": rng.randint(6, 23)} for p in prices
                ]
                flights[f"{origin}/{destination}/{day}"] = {"offers": rows}
    hotels = {
        city: {
            "offers": [
                {"hotel": f"{name} {city}", "price": price, "stars": rng.randint(1, 5)}
                for name, price in zip(("Grand", "Station", "Garden"), rng.sample(range(30, 200), 3), strict=True)
            ]
        }
        for city in CITIES
    }
    return {"flights": flights, "hotels": hotels}
