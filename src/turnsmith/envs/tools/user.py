"""The user on the other side: who says what, and when. Rule-based here; by a model in `agents.human`.

The rule-based user knows a brief: who they are and what they want, request by request. They never hand the brief over:
they say who they are, give the next request when asked for it, and withheld details (a reason, a way to pay) only when
asked for those. They say yes to what is to be confirmed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

STOP = "###STOP###"
"""A user who says this is done: the episode is over."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the user says.

    Attributes:
        text: as people write.
        words: the same for small models: plain words, and values as `{"value": …}`.
        reveals: which details of the brief it gives away, for the record.
        by: the model that speaks for the user, for the record; "" where it is a rule.
    """

    text: str
    words: tuple[Any, ...] = ()
    reveals: tuple[str, ...] = ()
    by: str = ""

    @property
    def done(self) -> bool:
        """Whether the user leaves."""
        return STOP in self.text


class User(Protocol):
    """A user for one episode."""

    async def opening(self) -> Utterance:
        """What they begin with."""
        ...

    async def reply(self, message: str) -> Utterance:
        """What they say to the agent's message.

        Raises:
            InfraError: if the model behind them failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """One request of a brief.

    Attributes:
        says: how it is put, without the withheld details.
        details: what is said only when asked for: "reason", "payment" -> how it is put.
    """

    says: Utterance
    details: Mapping[str, Utterance] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Brief:
    """What the rule-based user knows.

    Attributes:
        identity: how they say who they are.
        wishes: what they want, in order.
    """

    identity: Utterance
    wishes: Sequence[Wish]


_ASKS = (
    ("identity", re.compile(r"\b(who are you|your name|email|zip)\b", re.I)),
    ("reason", re.compile(r"\b(reason|why)\b", re.I)),
    ("payment", re.compile(r"\b(payment|pay|refund)\b", re.I)),
)
_CONFIRM = re.compile(r"\b(confirm|yes/no|\(yes\)|proceed|is that (right|correct|ok))\b", re.I)


class RuleUser:
    """Answers by rule from a brief."""

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self._at = -1  # the wish that is being talked about

    async def opening(self) -> Utterance:
        """Who they are."""
        return self.brief.identity

    async def reply(self, message: str) -> Utterance:
        """A confirmation, a detail that was asked for, or the next wish; without one, they leave."""
        if _CONFIRM.search(message):
            return Utterance("Yes, please.", ("yes",))
        wishes = self.brief.wishes
        current = wishes[self._at] if 0 <= self._at < len(wishes) else None
        asked = [topic for topic, pattern in _ASKS if pattern.search(message)]
        for topic in asked:
            if topic == "identity":
                return self.brief.identity
            if current is not None and topic in current.details:
                return current.details[topic]
        if asked:
            return Utterance("I said all there is to say about that.", ("said",))
        self._at += 1
        if self._at >= len(wishes):
            return Utterance(f"Nothing else, thank you. {STOP}", ("bye",))
        return wishes[self._at].says
