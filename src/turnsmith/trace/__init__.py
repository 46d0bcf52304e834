"""What happened: the nouns (`types`), the store on disk (`store`), and import and export."""

from turnsmith.trace.store import Store
from turnsmith.trace.types import (
    ORACLE,
    Action,
    Call,
    Credit,
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
    "Credit",
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
