"""What happened: the nouns (`types`), the store on disk (`store`), and import and export."""

from turnwise.trace.store import Store
from turnwise.trace.types import (
    ORACLE,
    Action,
    Call,
    ImageRef,
    Label,
    Observation,
    Outcome,
    StopReason,
    Task,
    Thread,
    Trace,
    Turn,
    Verdict,
)

__all__ = [
    "ORACLE",
    "Action",
    "Call",
    "ImageRef",
    "Label",
    "Observation",
    "Outcome",
    "StopReason",
    "Store",
    "Task",
    "Thread",
    "Trace",
    "Turn",
    "Verdict",
]
