"""The noun of this room: a task as somebody wrote it, before anybody checked it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Proposal:
    """A task that was written for a site.

    Attributes:
        instruction: what the agent is to read.
        params: what the environment needs (local sites: "site" and "world"; others: "start_url" and "allow").
        kind: of the proposer's own kinds, for counting: "open", "detail", "press" …; "model" for a model's.
        entities: the names that it is about, for the overlap check.
        intent: what the proposer means, as JSON steps (see `grammar`): the truth about a local site's task is found
            out from it. It becomes a hidden part of the task. Empty where the proposer says nothing but words.
        source: provenance as JSON: proposer, context, the traces that it read.
    """

    instruction: str
    params: Mapping[str, Any]
    kind: str
    entities: Sequence[str] = ()
    intent: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
