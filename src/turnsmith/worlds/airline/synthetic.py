"""A made-up airline database of the same shape as tau-bench's: flights by day, reservations, users."""

import random
from datetime import date, timedelta

from turnsmith.envs.tools.database import Base, Record
from turnsmith.worlds.airline.tools import AIRPORTS

_FIRST = (
    "Ada", "Bela", "Cleo", "Dana", "Emil", "Fina", "Gero", "Hana", "Ivo", "Jana",
    "Kiro", "Lena", "Milo", "Nora", "Otto", "Pia",
)  # fmt: skip
_LAST = (
    "Adler", "Berg", "Crane", "Dorn", "Eder", "Falk", "Greve", "Holm", "Iwan", "Jung",
    "Kern", "Lund", "Moor", "Nagel", "Orth", "Pohl",
)  # fmt: skip
_CABINS = {"basic_economy": (50, 100), "economy": (100, 200), "business": (200, 500)}
_FIRST_DAY, _DAYS, _TODAY = date(2024, 5, 1), 30, date(2024, 5, 15)


def synthetic_base(seed: int = 0, users: int = 40) -> Base:
    """Tables `flights`, `reservations` and `users` with the fields of tau-bench's airline world.

    Args:
        seed: the same seed gives the same tables.
        users: how many; each has up to three reservations.
    """
    rng = random.Random(seed)
    flights = {f"SYN{number:03}": _flight(rng, f"SYN{number:03}") for number in range(80)}
    reservations: dict[str, Record] = {}
    people: dict[str, Record] = {}
    for number in range(users):
        user = _user(rng)
        user_id = f"{user['name']['first_name']}_{user['name']['last_name']}_{1000 + number}".lower()
        for _ in range(rng.randint(0, 3)):
            reservation = _reservation(rng, user_id, user, flights, f"{len(reservations):06X}")
            reservations[reservation["reservation_id"]] = reservation
            user["reservations"].append(reservation["reservation_id"])
        people[user_id] = user
    return Base({"flights": flights, "reservations": reservations, "users": people})


def _flight(rng: random.Random, number: str) -> Record:
    origin, destination = rng.sample(sorted(AIRPORTS), 2)
    departs, hours = rng.randrange(24), rng.randint(2, 6)
    days: Record = {}
    for offset in range(_DAYS):
        day = _FIRST_DAY + timedelta(offset)
        if day < _TODAY:
            times = {
                "actual_departure_time_est": f"{day}T{departs:02}:00:00",
                "actual_arrival_time_est": f"{day}T23:00:00",
            }
            days[str(day)] = {"status": "landed", **times}
        else:
            seats = {cabin: rng.randrange(21) for cabin in _CABINS}
            prices = {cabin: rng.randint(*bounds) for cabin, bounds in _CABINS.items()}
            days[str(day)] = {"status": "available", "available_seats": seats, "prices": prices}
    arrives = departs + hours
    return {
        "flight_number": number,
        "origin": origin,
        "destination": destination,
        "scheduled_departure_time_est": f"{departs:02}:00:00",
        "scheduled_arrival_time_est": f"{arrives % 24:02}:00:00{'+1' if arrives > 23 else ''}",
        "dates": days,
    }


def _user(rng: random.Random) -> Record:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    methods: Record = {}
    for source in rng.sample(("credit_card", "gift_card", "certificate"), rng.randint(1, 3)):
        method_id = f"{source}_{rng.randrange(10**6, 10**7)}"
        method: Record = {"source": source, "id": method_id}
        if source == "credit_card":
            method |= {"brand": rng.choice(("visa", "mastercard")), "last_four": f"{rng.randrange(10**4):04}"}
        else:
            method["amount"] = rng.choice((50, 100, 150, 250, 400))
        methods[method_id] = method
    return {
        "name": {"first_name": first, "last_name": last},
        "address": {
            "address1": f"{rng.randint(1, 999)} Elder Lane", "address2": f"Suite {rng.randint(100, 999)}",
            "city": "Denver", "country": "USA", "state": "CO", "zip": f"80{rng.randint(100, 999)}",
        },
        "email": f"{first}.{last}{rng.randrange(1000, 10000)}@example.com".lower(),
        "dob": f"{rng.randint(1950, 2004)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
        "payment_methods": methods,
        "saved_passengers": [],
        "membership": rng.choice(("regular", "silver", "gold")),
        "reservations": [],
    }  # fmt: skip


def _reservation(rng: random.Random, user_id: str, user: Record, flights: dict[str, Record], number: str) -> Record:
    flight = flights[rng.choice(sorted(flights))]
    day = str(_TODAY + timedelta(rng.randint(1, 10)))
    cabin = rng.choice(sorted(_CABINS))
    price = flight["dates"][day]["prices"][cabin]
    passenger = {"first_name": user["name"]["first_name"], "last_name": user["name"]["last_name"], "dob": user["dob"]}
    leg = {"origin": flight["origin"], "destination": flight["destination"], "flight_number": flight["flight_number"]}
    return {
        "reservation_id": number,
        "user_id": user_id,
        "origin": flight["origin"],
        "destination": flight["destination"],
        "flight_type": "one_way",
        "cabin": cabin,
        "flights": [{**leg, "date": day, "price": price}],
        "passengers": [passenger],
        "payment_history": [{"payment_id": rng.choice(sorted(user["payment_methods"])), "amount": price}],
        "created_at": f"2024-05-{rng.randint(1, 14):02}T10:00:00",
        "total_baggages": rng.randrange(3),
        "nonfree_baggages": 0,
        "insurance": rng.choice(("yes", "no")),
    }
