"""What a set of episodes amounts to, counted by hand."""

from turnsmith.evaluate.summary import rewards_by_task, summarize
from turnsmith.trace.types import Action, Observation, Outcome, Task, Trace, Turn, Verdict


def trace(number, outcome, reward, steps, site="shop", task=None):
    turns = tuple(Turn(Observation("x"), Action("y")) for _ in range(steps))
    verdicts = () if reward is None else (Verdict("oracle", reward),)
    return Trace(str(number), Task(task or f"t{number}", "do", "browser", {"site": site}), turns, outcome, verdicts)


EPISODES = [
    trace(0, Outcome.SUCCESS, 1.0, 4),
    trace(1, Outcome.FAILURE, 0.0, 6),
    trace(2, Outcome.TRUNCATED, 0.0, 10, site="forum"),
    trace(3, Outcome.INFRA_ERROR, None, 2, site="forum"),
    trace(4, Outcome.SUCCESS, 1.0, 2, site="forum"),
]


def test_infra_errors_are_counted_and_kept_out_of_every_rate():
    summary = summarize(EPISODES)
    assert (summary.episodes, summary.successes, summary.truncated, summary.infra_errors) == (4, 2, 1, 1)
    assert (summary.success, summary.mean_steps, summary.mean_success_steps) == (0.5, 5.5, 3.0)
    assert (summary.by_site["forum"].episodes, summary.by_site["forum"].success) == (2, 0.5)


def test_an_empty_set_has_no_certainty():
    assert summarize([]).interval == (0.0, 1.0)


def test_rewards_pair_by_task_and_average_repetitions():
    again = [trace(9, Outcome.FAILURE, 0.0, 1, task="t0")]
    assert rewards_by_task(EPISODES + again) == {"t0": 0.5, "t1": 0.0, "t2": 0.0, "t4": 1.0}


def test_what_nobody_has_judged_is_in_no_rate_until_somebody_has():
    unjudged = [trace(5, Outcome.UNJUDGED, None, 9), trace(6, Outcome.UNJUDGED, 1.0, 3)]  # the second was judged later
    summary = summarize([*EPISODES, *unjudged])
    assert (summary.episodes, summary.successes, summary.unjudged, summary.infra_errors) == (5, 3, 1, 1)
    assert rewards_by_task(unjudged) == {"t6": 1.0}
    nothing = summarize(unjudged[:1])
    assert (nothing.episodes, nothing.unjudged) == (0, 1)
