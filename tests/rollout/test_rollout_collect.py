"""Rollouts over a real (if tiny) environment: a corridor in which the agent walks to a door and answers.

The corridor is an environment like any other: it keeps the contract of `envs/base.py`, and can fail on demand.
"""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from turnsmith.engine.sampling import turn_seed
from turnsmith.envs.base import Step
from turnsmith.errors import InfraError, UserError
from turnsmith.judges.base import ExactAnswer, agreement
from turnsmith.rollout.collect import Episode, Limits, collect, evaluation_episodes
from turnsmith.trace.types import Action, Call, Observation, Outcome, Task, Verdict

LIMITS = Limits(horizon=5, retries=1, turn_seconds=5)


def corridor_task(number: int, length: int = 2, **params) -> Task:
    hidden = {"answer": f"door {number}"}
    return Task(
        f"walk-{number}", "walk to the door and say which", "corridor", {"length": length, **params}, hidden=hidden
    )


class CorridorSession:
    def __init__(self, environment):
        self.environment = environment

    async def reset(self, task, seed):
        if "length" not in task.params:
            raise UserError("corridor: params need a length")
        self.task, self.place, self.answer = task, 0, None
        return Observation(f"{task.params['length'] - self.place} steps to go")

    async def step(self, action):
        if self.task.params.get("breaks_at") == self.place and self.task.id not in self.environment.broken:
            self.environment.broken.add(self.task.id)
            raise InfraError("corridor_flooded", "on demand")
        if self.task.params.get("hangs"):
            await asyncio.sleep(3600)
        error = ""
        if action.call is None:
            error = action.error
        elif action.call.name == "walk":
            self.place += 1
        elif action.call.name == "answer":
            self.answer = action.call.arguments["text"]
        text = f"{self.task.params['length'] - self.place} steps to go"
        return Step(Observation(text, error=error), done=self.answer is not None)

    async def grade(self):
        won = self.place == self.task.params["length"] and self.answer == self.task.hidden["answer"]
        return Verdict("oracle", float(won), "compared place and answer")


class Corridor:
    name = "corridor"

    def __init__(self, sessions=3):
        self.free = asyncio.Semaphore(sessions)
        self.broken = set()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    @asynccontextmanager
    async def session(self):
        async with self.free:
            yield CorridorSession(self)


@dataclass
class Walker:
    """Walks while there are steps to go, then answers; records what it was shown."""

    version = "walker-1"
    stubborn: bool = False
    tokens: int = 1

    def __post_init__(self):
        self.batches, self.contexts = [], []

    async def act(self, contexts):
        self.batches.append(len(contexts))
        self.contexts += contexts
        await asyncio.sleep(0)
        actions = []
        for context in contexts:
            ids, logprobs = tuple(range(self.tokens)), (0.0,) * self.tokens
            if self.stubborn:
                actions.append(Action("mumble", None, "not an action", (), ids, logprobs))
            elif context.observation.text.startswith("0 "):
                answer = f"door {context.task.id.split('-')[1]}"
                actions.append(Action("say", Call("answer", {"text": answer}), "", (), ids, logprobs))
            else:
                actions.append(Action("go", Call("walk"), "", (), ids, logprobs))
        return actions

    async def log_prob(self, steps):
        return [[0.0] * len(action.token_ids) for _, action in steps]


async def test_episodes_end_as_success_and_come_back_in_order():
    episodes = evaluation_episodes([corridor_task(n, length=n % 3) for n in range(9)], seed=0)
    traces = await collect(Corridor(), Walker(), episodes, LIMITS, workers=4)
    assert [trace.id for trace in traces] == [episode.id for episode in episodes]
    assert {trace.outcome for trace in traces} == {Outcome.SUCCESS}
    assert [len(trace.turns) for trace in traces] == [n % 3 + 1 for n in range(9)]
    assert traces[0].final is not None


async def test_hidden_fields_never_reach_the_policy():
    walker = Walker()
    traces = await collect(Corridor(), walker, evaluation_episodes([corridor_task(3)], 0), LIMITS)
    assert all(not context.task.hidden for context in walker.contexts)
    assert traces[0].task.hidden == {"answer": "door 3"}  # but the record keeps them


async def test_running_out_of_steps_is_truncated_and_never_a_success():
    [trace] = await collect(Corridor(), Walker(), evaluation_episodes([corridor_task(1, length=9)], 0), LIMITS)
    assert (trace.outcome, trace.reward(), len(trace.turns)) == (Outcome.TRUNCATED, 0.0, 5)


async def test_a_token_budget_cuts_the_episode_off():
    limits = Limits(horizon=50, max_tokens=30, retries=0)
    [trace] = await collect(Corridor(), Walker(tokens=10), evaluation_episodes([corridor_task(1, 20)], 0), limits)
    assert (trace.outcome, len(trace.turns)) == (Outcome.TRUNCATED, 3)


async def test_an_unparsed_action_consumes_the_step_and_its_error_is_seen_next():
    walker = Walker(stubborn=True)
    [trace] = await collect(Corridor(), walker, evaluation_episodes([corridor_task(1)], 0), LIMITS)
    assert len(trace.turns) == LIMITS.horizon
    assert [turn.observation.error for turn in trace.turns] == ["", *["not an action"] * 4]


async def test_an_infra_error_is_recorded_without_reward_and_played_again():
    stored = []
    traces = await collect(
        Corridor(),
        Walker(),
        evaluation_episodes([corridor_task(1, breaks_at=1), corridor_task(2)], 0),
        LIMITS,
        on_trace=stored.append,
    )
    assert [trace.outcome for trace in traces] == [Outcome.SUCCESS, Outcome.SUCCESS]
    [lost] = [trace for trace in stored if trace.outcome is Outcome.INFRA_ERROR]
    assert (lost.reward(), lost.verdicts, lost.info["infra_error"]) == (None, (), "corridor_flooded")
    assert len({trace.id for trace in stored}) == 3


async def test_a_turn_that_hangs_is_an_infra_error():
    limits = Limits(horizon=5, retries=0, turn_seconds=0.05)
    [trace] = await collect(Corridor(), Walker(), evaluation_episodes([corridor_task(1, hangs=True)], 0), limits)
    assert trace.info["infra_error"] == "turn_timeout"


async def test_wrong_task_parameters_stop_the_collection_with_their_own_error():
    with pytest.raises(UserError, match="need a length"):
        await collect(Corridor(), Walker(), [Episode("e", Task("t", "walk", "corridor"), 0)], LIMITS)


async def test_what_storing_raises_stops_the_collection():
    def full(trace):
        raise UserError("run.db: could not write (disk full)")

    with pytest.raises(UserError, match="disk full"):
        await collect(Corridor(), Walker(), evaluation_episodes([corridor_task(1)], 0), LIMITS, on_trace=full)


async def test_concurrent_sessions_share_batches():
    walker = Walker()
    await collect(
        Corridor(8), walker, evaluation_episodes([corridor_task(n, 3) for n in range(8)], 0), LIMITS, workers=8
    )
    assert max(walker.batches) == 8


async def test_a_judge_decides_success_and_is_measured_against_the_oracle():
    # The answer is right in both, but the oracle also wants the agent to stand at the door.
    class Shouter(Walker):
        async def act(self, contexts):
            return [Action("say", Call("answer", {"text": f"Door {c.task.id.split('-')[1]}."})) for c in contexts]

    tasks = [corridor_task(1, 0), corridor_task(2, 2)]
    tasks[0] = Task(tasks[0].id, "x", "corridor", {"length": 0}, hidden={"answer": "Door 1."})
    traces = await collect(Corridor(), Shouter(), evaluation_episodes(tasks, 0), LIMITS, judge=ExactAnswer())
    assert [trace.outcome for trace in traces] == [Outcome.SUCCESS, Outcome.SUCCESS]
    measured = agreement(traces, "exact")
    assert (measured.true_positive, measured.false_positive, measured.precision, measured.recall) == (1, 1, 0.5, 1.0)


def test_turn_seeds_are_stable_and_distinct():
    seeds = {turn_seed(episode, turn) for episode in range(50) for turn in range(50)}
    assert len(seeds) == 2500
    assert turn_seed(7, 3) == 6579903082405569959


async def test_an_episode_that_nobody_judges_is_neither_a_success_nor_a_failure():
    class Silent(CorridorSession):
        async def grade(self):
            return None

    class Unknown(Corridor):
        @asynccontextmanager
        async def session(self):
            yield Silent(self)

    episodes = evaluation_episodes([corridor_task(1)], seed=0)
    (alone,) = await collect(Unknown(), Walker(), episodes, LIMITS)
    assert (alone.outcome, alone.verdicts, alone.reward()) == (Outcome.UNJUDGED, (), None)
    (judged,) = await collect(Unknown(), Walker(), episodes, LIMITS, judge=ExactAnswer())
    assert (judged.outcome, judged.reward("exact")) == (Outcome.SUCCESS, 1.0)
