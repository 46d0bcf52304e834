"""A made-up retail database of the same shape as tau-bench's: users, orders, products with variants."""

import itertools
import random

from turnsmith.envs.tools.database import Base, Record

_FIRST = (
    "Ada", "Bela", "Cleo", "Dana", "Emil", "Fina", "Gero", "Hana", "Ivo", "Jana",
    "Kiro", "Lena", "Milo", "Nora", "Otto", "Pia", "Remy", "Suki", "Tilo", "Vera",
)  # fmt: skip
_LAST = (
    "Adler", "Berg", "Crane", "Dorn", "Eder", "Falk", "Greve", "Holm", "Iwan", "Jung",
    "Kern", "Lund", "Moor", "Nagel", "Orth", "Pohl", "Rask", "Sand", "Thal", "Voss",
)  # fmt: skip
_STREETS = ("Birch Row", "Canal Street", "Dock Road", "Elder Lane", "Forge Way", "Garden Walk", "Harbour Street")
_CITIES = (("Leipzig", "SN", "04"), ("Malmo", "SK", "21"), ("Ghent", "OV", "90"), ("Porto", "PO", "40"))
_OPTIONS = {
    "color": ("amber", "teal", "ivory", "coral", "slate"),
    "size": ("small", "medium", "large", "tiny"),
    "material": ("linen", "oak", "brass", "wool"),
    "finish": ("matte", "glossy", "satin"),
    "capacity": ("half liter", "one liter", "two liter"),
}
_NOUNS = (
    "Lantern", "Rug", "Stool", "Vase", "Clock", "Teapot", "Basket", "Mirror", "Candle", "Blanket", "Tray", "Shelf",
    "Pillow", "Kettle", "Bench", "Frame", "Bowl", "Curtain",
)  # fmt: skip


def synthetic_base(seed: int = 0, users: int = 60) -> Base:
    """Tables `orders`, `products` and `users` with the fields of tau-bench's retail world.

    Args:
        seed: the same seed gives the same tables.
        users: how many; each has one to four orders.
    """
    rng = random.Random(seed)
    products = {product["product_id"]: product for product in (_product(rng, noun) for noun in _NOUNS)}
    orders: dict[str, Record] = {}
    people: dict[str, Record] = {}
    for _ in range(users):
        user = _user(rng, people)
        for _ in range(rng.choice((1, 2, 2, 3, 4))):
            order = _order(rng, user, products, orders)
            orders[order["order_id"]] = order
            user["orders"].append(order["order_id"])
        people[_user_id(user)] = user
    return Base({"orders": orders, "products": products, "users": people})


def _number(rng: random.Random, digits: int) -> str:
    return str(rng.randrange(10 ** (digits - 1), 10**digits))


def _product(rng: random.Random, noun: str) -> Record:
    names = rng.sample(sorted(_OPTIONS), rng.choice((2, 3)))
    combinations = list(itertools.product(*(rng.sample(_OPTIONS[name], 3) for name in names)))
    base = rng.uniform(20, 400)
    variants: Record = {}
    for values in rng.sample(combinations, min(len(combinations), rng.randint(6, 10))):
        item_id = _number(rng, 10)
        variants[item_id] = {
            "item_id": item_id,
            "options": dict(zip(names, values, strict=True)),
            "available": rng.random() < 0.75,
            "price": round(base * rng.uniform(0.85, 1.2), 2),
        }
    return {"name": noun, "product_id": _number(rng, 10), "variants": variants}


def _user_id(user: Record) -> str:
    name = user["name"]
    return f"{name['first_name']}_{name['last_name']}_{user['email'].split('@')[0][-4:]}".lower()


def _user(rng: random.Random, people: dict[str, Record]) -> Record:
    while True:
        first, last = rng.choice(_FIRST), rng.choice(_LAST)
        user: Record = {
            "name": {"first_name": first, "last_name": last},
            "address": _address(rng),
            "email": f"{first}.{last}{_number(rng, 4)}@example.com".lower(),
            "payment_methods": {},
            "orders": [],
        }
        if _user_id(user) not in people:
            break
    for source in rng.sample(("credit_card", "paypal", "gift_card"), rng.choice((1, 2, 2, 3))):
        method_id = f"{source}_{_number(rng, 7)}"
        method: Record = {"source": source, "id": method_id}
        if source == "gift_card":
            method["balance"] = rng.randrange(0, 100)
        elif source == "credit_card":
            method |= {"brand": rng.choice(("visa", "mastercard")), "last_four": _number(rng, 4)}
        user["payment_methods"][method_id] = method
    return user


def _address(rng: random.Random) -> Record:
    city, state, prefix = rng.choice(_CITIES)
    return {
        "address1": f"{rng.randint(1, 999)} {rng.choice(_STREETS)}",
        "address2": f"Suite {rng.randint(100, 999)}",
        "city": city,
        "country": "Europe",
        "state": state,
        "zip": prefix + _number(rng, 3),
    }


def _order(rng: random.Random, user: Record, products: dict[str, Record], orders: dict[str, Record]) -> Record:
    order_id = next(number for number in iter(lambda: f"#W{_number(rng, 7)}", None) if number not in orders)
    items = []
    for product in rng.sample(sorted(products.values(), key=lambda one: one["name"]), rng.randint(1, 4)):
        variant = rng.choice(sorted(product["variants"].values(), key=lambda one: one["item_id"]))
        items.append(
            {
                "name": product["name"],
                "product_id": product["product_id"],
                "item_id": variant["item_id"],
                "price": variant["price"],
                "options": dict(variant["options"]),
            }
        )
    total = round(sum(item["price"] for item in items), 2)
    status = rng.choice(("pending", "pending", "delivered", "delivered", "processed", "cancelled"))
    method_id = rng.choice(sorted(user["payment_methods"]))
    shipped = [] if status in ("pending", "cancelled") else [{"tracking_id": [_number(rng, 12)], "item_ids": []}]
    for parcel in shipped:
        parcel["item_ids"] = [item["item_id"] for item in items]
    payment = {"transaction_type": "payment", "amount": total, "payment_method_id": method_id}
    refund = [payment | {"transaction_type": "refund"}] if status == "cancelled" else []
    return {
        "order_id": order_id,
        "user_id": _user_id(user),
        "address": dict(user["address"]),
        "items": items,
        "fulfillments": shipped,
        "status": status,
        "payment_history": [payment, *refund],
    }
