"""The tools of tau-bench's retail world, written from its schemas, its policy and recorded calls.

Notable, because a reader would think otherwise (docs/tools.md has the list): changing items leaves the price difference
as floating point made it, exchanging rounds it; what is exchanged, and for what, is sorted independently, so that the
pairing is lost; an exchange or a return moves no money; no tool asks whose order it is.
"""

from collections.abc import Callable, Sequence

from turnsmith.envs.tools.arithmetic import calculate as _calculate
from turnsmith.envs.tools.base import DatabaseTool, ToolSpec, dump, spec_of
from turnsmith.envs.tools.database import Database, Record
from turnsmith.worlds.tau import Refused, says_no

REASONS = ("no longer needed", "ordered by mistake")
ITEMS_MODIFIED = "pending (item modified)"


def _found(database: Database, table: str, key: str) -> Record:
    record = database.get(table, key)
    if record is None:
        raise Refused(f"{table[:-1]} not found")
    return record


def _order(database: Database, order_id: str, status: str, otherwise: str) -> Record:
    order = _found(database, "orders", order_id)
    if order["status"] != status:
        raise Refused(otherwise)
    return order


def _methods(database: Database, order: Record) -> Record:
    return _found(database, "users", order["user_id"])["payment_methods"]


def _address(address1: str, address2: str, city: str, state: str, country: str, zip: str) -> Record:
    return {"address1": address1, "address2": address2, "city": city, "state": state, "country": country, "zip": zip}


def _credit(database: Database, order: Record, method_id: str, amount: float) -> None:
    """Give an amount back to a gift card at once (or take it, when negative); other methods are settled elsewhere."""
    if "gift_card" in method_id:
        method = database.edit("users", order["user_id"])["payment_methods"][method_id]
        method["balance"] = round(method["balance"] + amount, 2)


def calculate(database: Database, expression: str) -> str:
    """Calculate the result of an arithmetic expression of numbers, + - * / and brackets."""
    return _calculate(expression)


def find_user_id_by_email(database: Database, email: str) -> str:
    """Find a user's id by email."""
    for user_id, user in _users(database):
        if user["email"].lower() == email.lower():
            return user_id
    raise Refused("user not found")


def find_user_id_by_name_zip(database: Database, first_name: str, last_name: str, zip: str) -> str:
    """Find a user's id by first name, last name and zip code."""
    wanted = (first_name.lower(), last_name.lower(), zip)
    for user_id, user in _users(database):
        name = user["name"]
        if (name["first_name"].lower(), name["last_name"].lower(), user["address"]["zip"]) == wanted:
            return user_id
    raise Refused("user not found")


def _users(database: Database) -> list[tuple[str, Record]]:
    return [(user_id, database.get("users", user_id) or {}) for user_id in database.base.tables["users"]]


def get_order_details(database: Database, order_id: str) -> str:
    """Get the status and details of an order."""
    return dump(_found(database, "orders", order_id))


def get_product_details(database: Database, product_id: str) -> str:
    """Get the inventory details of a product."""
    return dump(_found(database, "products", product_id))


def get_user_details(database: Database, user_id: str) -> str:
    """Get the details of a user, including their orders."""
    return dump(_found(database, "users", user_id))


def list_all_product_types(database: Database) -> str:
    """List the name and product id of all product types."""
    return dump(dict(sorted((product["name"], product["product_id"]) for product in database.values("products"))))


def think(database: Database, thought: str) -> str:
    """Think about something; nothing changes."""
    return ""


def transfer_to_human_agents(database: Database, summary: str) -> str:
    """Transfer the user to a human agent, with a summary of the issue. The conversation ends."""
    return "Transfer successful"


def cancel_pending_order(database: Database, order_id: str, reason: str) -> str:
    """Cancel a pending order; the payment is refunded."""
    _order(database, order_id, "pending", "non-pending order cannot be cancelled")
    if reason not in REASONS:
        raise Refused("invalid reason")
    order = database.edit("orders", order_id)
    refunds = []
    for payment in order["payment_history"]:
        method_id = payment["payment_method_id"]
        refunds.append({"transaction_type": "refund", "amount": payment["amount"], "payment_method_id": method_id})
        _credit(database, order, method_id, payment["amount"])
    order["status"] = "cancelled"
    order["cancel_reason"] = reason
    order["payment_history"].extend(refunds)
    return dump(order)


def modify_pending_order_address(database: Database, order_id: str, **address: str) -> str:
    """Change the shipping address of a pending order."""
    _order(database, order_id, "pending", "non-pending order cannot be modified")
    order = database.edit("orders", order_id)
    order["address"] = _address(**address)
    return dump(order)


def modify_pending_order_payment(database: Database, order_id: str, payment_method_id: str) -> str:
    """Change the payment method of a pending order."""
    order = _order(database, order_id, "pending", "non-pending order cannot be modified")
    methods = _methods(database, order)
    if payment_method_id not in methods:
        raise Refused("payment method not found")
    history = order["payment_history"]
    if len(history) > 1 or history[0]["transaction_type"] != "payment":
        raise Refused("there should be exactly one payment for a pending order")
    old_id, amount = history[0]["payment_method_id"], history[0]["amount"]
    if old_id == payment_method_id:
        raise Refused("the new payment method should be different from the current one")
    if methods[payment_method_id]["source"] == "gift_card" and methods[payment_method_id]["balance"] < amount:
        raise Refused("insufficient gift card balance to pay for the order")
    order = database.edit("orders", order_id)
    for kind, method_id in (("payment", payment_method_id), ("refund", old_id)):
        entry = {"transaction_type": kind, "amount": amount, "payment_method_id": method_id}
        order["payment_history"].append(entry)
    _credit(database, order, payment_method_id, -amount)
    _credit(database, order, old_id, amount)
    return dump(order)


def _price_difference(database: Database, order: Record, item_ids: Sequence[str], new_ids: Sequence[str]) -> float:
    """What the new items cost more than the old ones, after all checks of the items themselves."""
    owned = [item["item_id"] for item in order["items"]]
    for item_id in item_ids:
        if list(item_ids).count(item_id) > owned.count(item_id):
            raise Refused(f"{item_id} not found")
    if len(item_ids) != len(new_ids):
        raise Refused("the number of items to be exchanged should match")
    difference = 0
    for item_id, new_id in zip(item_ids, new_ids, strict=True):
        item = next(item for item in order["items"] if item["item_id"] == item_id)
        variant = _found(database, "products", item["product_id"])["variants"].get(new_id)
        if variant is None or not variant["available"]:
            raise Refused(f"new item {new_id} not found or available")
        difference += variant["price"] - item["price"]
    return difference


def _check_payment(database: Database, order: Record, method_id: str, amount: float, purpose: str) -> None:
    methods = _methods(database, order)
    if method_id not in methods:
        raise Refused("payment method not found")
    if methods[method_id]["source"] == "gift_card" and methods[method_id]["balance"] < amount:
        raise Refused(f"insufficient gift card balance to pay for the {purpose}")


def modify_pending_order_items(
    database: Database, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
) -> str:
    """Change items of a pending order to other variants of the same products. It can be done once."""
    order = _order(database, order_id, "pending", "non-pending order cannot be modified")
    difference = _price_difference(database, order, item_ids, new_item_ids)
    _check_payment(database, order, payment_method_id, difference, "new item")
    order = database.edit("orders", order_id)
    kind = "payment" if difference > 0 else "refund"
    order["payment_history"].append(
        {"transaction_type": kind, "amount": abs(difference), "payment_method_id": payment_method_id}
    )
    _credit(database, order, payment_method_id, -difference)
    for item_id, new_id in zip(item_ids, new_item_ids, strict=True):
        item = next(item for item in order["items"] if item["item_id"] == item_id)
        variant = _found(database, "products", item["product_id"])["variants"][new_id]
        item["item_id"] = new_id
        item["price"] = variant["price"]
        item["options"] = dict(variant["options"])
    order["status"] = ITEMS_MODIFIED
    return dump(order)


def exchange_delivered_order_items(
    database: Database, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
) -> str:
    """Exchange items of a delivered order for other variants of the same products. It can be done once."""
    order = _order(database, order_id, "delivered", "non-delivered order cannot be exchanged")
    difference = round(_price_difference(database, order, item_ids, new_item_ids), 2)
    _check_payment(database, order, payment_method_id, difference, "price difference")
    order = database.edit("orders", order_id)
    order["status"] = "exchange requested"
    order["exchange_items"] = sorted(item_ids)
    order["exchange_new_items"] = sorted(new_item_ids)
    order["exchange_payment_method_id"] = payment_method_id
    order["exchange_price_difference"] = difference
    return dump(order)


def return_delivered_order_items(database: Database, order_id: str, item_ids: list[str], payment_method_id: str) -> str:
    """Return items of a delivered order; the refund goes to the original payment method or a gift card."""
    order = _order(database, order_id, "delivered", "non-delivered order cannot be returned")
    if payment_method_id not in _methods(database, order):
        raise Refused("payment method not found")
    if "gift_card" not in payment_method_id and payment_method_id != order["payment_history"][0]["payment_method_id"]:
        raise Refused("payment method should be either the original payment method or a gift card")
    owned = [item["item_id"] for item in order["items"]]
    if any(list(item_ids).count(item_id) > owned.count(item_id) for item_id in item_ids):
        raise Refused("some item not found")
    order = database.edit("orders", order_id)
    order["status"] = "return requested"
    order["return_items"] = sorted(item_ids)
    order["return_payment_method_id"] = payment_method_id
    return dump(order)


def modify_user_address(database: Database, user_id: str, **address: str) -> str:
    """Change the default address of a user."""
    _found(database, "users", user_id)
    user = database.edit("users", user_id)
    user["address"] = _address(**address)
    return dump(user)


_READS = (
    calculate, find_user_id_by_email, find_user_id_by_name_zip, get_order_details, get_product_details,
    get_user_details, list_all_product_types, think, transfer_to_human_agents,
)  # fmt: skip
_WRITES = (
    cancel_pending_order, exchange_delivered_order_items, modify_pending_order_address, modify_pending_order_items,
    modify_pending_order_payment, modify_user_address, return_delivered_order_items,
)  # fmt: skip
WRITES = tuple(function.__name__ for function in _WRITES)
FUNCTIONS: dict[str, DatabaseTool] = {function.__name__: says_no(function) for function in (*_READS, *_WRITES)}
_ADDRESS_FIELDS = ("address1", "address2", "city", "state", "country", "zip")


def _spec(function: Callable[..., str]) -> ToolSpec:
    name = function.__name__
    spec = spec_of(function, writes=name in WRITES, ends=name == "transfer_to_human_agents", skip=1)
    if "address" in spec.parameters["properties"]:
        properties = {k: v for k, v in spec.parameters["properties"].items() if k != "address"}
        properties |= {field: {"type": "string"} for field in _ADDRESS_FIELDS}
        parameters = {"type": "object", "properties": properties, "required": list(properties)}
        return ToolSpec(name, spec.description, parameters, spec.writes, spec.ends)
    return spec


SPECS = tuple(_spec(function) for function in sorted((*_READS, *_WRITES), key=lambda function: function.__name__))
