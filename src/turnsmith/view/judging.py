"""How good a judge is: its verdicts against people's labels, and against the oracle.

A label says what the person found: the agent did what was asked (right) or not (wrong); on a turn, whether that action
was right. The last label of a trace or turn counts. A judge says yes above a reward of 0.5. Infra errors are left out.
"""

from typing import Any

from turnsmith.trace.types import ORACLE
from turnsmith.view.queries import Database, Row
from turnsmith.view.run import rate

PEOPLE = "people"


def judge_scores(rows: list[Row], database: Database) -> list[dict[str, Any]]:
    """Precision, recall and accuracy of each judge, with counts and Wilson intervals.

    Returns:
        Rows `{"judge", "against": "people" | "oracle", "about": "trace" | "turn", "n", "true_positive", …,
        "precision", "recall", "accuracy"}`, judges against people first.
    """
    labels = database.labels()
    on_traces = {label["trace_id"]: label["correct"] for label in labels if label["turn"] is None}
    on_turns = {(label["trace_id"], label["turn"]): label["correct"] for label in labels if label["turn"] is not None}
    counted = [row for row in rows if row.outcome != "infra_error"]
    judges = sorted({judge for row in counted for judge in row.verdicts}, key=lambda name: (name == ORACLE, name))

    scores = []
    for judge in judges:
        said = {row.id: row.verdicts[judge] > 0.5 for row in counted if judge in row.verdicts}
        scores.append(_score(judge, PEOPLE, "trace", [(said[key], on_traces[key]) for key in said if key in on_traces]))
    if on_turns:
        said_of_turns: dict[str, dict[tuple[str, int], bool]] = {}
        for trace_id, turn, judge, reward in database.turn_verdicts():
            said_of_turns.setdefault(str(judge), {})[trace_id, turn] = reward > 0.5
        for judge, said in sorted(said_of_turns.items()):
            pairs = [(said[key], on_turns[key]) for key in said if key in on_turns]
            scores.append(_score(judge, PEOPLE, "turn", pairs))
    for judge in judges:
        if judge != ORACLE:
            both = [row for row in counted if judge in row.verdicts and ORACLE in row.verdicts]
            pairs = [(row.verdicts[judge] > 0.5, row.verdicts[ORACLE] > 0.5) for row in both]
            scores.append(_score(judge, ORACLE, "trace", pairs))
    return scores


def _score(judge: str, against: str, about: str, pairs: list[tuple[bool, bool]]) -> dict[str, Any]:
    """From pairs (the judge said yes, it is true)."""
    true_positive = sum(said and true for said, true in pairs)
    false_positive = sum(said and not true for said, true in pairs)
    false_negative = sum(true and not said for said, true in pairs)
    true_negative = len(pairs) - true_positive - false_positive - false_negative
    return {
        "judge": judge,
        "against": against,
        "about": about,
        "n": len(pairs),
        "true_positive": true_positive,
        "false_positive": false_positive,
        "false_negative": false_negative,
        "true_negative": true_negative,
        "precision": rate(true_positive, true_positive + false_positive),
        "recall": rate(true_positive, true_positive + false_negative),
        "accuracy": rate(true_positive + true_negative, len(pairs)),
    }
