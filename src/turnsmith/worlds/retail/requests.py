"""What a user of the shop may want, as data: the one thing that briefs, tasks, solutions and their audits are made of.

A request is one write. It can be said in words, turned into the tool call that fulfils it, and read back from a call.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from turnsmith.envs.tools.database import Base, Record
from turnsmith.trace.types import Call
from turnsmith.worlds.retail.tools import REASONS

Kind = Literal["cancel", "return", "exchange", "modify", "payment", "address", "home"]
KINDS: tuple[Kind, ...] = ("cancel", "return", "exchange", "modify", "payment", "address", "home")
SWAPS_OFTEN: tuple[Kind, ...] = (*KINDS, "exchange", "modify")
"""Swaps twice as often: they need the most steps, and most requests of the benchmark are swaps."""
_TOOLS: dict[Kind, str] = {
    "cancel": "cancel_pending_order",
    "return": "return_delivered_order_items",
    "exchange": "exchange_delivered_order_items",
    "modify": "modify_pending_order_items",
    "payment": "modify_pending_order_payment",
    "address": "modify_pending_order_address",
    "home": "modify_user_address",
}
_KIND_OF: dict[str, Kind] = {tool: kind for kind, tool in _TOOLS.items()}
_ADDRESS = ("address1", "address2", "city", "state", "country", "zip")


@dataclass(frozen=True, slots=True)
class Request:
    """One write that a user wants.

    Attributes:
        kind: of write.
        subject: the order's id; the user's for "home".
        reason: of a cancellation.
        payment: id of a payment method (return, exchange, modify, payment).
        items: item ids (return), or (item id, new item id) (exchange, modify).
        address: the six fields of an address, in the order of the tools' parameters.
    """

    kind: Kind
    subject: str
    reason: str = ""
    payment: str = ""
    items: tuple[tuple[str, str], ...] = ()
    address: tuple[str, ...] = ()

    def call(self) -> Call:
        """The call that fulfils it."""
        arguments: dict[str, Any] = {"user_id" if self.kind == "home" else "order_id": self.subject}
        if self.kind == "cancel":
            arguments["reason"] = self.reason
        elif self.kind in ("address", "home"):
            arguments |= dict(zip(_ADDRESS, self.address, strict=True))
        elif self.kind != "payment":
            arguments["item_ids"] = [old for old, _ in self.items]
            if self.kind != "return":
                arguments["new_item_ids"] = [new for _, new in self.items]
        if self.kind in ("return", "exchange", "modify", "payment"):
            arguments["payment_method_id"] = self.payment
        return Call(_TOOLS[self.kind], arguments)


def request_of(call: Call) -> Request | None:
    """The request that a call fulfils; None for a call that writes nothing.

    Raises:
        KeyError: if a write lacks an argument.
    """
    kind = _KIND_OF.get(call.name)
    if kind is None:
        return None
    given = call.arguments
    subject = given["user_id"] if kind == "home" else given["order_id"]
    if kind == "cancel":
        return Request(kind, subject, reason=given["reason"])
    if kind in ("address", "home"):
        return Request(kind, subject, address=tuple(given[field] for field in _ADDRESS))
    if kind == "payment":
        return Request(kind, subject, payment=given["payment_method_id"])
    old = given["item_ids"]
    new = given.get("new_item_ids", [""] * len(old))
    if len(old) != len(new):
        raise KeyError("item_ids and new_item_ids differ in length")
    return Request(kind, subject, payment=given["payment_method_id"], items=tuple(zip(old, new, strict=True)))


def address_of(record: Record) -> tuple[str, ...]:
    """The six fields of an order's or a user's address."""
    return tuple(record["address"][field] for field in _ADDRESS)


def item_of(order: Record, item_id: str) -> Record:
    """An item of an order.

    Raises:
        KeyError: if the order has none of this id.
    """
    for item in order["items"]:
        if item["item_id"] == item_id:
            return item
    raise KeyError(item_id)


def random_request(base: Base, user_id: str, rng: random.Random, kinds: Sequence[Kind] = KINDS) -> Request | None:
    """A request of this user that the tools fulfil, of one of these kinds; None where this draw found none."""
    user = base.tables["users"][user_id]
    kind = rng.choice(list(kinds))
    others = [address_of(other) for other in base.tables["orders"].values() if other["user_id"] != user_id][:50]
    if kind == "home":
        return Request(kind, user_id, address=rng.choice(others)) if others else None
    wanted = "delivered" if kind in ("return", "exchange") else "pending"
    orders = [base.tables["orders"][order_id] for order_id in user["orders"] if order_id in base.tables["orders"]]
    orders = [order for order in orders if order["status"] == wanted and _names_are_unique(order)]
    if not orders:
        return None
    order = rng.choice(orders)
    subject, paid = order["order_id"], order["payment_history"][0]["payment_method_id"]
    methods = user["payment_methods"]
    if kind == "cancel":
        return Request(kind, subject, reason=rng.choice(REASONS))
    if kind == "address":
        addresses = [address for address in (*others[:3], address_of(user)) if address != address_of(order)]
        return Request(kind, subject, address=rng.choice(addresses)) if addresses else None
    total = order["payment_history"][0]["amount"]
    if kind == "payment":
        able = [one for one, m in methods.items() if one != paid and m.get("balance", total) >= total]
        return Request(kind, subject, payment=rng.choice(able)) if able else None
    if kind == "return":
        able = [method for method in methods if method == paid or "gift_card" in method]
        chosen = rng.sample(order["items"], rng.randint(1, min(2, len(order["items"]))))
        items = tuple((item["item_id"], "") for item in chosen)
        return Request(kind, subject, payment=rng.choice(able), items=items) if able else None
    return _swap(base, kind, order, methods, rng)


def _swap(base: Base, kind: Kind, order: Record, methods: Record, rng: random.Random) -> Request | None:
    item = rng.choice(order["items"])
    variants = base.tables["products"][item["product_id"]]["variants"]
    free = [v for v in variants.values() if v["available"] and v["item_id"] != item["item_id"]]
    near = [v for v in free if sum(v["options"][k] != item["options"].get(k) for k in v["options"]) == 1] or free
    if not near:
        return None
    new = rng.choice(near)
    extra = new["price"] - item["price"]
    able = [one for one, method in methods.items() if method.get("balance", extra) >= extra]
    items = ((item["item_id"], new["item_id"]),)
    return Request(kind, order["order_id"], payment=rng.choice(able), items=items) if able else None


def _names_are_unique(order: Record) -> bool:
    names = [item["name"] for item in order["items"]]
    return len(set(names)) == len(names)


def mutations(base: Base, request: Request, user_id: str) -> list[Request]:
    """Requests that differ from this one in one respect: what a verifier has to tell apart from it."""
    user = base.tables["users"][user_id]
    found: list[Request] = []
    if request.reason:
        found += [replace(request, reason=reason) for reason in REASONS if reason != request.reason]
    if request.payment:
        found += [replace(request, payment=method) for method in user["payment_methods"] if method != request.payment]
    if request.address:
        everyone = (
            address_of(base.tables["orders"][order_id])
            for order_id in user["orders"]
            if order_id in base.tables["orders"]
        )
        addresses = {*everyone, address_of(user)}
        found += [replace(request, address=address) for address in sorted(addresses) if address != request.address][:2]
    order = base.tables["orders"].get(request.subject)
    if order is not None and request.items:
        found += _other_items(base, request, order)
    siblings = [order_id for order_id in user["orders"] if order_id != request.subject]
    if request.kind in ("cancel", "payment", "address"):
        found += [replace(request, subject=sibling) for sibling in siblings]
    if request.kind == "cancel" and user["payment_methods"]:
        paid = None if order is None else order["payment_history"][0]["payment_method_id"]
        found += [Request("payment", request.subject, payment=p) for p in user["payment_methods"] if p != paid][:1]
    return found


def _other_items(base: Base, request: Request, order: Record) -> list[Request]:
    found = []
    chosen = {old for old, _ in request.items}
    rest = [item["item_id"] for item in order["items"] if item["item_id"] not in chosen]
    if request.kind == "return":
        found += [replace(request, items=((item, ""),)) for item in rest]
        found += [replace(request, items=(*request.items, (item, ""))) for item in rest[:1]]
        if len(request.items) > 1:
            found.append(replace(request, items=request.items[:1]))
        return found
    for place, (old, new) in enumerate(request.items):
        try:
            variants = base.tables["products"][item_of(order, old)["product_id"]]["variants"]
        except KeyError:
            continue
        others = [v["item_id"] for v in variants.values() if v["available"] and v["item_id"] != new]
        for other in others[:2]:
            items = list(request.items)
            items[place] = (old, other)
            found.append(replace(request, items=tuple(items)))
    return found
