"""The shop in few tokens: what small models read and write instead of JSON.

A log of words. Every value (an order's id, a name, an option, a whole address) is one mark token, the same wherever the
value stands again, so that saying a value is copying a mark. Marks are dealt by the value's hash, so they mean nothing
by themselves. Actions are tool calls in named words, `cancel m17 mistake`. A product's variant is named as users name
it, by the options in which it differs from the item that it replaces: which one that is, the product's record decides.

    request := cancel V REASON | return V : V {, V} via V | (exchange | modify) V : V to V+|same {, V to …} via V
             | payment V to V | (address | home) V to V
    action  := find V [V V] | user V | order V | product V | ask (next | reason | pay) | request
    proposal := task request check {atom} solve request fail (request | none) fail … fail …
    atom    := status S | reason REASON | pay V | items | new | at V
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from turnsmith.agents.base import Context
from turnsmith.envs.tools.database import Record
from turnsmith.errors import ParseError
from turnsmith.jsonl import parse_json
from turnsmith.trace.types import Call, Observation
from turnsmith.worlds.retail.requests import Request, address_of, item_of
from turnsmith.worlds.retail.tools import REASONS

MARKS = 256
STATUS = {
    "pending": "pending", "processed": "processed", "delivered": "delivered", "cancelled": "cancelled",
    "return requested": "returning", "exchange requested": "exchanging", "pending (item modified)": "modified",
}  # fmt: skip
STATUS_OF = {word: status for status, word in STATUS.items()}
REASON: dict[str, str] = dict(zip(REASONS, ("unneeded", "mistake"), strict=True))
REASON_OF = {word: reason for reason, word in REASON.items()}
WORDS = (
    "help", "challenge", "propose", "judge", "good", "bad", "am", "find", "user", "orders", "order", "product", "ask",
    "next", "reason", "pay", "cancel", "return", "exchange", "modify", "payment", "address", "home", "to", "via", "at",
    "paid", "same", ":", ",", ";", "task", "check", "solve", "fail", "none", "status", "items", "new", "done", "error",
    "said", "yes", "bye", "what", *STATUS.values(), *REASON.values(),
)  # fmt: skip
MESSAGES = {
    "next": "What else can I do for you?",
    "reason": "What is the reason?",
    "pay": "Which payment method is it to be?",
}
Word = str | tuple[str]
"""A plain word, or a value as a tuple of one string: `("#W123",)`."""


@dataclass
class Seen:
    """What stands in an episode's log: values by mark, and the records behind them.

    Attributes:
        marks: value -> mark.
        orders, users: records that were shown, by id; products by name.
    """

    marks: dict[str, str] = field(default_factory=dict)
    orders: dict[str, Record] = field(default_factory=dict)
    users: dict[str, Record] = field(default_factory=dict)
    products: dict[str, Record] = field(default_factory=dict)
    _values: dict[str, str] = field(default_factory=dict)

    def mark(self, value: str) -> str:
        """The mark of a value; a new one is dealt by its hash."""
        if value not in self.marks:
            start = int.from_bytes(hashlib.blake2b(value.encode(), digest_size=4).digest(), "big")
            if len(self._values) >= MARKS:
                raise ParseError("the episode has more values than there are marks")
            mark = next(m for m in (f"m{(start + n) % MARKS}" for n in range(MARKS)) if m not in self._values)
            self.marks[value], self._values[mark] = mark, value
        return self.marks[value]

    def value(self, mark: str) -> str:
        """The value of a mark.

        Raises:
            ParseError: if nothing that was shown has this mark.
        """
        if mark not in self._values:
            raise ParseError(f"{mark} stands for nothing that was said")
        return self._values[mark]

    def text(self, words: Iterable[Word]) -> str:
        """Words and values as text of the small language."""
        return " ".join(word if isinstance(word, str) else self.mark(word[0]) for word in words)


def _address(record: Record) -> tuple[str]:
    return ("|".join(address_of(record)),)


def _options(options: Mapping[str, str]) -> list[Word]:
    return [(value,) for value in options.values()]


def _changed(item: Record, variant: Record) -> list[Word]:
    """The options in which a variant differs from an item."""
    own = item["options"]
    return [(value,) for key, value in variant["options"].items() if own.get(key) != value]


def _meant(item: Record, variants: Iterable[Record], values: Sequence[str]) -> str | None:
    """The id of the one variant that has these values and is otherwise as the item; None where none or several are."""
    own, given = item["options"], set(values)

    def fits(options: Mapping[str, str]) -> bool:
        left = {value for key, value in options.items() if own.get(key) != value}
        return left <= given <= set(options.values())

    found = [variant["item_id"] for variant in variants if fits(variant["options"])]
    return found[0] if len(found) == 1 else None


def tool_words(seen: Seen, name: str, output: str) -> list[Word]:
    """What a tool said; records are remembered in `seen`."""
    if name.startswith("find_user"):
        return ["error"] if output.startswith("Error") else ["user", (output,)]
    try:
        record = parse_json(output)
    except ValueError:
        return ["error"] if output.startswith("Error") else ["done"]
    if name == "get_user_details":
        user_id = _user_id(seen, record)
        seen.users[user_id] = record
        orders: list[Word] = [(order_id,) for order_id in record["orders"]]
        methods: list[Word] = [(method,) for method in record["payment_methods"]]
        return ["user", (user_id,), "orders", *orders, "pay", *methods, "home", _address(record)]
    if name == "get_order_details":
        seen.orders[record["order_id"]] = record
        paid = record["payment_history"][0]["payment_method_id"]
        words: list[Word] = ["order", (record["order_id"],), STATUS.get(record["status"], "what"), "paid", (paid,)]
        words += ["at", _address(record), ":"]
        for item in record["items"]:
            words += [(item["name"],), *_options(item["options"]), ","]
        return words[:-1]
    if name == "get_product_details":
        seen.products[record["name"]] = record
        words = ["product", (record["name"],), ":"]
        for variant in record["variants"].values():
            if variant["available"]:
                words += [*_options(variant["options"]), ";"]
        return words[:-1]
    return ["done"]


def _user_id(seen: Seen, record: Record) -> str:
    """A user's record does not hold its id: it is what was asked for, and its orders' owner."""
    for value in seen.marks:
        if "_" in value and value.startswith(f"{record['name']['first_name']}_{record['name']['last_name']}".lower()):
            return value
    return f"{record['name']['first_name']}_{record['name']['last_name']}".lower()


def observed(seen: Seen, observation: Observation) -> str:
    """An observation in the small language."""
    if observation.error:
        return "error"
    source = observation.info.get("from")
    if source in ("user", "task"):
        words = observation.info.get("words", ())
        return seen.text([word if isinstance(word, str) else (word["value"],) for word in words])
    return seen.text(tool_words(seen, str(source), observation.text))


def log_of(context: Context) -> tuple[list[str], Seen]:
    """The log up to now as pieces: what was observed, what was done, …, what is observed now; and what it showed.

    Challengers and proposers read their role behind each observation: a small model that read it at the start alone
    went on as a helper in two episodes of five.
    """
    seen = Seen()
    role = str(context.task.params.get("role", "help"))
    reminder = "" if role == "help" else f" {role}"
    pieces = [role]
    for turn in context.turns:
        pieces += [observed(seen, turn.observation) + reminder, turn.action.text]
    return [*pieces, observed(seen, context.observation) + reminder], seen


def request_words(request: Request, base_order: Record | None, products: Mapping[str, Record]) -> list[Word]:
    """A request as users and agents say it, with what changes of a variant.

    Args:
        request: what is to be written.
        base_order: the order that it is about; needed for items.
        products: by product id or by name; needed for new items.

    Raises:
        KeyError: if a record is missing.
    """
    words: list[Word] = [request.kind, (request.subject,)]
    if request.kind == "cancel":
        return [*words, REASON[request.reason]]
    if request.kind in ("address", "home"):
        return [*words, "to", ("|".join(request.address),)]
    if request.kind == "payment":
        return [*words, "to", (request.payment,)]
    if base_order is None:
        raise KeyError(request.subject)
    words.append(":")
    for old, new in request.items:
        item = item_of(base_order, old)
        words.append((item["name"],))
        if request.kind != "return":
            product = products.get(item["product_id"]) or products[item["name"]]
            words += ["to", *(_changed(item, product["variants"][new]) or ["same"])]
        words.append(",")
    return [*words[:-1], "via", (request.payment,)]


class Reader:
    """Reads tokens of the small language from left to right; whatever is wrong is a `ParseError`."""

    def __init__(self, text: str, seen: Seen) -> None:
        self.words, self.seen, self.at = text.split(), seen, 0

    def peek(self) -> str:
        """The next word, or "" at the end."""
        return self.words[self.at] if self.at < len(self.words) else ""

    def take(self, *allowed: str) -> str:
        """The next word, which has to be one of these."""
        word = self.peek()
        if not word or (allowed and word not in allowed):
            raise ParseError(f"expected {' or '.join(allowed) or 'a word'}, not {word or 'the end'}")
        self.at += 1
        return word

    def value(self) -> str:
        """The value of the next mark."""
        return self.seen.value(self.take())

    def end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            raise ParseError(f"{self.peek()} is one word too many")

    def request(self) -> Request:
        """A request."""
        kind = self.take("cancel", "return", "exchange", "modify", "payment", "address", "home")
        subject = self.value()
        if kind == "cancel":
            return Request("cancel", subject, reason=REASON_OF[self.take(*REASON_OF)])
        if kind == "payment":
            self.take("to")
            return Request("payment", subject, payment=self.value())
        if kind in ("address", "home"):
            self.take("to")
            fields = tuple(self.value().split("|"))
            if len(fields) != 6:
                raise ParseError("that is no address")
            return Request(kind, subject, address=fields)  # pyright: ignore[reportArgumentType]
        order = self.seen.orders.get(subject)
        if order is None:
            raise ParseError("look at the order first")
        self.take(":")
        items = [self._item(kind, order)]
        while self.peek() == ",":
            self.take(",")
            items.append(self._item(kind, order))
        self.take("via")
        return Request(kind, subject, payment=self.value(), items=tuple(items))  # pyright: ignore[reportArgumentType]

    def _item(self, kind: str, order: Record) -> tuple[str, str]:
        name = self.value()
        item = next((item for item in order["items"] if item["name"] == name), None)
        if item is None:
            raise ParseError("the order has no such item")
        if kind == "return":
            return item["item_id"], ""
        self.take("to")
        if self.peek() == "same":
            self.take("same")
            return item["item_id"], item["item_id"]
        values = [self.value()]
        while self.peek().startswith("m") and self.peek()[1:].isdigit():
            values.append(self.value())
        product = self.seen.products.get(name)
        if product is None:
            raise ParseError("look at the product first")
        meant = _meant(item, product["variants"].values(), values)
        if meant is None:
            raise ParseError("the product has no such variant, or several")
        return item["item_id"], meant


def parse_action(text: str, seen: Seen) -> Call:
    """The tool call (or the message to the user) of an action.

    Raises:
        ParseError: if it is not in the grammar or names something that was not shown.
    """
    reader = Reader(text, seen)
    verb = reader.peek()
    if verb == "ask":
        reader.take()
        call = Call("respond", {"content": MESSAGES[reader.take(*MESSAGES)]})
    elif verb == "find":
        reader.take()
        values = [reader.value()]
        while reader.peek():
            values.append(reader.value())
        if len(values) == 1:
            call = Call("find_user_id_by_email", {"email": values[0]})
        elif len(values) == 3:
            call = Call("find_user_id_by_name_zip", dict(zip(("first_name", "last_name", "zip"), values, strict=True)))
        else:
            raise ParseError("find takes an email, or first name, last name and zip")
    elif verb == "user":
        reader.take()
        call = Call("get_user_details", {"user_id": reader.value()})
    elif verb == "order":
        reader.take()
        call = Call("get_order_details", {"order_id": reader.value()})
    elif verb == "product":
        reader.take()
        name = reader.value()
        known = [i for order in seen.orders.values() for i in order["items"] if i["name"] == name]
        if not known:
            raise ParseError("no order that was shown has such an item")
        call = Call("get_product_details", {"product_id": known[0]["product_id"]})
    else:
        call = reader.request().call()
    reader.end()
    return call


def vocabulary() -> list[str]:
    """Every token: padding (id 0), end (id 1), words, marks."""
    return ["<pad>", "<eos>", *dict.fromkeys(WORDS), *(f"m{number}" for number in range(MARKS))]


def says(words: Sequence[Word]) -> tuple[Any, ...]:
    """Words as an utterance carries them (JSON)."""
    return tuple(word if isinstance(word, str) else {"value": word[0]} for word in words)
