"""What an action cost in tokens, where that is more than the tokens it has."""

from dataclasses import dataclass, fields

from turnsmith.trace.types import Action, Trace

SPENT = "tokens_spent"
"""The key of a turn's `info` that says it, where more was spent than the action has tokens."""


@dataclass(frozen=True, slots=True)
class Considered(Action):
    """An action on which more was spent than the tokens that it has.

    Attributes:
        spent: tokens sampled for it, those that were thrown away included.
    """

    spent: int = 0

    @classmethod
    def of(cls, action: Action, spent: int) -> "Considered":
        """The same action, with what it cost."""
        return cls(**{field.name: getattr(action, field.name) for field in fields(Action)}, spent=spent)


def spent_on(action: Action) -> int:
    """Tokens that were sampled for an action."""
    return action.spent if isinstance(action, Considered) else len(action.token_ids)


def tokens_spent(trace: Trace) -> int:
    """Tokens that were sampled in an episode, those that were thrown away included."""
    return sum(int(turn.info.get(SPENT, len(turn.action.token_ids))) for turn in trace.turns)
