"""The tools of tau-bench's airline world, written from its schemas, its policy and recorded calls.

Notable: the tools check little of the policy (an agent has to); booking takes no seat; changing flights to another
cabin charges for it and leaves the reservation's `cabin` field as it was; a search for one stop compares arrival and
departure as texts.
"""

import copy
from typing import Any

from turnsmith.envs.tools.arithmetic import calculate as _calculate
from turnsmith.envs.tools.base import DatabaseTool, dump, spec_of
from turnsmith.envs.tools.database import Database, Record
from turnsmith.worlds.tau import Refused, says_no

NOW = "2024-05-15T15:00:00"
AIRPORTS = {
    "SFO": "San Francisco", "JFK": "New York", "LAX": "Los Angeles", "ORD": "Chicago", "DFW": "Dallas",
    "DEN": "Denver", "SEA": "Seattle", "ATL": "Atlanta", "MIA": "Miami", "BOS": "Boston", "PHX": "Phoenix",
    "IAH": "Houston", "LAS": "Las Vegas", "MCO": "Orlando", "EWR": "Newark", "CLT": "Charlotte", "MSP": "Minneapolis",
    "DTW": "Detroit", "PHL": "Philadelphia", "LGA": "LaGuardia",
}  # fmt: skip
_NEW_RESERVATIONS = ("HATHAT", "HATHAU", "HATHAV")
_NEW_CERTIFICATES = ("certificate_3221322", "certificate_3221323", "certificate_3221324")
_INSURANCE, _BAG = 30, 50


def _reservation(database: Database, reservation_id: str) -> Record:
    record = database.get("reservations", reservation_id)
    if record is None:
        raise Refused("reservation not found")
    return record


def _seats(database: Database, flight: Record, cabin: str, passengers: int) -> Record:
    """The flight of a request, priced: number, date, price, origin, destination.

    Raises:
        Refused: if it does not fly that day, cannot be booked, or is full.
    """
    number, date = flight["flight_number"], flight["date"]
    known = database.get("flights", number)
    if known is None:
        raise Refused(f"flight {number} not found")
    if date not in known["dates"]:
        raise Refused(f"flight {number} not found on date {date}")
    day = known["dates"][date]
    if day["status"] != "available":
        raise Refused(f"flight {number} not available on date {date}")
    if day["available_seats"][cabin] < passengers:
        raise Refused(f"not enough seats on flight {number}")
    places = {"origin": known["origin"], "destination": known["destination"]}
    return {**flight, "price": day["prices"][cabin], **places}


def calculate(database: Database, expression: str) -> str:
    """Calculate the result of an arithmetic expression of numbers, + - * / and brackets."""
    return _calculate(expression)


def think(database: Database, thought: str) -> str:
    """Think about something; nothing changes."""
    return ""


def transfer_to_human_agents(database: Database, summary: str) -> str:
    """Transfer the user to a human agent, with a summary of the issue. The conversation ends."""
    return "Transfer successful"


def list_all_airports(database: Database) -> str:
    """List all airports and their cities."""
    return dump(AIRPORTS)


def get_user_details(database: Database, user_id: str) -> str:
    """Get the details of a user, including their reservations."""
    user = database.get("users", user_id)
    if user is None:
        raise Refused("user not found")
    return dump(user)


def get_reservation_details(database: Database, reservation_id: str) -> str:
    """Get the details of a reservation."""
    record = database.get("reservations", reservation_id)
    if record is None:
        raise Refused("user not found")  # sic: tau-bench says so
    return dump(record)


def _on(flight: Record, date: str) -> Record | None:
    """A flight without its dates, and what is so on this one; None where it cannot be booked."""
    day = flight["dates"].get(date)
    if day is None or day["status"] != "available":
        return None
    return {**_without_dates(flight), **day}


def _without_dates(flight: Record) -> Record:
    return {key: value for key, value in flight.items() if key != "dates"}


def search_direct_flight(database: Database, origin: str, destination: str, date: str) -> str:
    """Search direct flights between two airports on a date."""
    found = []
    for flight in database.values("flights"):
        if (flight["origin"], flight["destination"]) == (origin, destination) and (there := _on(flight, date)):
            found.append(there)
    return dump(found)


def search_onestop_flight(database: Database, origin: str, destination: str, date: str) -> str:
    """Search flights with one stop between two airports on a date."""
    found = []
    flights = list(database.values("flights"))
    for first in flights:
        if first["origin"] != origin:
            continue
        arrival = first["scheduled_arrival_time_est"]
        second_date = f"2024-05-{int(date[-2:]) + 1}" if "+1" in arrival else date
        for second in flights:
            if second["destination"] != destination or second["origin"] != first["destination"]:
                continue
            if arrival > second["scheduled_departure_time_est"]:
                continue
            one = _on(first, date)
            if one and _on(second, second_date):
                # sic: seats and prices of the second flight are those of the first one's day
                two = {**_without_dates(second), **second["dates"][date]}
                found.append([{**one, "date": date}, {**two, "date": second_date}])
    return dump(found)


def book_reservation(
    database: Database,
    user_id: str,
    origin: str,
    destination: str,
    flight_type: str,
    cabin: str,
    flights: list[dict[str, str]],
    passengers: list[dict[str, str]],
    payment_methods: list[dict[str, Any]],
    total_baggages: int,
    nonfree_baggages: int,
    insurance: str,
) -> str:
    """Book a reservation."""
    user = database.get("users", user_id)
    if user is None:
        raise Refused("user not found")
    reservation_id = next(
        (free_id for free_id in _NEW_RESERVATIONS if database.get("reservations", free_id) is None), "HATHAV"
    )
    priced = [_seats(database, flight, cabin, len(passengers)) for flight in flights]
    total = sum(flight["price"] for flight in priced) * len(passengers)
    total += _INSURANCE * len(passengers) if insurance == "yes" else 0
    total += _BAG * nonfree_baggages
    for payment in payment_methods:
        payment_id, amount = payment["payment_id"], payment["amount"]
        method = user["payment_methods"].get(payment_id)
        if method is None:
            raise Refused(f"payment method {payment_id} not found")
        if method["source"] in ("gift_card", "certificate") and method["amount"] < amount:
            raise Refused(f"not enough balance in payment method {payment_id}")
    paid = sum(payment["amount"] for payment in payment_methods)
    if paid != total:
        raise Refused(f"payment amount does not add up, total price is {total}, but paid {paid}")
    user = database.edit("users", user_id)
    for payment in payment_methods:
        method = user["payment_methods"].get(payment["payment_id"])
        if method["source"] == "gift_card":
            method["amount"] -= payment["amount"]
        elif method["source"] == "certificate":
            user["payment_methods"].pop(payment["payment_id"])
    reservation: Record = {
        "reservation_id": reservation_id,
        "user_id": user_id,
        "origin": origin,
        "destination": destination,
        "flight_type": flight_type,
        "cabin": cabin,
        "flights": priced,
        "passengers": copy.deepcopy(passengers),
        "payment_history": copy.deepcopy(payment_methods),
        "created_at": NOW,
        "total_baggages": total_baggages,
        "nonfree_baggages": nonfree_baggages,
        "insurance": insurance,
    }
    database.put("reservations", reservation_id, reservation)
    user["reservations"].append(reservation_id)
    return dump(reservation)


def cancel_reservation(database: Database, reservation_id: str) -> str:
    """Cancel the whole reservation."""
    _reservation(database, reservation_id)
    reservation = database.edit("reservations", reservation_id)
    history = reservation["payment_history"]
    history.extend([{"payment_id": entry["payment_id"], "amount": -entry["amount"]} for entry in history])
    reservation["status"] = "cancelled"
    return dump(reservation)


def send_certificate(database: Database, user_id: str, amount: int) -> str:
    """Send a certificate to a user."""
    if database.get("users", user_id) is None:
        raise Refused("user not found")
    methods = database.edit("users", user_id)["payment_methods"]
    for payment_id in _NEW_CERTIFICATES:
        if payment_id not in methods:
            methods[payment_id] = {"source": "certificate", "amount": amount, "id": payment_id}
            return f"Certificate {payment_id} added to user {user_id} with amount {amount}."
    raise Refused("no more certificates can be sent to this user")


def _charge(database: Database, reservation: Record, payment_id: str, total: float) -> None:
    """Pay for a change of a reservation (or get money back, when negative).

    Raises:
        Refused: if the method is not the user's, is a certificate, or has not enough.
    """
    user = database.get("users", reservation["user_id"]) or {}
    method = user["payment_methods"].get(payment_id)
    if method is None:
        raise Refused("payment method not found")
    if method["source"] == "certificate":
        raise Refused("certificate cannot be used to update reservation")
    if method["source"] == "gift_card" and method["amount"] < total:
        raise Refused("gift card balance is not enough")
    if method["source"] == "gift_card":
        database.edit("users", reservation["user_id"])["payment_methods"][payment_id]["amount"] -= total
    if total != 0:
        editable = database.edit("reservations", reservation["reservation_id"])
        editable["payment_history"].append({"payment_id": payment_id, "amount": total})


def update_reservation_baggages(
    database: Database, reservation_id: str, total_baggages: int, nonfree_baggages: int, payment_id: str
) -> str:
    """Update the baggage information of a reservation."""
    reservation = _reservation(database, reservation_id)
    total = _BAG * max(0, nonfree_baggages - reservation["nonfree_baggages"])
    _charge(database, reservation, payment_id, total)
    reservation = database.edit("reservations", reservation_id)
    reservation["total_baggages"] = total_baggages
    reservation["nonfree_baggages"] = nonfree_baggages
    return dump(reservation)


def update_reservation_flights(
    database: Database, reservation_id: str, cabin: str, flights: list[dict[str, str]], payment_id: str
) -> str:
    """Update the flights of a reservation; all of its flights are given, changed or not."""
    reservation = _reservation(database, reservation_id)
    passengers = len(reservation["passengers"])
    priced = []
    for flight in flights:
        kept = [
            old
            for old in reservation["flights"]
            if (old["flight_number"], old["date"]) == (flight["flight_number"], flight["date"])
            and cabin == reservation["cabin"]
        ]
        if kept:
            known = {key: kept[0][key] for key in ("price", "origin", "destination")}
            priced.append({**flight, **known})
        else:
            priced.append(_seats(database, flight, cabin, passengers))
    before = sum(flight["price"] for flight in reservation["flights"])
    total = (sum(flight["price"] for flight in priced) - before) * passengers
    _charge(database, reservation, payment_id, total)
    reservation = database.edit("reservations", reservation_id)
    reservation["flights"] = priced
    return dump(reservation)


def update_reservation_passengers(database: Database, reservation_id: str, passengers: list[dict[str, str]]) -> str:
    """Update the passengers of a reservation; there are as many as before."""
    if len(_reservation(database, reservation_id)["passengers"]) != len(passengers):
        raise Refused("number of passengers does not match")
    reservation = database.edit("reservations", reservation_id)
    reservation["passengers"] = copy.deepcopy(passengers)
    return dump(reservation)


_READS = (
    calculate, get_reservation_details, get_user_details, list_all_airports, search_direct_flight,
    search_onestop_flight, think, transfer_to_human_agents,
)  # fmt: skip
_WRITES = (
    book_reservation, cancel_reservation, send_certificate, update_reservation_baggages, update_reservation_flights,
    update_reservation_passengers,
)  # fmt: skip
WRITES = tuple(function.__name__ for function in _WRITES)
FUNCTIONS: dict[str, DatabaseTool] = {function.__name__: says_no(function) for function in (*_READS, *_WRITES)}
SPECS = tuple(
    spec_of(
        function,
        writes=function.__name__ in WRITES,
        ends=function.__name__ == "transfer_to_human_agents",
        skip=1,
    )
    for function in sorted((*_READS, *_WRITES), key=lambda function: function.__name__)
)
