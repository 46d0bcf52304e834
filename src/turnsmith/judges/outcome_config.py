"""How the local outcome judge is fitted. No torch here: recipes have it in their settings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """How the judge is fitted.

    Attributes:
        width: hidden units of each member.
        members: networks whose mean probability counts; each learns from a bootstrap of the episodes.
        updates: full-batch steps of AdamW.
        learning_rate, weight_decay: of AdamW.
        precision: the threshold is the lowest at which held-out demonstrations reach this precision.
        rate: the success rate at which that precision is meant. A policy that still learns succeeds less often than
            demonstrations do, and the more failures there are, the more of what is called a success is none.
        held_out: the share of the demonstrations that the threshold is chosen on.
        made: negatives that are made of each demonstration.
        seed: of split, bootstraps, made negatives and initial weights.
    """

    width: int = 32
    members: int = 5
    updates: int = 300
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    precision: float = 0.8
    rate: float = 0.1
    held_out: float = 0.25
    made: int = 4
    seed: int = 0
