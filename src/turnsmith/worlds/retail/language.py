"""The shop's small language for `agents.log_policy`: one policy, three roles (helper, challenger, proposer)."""

from turnsmith.agents.base import Context
from turnsmith.trace.types import Call
from turnsmith.worlds.retail.challenges import read_proposal
from turnsmith.worlds.retail.compact import Seen, log_of, parse_action, vocabulary


class RetailLanguage:
    """See `agents.log_policy.Language`. The task's `params["role"]` says which role acts."""

    def __init__(self) -> None:
        self.vocabulary = vocabulary()

    def read(self, context: Context) -> tuple[list[str], tuple[str, Seen]]:
        """The log, and what it showed to whom."""
        pieces, seen = log_of(context)
        return pieces, (pieces[0], seen)

    def parse(self, text: str, seen: object) -> Call:
        """The call of an action; only challengers and proposers may propose."""
        role, shown = seen  # pyright: ignore[reportGeneralTypeIssues]
        if text.startswith("task") and role != "help":
            return read_proposal(text, shown, only_task=role == "propose")
        return parse_action(text, shown)
