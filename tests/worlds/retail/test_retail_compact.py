"""The small language of the shop: what is said of a request is the request again, whichever variant it is about."""

import random

import pytest

from turnsmith.errors import ParseError
from turnsmith.worlds.retail.compact import Reader, Seen, request_words
from turnsmith.worlds.retail.requests import item_of, random_request
from turnsmith.worlds.retail.synthetic import synthetic_base


def test_every_request_reads_back_as_itself():
    rng, kinds = random.Random(0), set[str]()
    for seed in range(4):
        base = synthetic_base(seed)
        orders, products = base.tables["orders"], base.tables["products"]
        named = {product["name"]: product for product in products.values()}
        for user_id in base.tables["users"]:
            request = random_request(base, user_id, rng)
            if request is None:
                continue
            seen = Seen(orders=dict(orders), products=named)
            said = seen.text(request_words(request, orders.get(request.subject), products))
            assert Reader(said, seen).request() == request
            kinds.add(request.kind)
    assert kinds == {"cancel", "return", "exchange", "modify", "payment", "address", "home"}


def test_a_variant_is_named_by_what_changes_and_one_that_is_not_there_is_refused():
    base = synthetic_base(0)
    rng = random.Random(1)
    found = 0
    for user_id in list(base.tables["users"]) * 4:
        request = random_request(base, user_id, rng, ["exchange"])
        if request is None:
            continue
        order = base.tables["orders"][request.subject]
        seen = Seen(orders={request.subject: order}, products={p["name"]: p for p in base.tables["products"].values()})
        words = request_words(request, order, base.tables["products"])
        if len(request.items) == 1:
            ((old, new),) = request.items
            item = item_of(order, old)
            fresh = base.tables["products"][item["product_id"]]["variants"][new]["options"]
            changed = [(value,) for key, value in fresh.items() if item["options"].get(key) != value]
            assert words[words.index("to") + 1 : words.index("via")] == (changed or ["same"])
            found += 1
        wrong = [("no such option",) if isinstance(word, tuple) and before == "to" else word
                 for before, word in zip(["", *words], words, strict=False)]  # fmt: skip
        with pytest.raises(ParseError):
            Reader(seen.text(wrong), seen).request()
    assert found > 5
