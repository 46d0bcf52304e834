"""Test-time interaction: answers that are checked, budgets of steps and tokens, thoughts that go on, best of n."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from turnsmith.agents.base import Context
from turnsmith.agents.load import new_small_policy
from turnsmith.agents.render import chat, compact
from turnsmith.engine.sampling import Sampling
from turnsmith.envs.base import Step
from turnsmith.errors import InfraError
from turnsmith.rollout.collect import Episode, Limits, collect
from turnsmith.rollout.recheck import REQUEST, Recheck
from turnsmith.rollout.spent import Considered, spent_on, tokens_spent
from turnsmith.rollout.steps import spend_steps, steps_of
from turnsmith.rollout.thinking import BestOfN, BudgetForcing
from turnsmith.trace.types import Action, Call, Observation, Outcome, StopReason, Task, Trace, Turn, Verdict

TASK = Task("t", "Which?", "book", hidden={"answer": "three"})


class Book:
    """A book of pages: "next" turns one over; the right answer stands on the third page."""

    name = "book"

    @asynccontextmanager
    async def session(self):
        yield self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def reset(self, task, seed):
        self.page, self.answer = 1, None
        return self.look()

    def look(self, error=""):
        return Observation(f"page {self.page}", error=error, info={"elements": [], "notes": [], "title": "Book"})

    async def step(self, action):
        if action.call is None:
            return Step(self.look(action.error))
        if action.call.name == "next":
            self.page += 1
        else:
            self.answer = action.call.arguments["text"]
        return Step(self.look(), done=self.answer is not None)

    async def grade(self):
        return Verdict("oracle", float(self.answer == "three"))


class Script:
    """Does what the script says, each word an action: "next", "huh" (none), or an answer."""

    version = "script"

    def __init__(self, *words):
        self.words, self.seen = words, []

    async def act(self, contexts):
        self.seen += [context.observation for context in contexts]
        return [self._act(self.words[len(context.turns)]) for context in contexts]

    @staticmethod
    def _act(word):
        call = {"next": Call("next"), "huh": None}.get(word, Call("answer", {"text": word}))
        return Action(word, call, "" if call else "huh?", token_ids=(1, 2, 3))

    async def log_prob(self, steps):
        return [[0.0] * 3 for _ in steps]


async def checked(answers, horizon, *words):
    script = Script(*words)
    environment = Recheck(Book(), answers, horizon)
    (trace,) = await collect(environment, script, [Episode("e", TASK, 0)], Limits(horizon))
    return trace, script


async def test_a_checked_answer_lets_the_agent_act_on_and_change_its_mind():
    trace, script = await checked(2, 9, "one", "next", "next", "three")
    assert (trace.outcome, trace.answer, len(trace.turns)) == (Outcome.SUCCESS, "three", 4)
    assert [turn.info.get("rechecked") for turn in trace.turns] == [1, None, None, None]
    asked = script.seen[1]
    assert asked.text == f"page 1\nNote: {REQUEST}"  # the same page, and the request to check
    assert script.seen[2].text == "page 2"
    context = Context(replace(TASK, hidden={}), asked, trace.turns[:1])
    assert "note: Before this answer counts" in compact(context)
    assert REQUEST in chat(context, "tti", 1)[-1]["content"][-1]["text"]


async def test_an_answer_that_is_confirmed_ends_the_episode():
    for words, steps, outcome in (
        (("next", "three", "three"), 3, Outcome.SUCCESS),
        (("three", "one"), 2, Outcome.FAILURE),  # revised for the worse
    ):
        trace, _ = await checked(2, 9, *words)
        assert (trace.outcome, len(trace.turns)) == (outcome, steps)
    trace, _ = await checked(3, 9, "three", "three", "three")
    assert (trace.outcome, len(trace.turns)) == (Outcome.SUCCESS, 3)
    trace, _ = await checked(1, 9, "three")
    assert (trace.outcome, len(trace.turns), dict(trace.turns[0].info)) == (Outcome.SUCCESS, 1, {})


async def test_the_last_step_takes_an_answer_and_gives_back_none_that_was_left():
    trace, _ = await checked(2, 3, "next", "next", "three")
    assert trace.outcome is Outcome.SUCCESS
    trace, _ = await checked(2, 3, "three", "next", "next")
    assert (trace.outcome, trace.reward()) == (Outcome.TRUNCATED, 0.0)
    with pytest.raises(ValueError, match="at least 1"):
        Recheck(Book(), 0, 3)


# -- budgets of steps


def episode(steps, outcome=Outcome.FAILURE):
    turn = Turn(Observation(), Action("x"))
    return Trace("x", TASK, (turn,) * steps, outcome)


async def test_steps_are_spent_to_the_last_episode_that_is_sure_to_fit():
    lengths, groups = [6, 2, 6, 3, 1, 6, 2, 2, 4, 6], []

    async def play(episodes):
        groups.append(len(episodes))
        return [episode(lengths[int(one.id)]) for one in episodes]

    traces = await spend_steps(play, lambda k: Episode(str(k), TASK, k), budget=32, horizon=6)
    assert groups == [5, 2, 1]  # 32 // 6, then (32 - 18) // 6, then (32 - 26) // 6
    assert steps_of(traces) == 28
    assert 32 - steps_of(traces) < 6
    groups.clear()
    traces = await spend_steps(play, lambda k: Episode(str(k), TASK, k), budget=32, horizon=6, least=3)
    assert (groups, steps_of(traces)) == ([5], 18)
    assert await spend_steps(play, lambda k: Episode(str(k), TASK, k), budget=5, horizon=6) == []


async def test_episodes_lost_to_machinery_cost_no_steps_and_cannot_go_on_for_ever():
    kinds = [Outcome.INFRA_ERROR, Outcome.FAILURE] * 20

    async def play(episodes):
        return [episode(6, kinds[int(one.id)]) for one in episodes]

    traces = await spend_steps(play, lambda k: Episode(str(k), TASK, k), budget=24, horizon=6)
    assert steps_of(traces) == 24
    kinds = [Outcome.INFRA_ERROR] * 99
    with pytest.raises(InfraError, match="episodes in a row"):
        await spend_steps(play, lambda k: Episode(str(k), TASK, k), budget=24, horizon=6)


# -- best of n


class Dice:
    """Gives the action that stands at a draw's place in a list; the plain draw comes first."""

    version = "dice"

    def __init__(self, *actions):
        self.actions, self.asked = actions, []

    async def act(self, contexts):
        self.asked.append([context.seed for context in contexts])
        return [self.actions[place % len(self.actions)] for place in range(len(contexts))]

    async def log_prob(self, steps):
        return [[0.5] for _ in steps]


NEXT = Call("next")


def action(word, *logprobs, call: Call | None = NEXT):
    return Action(word, call, token_ids=tuple(range(len(logprobs))), logprobs=logprobs)


async def test_best_of_n_is_the_call_that_most_draws_make():
    one, two = Call("click", {"mark": 1}), Call("click", {"mark": 2})
    draws = [action("a", -1.0, call=one), action("b", -2.0, -2.0, call=two), action("c", -0.1, -0.1, call=two)]
    context = Context(TASK, Observation("x"), seed=7)
    dice = Dice(*draws)
    (chosen,) = await BestOfN(dice, 3).act([context])
    assert (chosen.text, chosen.call, spent_on(chosen)) == ("b", two, 5)
    assert dice.asked[0][0] == 7
    assert len(set(dice.asked[0])) == 3
    (likely,) = await BestOfN(Dice(*draws), 3, "log_prob").act([context])
    assert likely.text == "c"
    (tied,) = await BestOfN(Dice(draws[0], draws[1]), 2).act([context])
    assert tied.text == "a"
    (parsed,) = await BestOfN(Dice(action("x", -0.1, call=None), draws[0]), 2).act([context])
    assert parsed.text == "a"
    (none,) = await BestOfN(Dice(action("x", -0.1, call=None)), 2).act([context])
    assert (none.call, spent_on(none)) == (None, 2)
    with pytest.raises(ValueError, match="at least 1"):
        BestOfN(dice, 0)


async def test_groups_of_several_contexts_are_not_mixed_and_one_draw_is_the_policy_itself():
    names = [Call("click", {"mark": mark}) for mark in range(4)]
    dice = Dice(*[action(str(mark), -1.0, call=call) for mark, call in enumerate(names)])
    contexts = [Context(TASK, Observation("x"), seed=seed) for seed in (1, 2)]
    assert [chosen.text for chosen in await BestOfN(dice, 2).act(contexts)] == ["0", "2"]
    assert [chosen.text for chosen in await BestOfN(dice, 1).act(contexts)] == ["0", "1"]
    assert dice.asked[1] == [1, 2]
    assert await BestOfN(dice, 2).log_prob([(contexts[0], action("x"))]) == [[0.5]]


async def test_what_was_thrown_away_is_in_the_trace_and_in_the_token_budget():
    draws = [Action("next", Call("next"), token_ids=(1, 2, 3)), Action("huh", None, "huh?", token_ids=(1,) * 7)]
    limits = Limits(4)
    (trace,) = await collect(Book(), BestOfN(Dice(*draws), 2), [Episode("e", TASK, 0)], limits)
    assert [turn.info["tokens_spent"] for turn in trace.turns] == [10] * 4
    assert (tokens_spent(trace), sum(len(turn.action.token_ids) for turn in trace.turns)) == (40, 12)
    limits = Limits(4, max_tokens=20)
    (trace,) = await collect(Book(), BestOfN(Dice(*draws), 2), [Episode("e", TASK, 0)], limits)
    assert len(trace.turns) == 2
    (plain,) = await collect(Book(), Dice(draws[0]), [Episode("e", TASK, 0)], Limits(4))
    assert (tokens_spent(plain), "tokens_spent" in plain.turns[0].info) == (12, False)


# -- budget forcing, with a real (if tiny) model


@pytest.fixture(scope="module")
def policy():
    texts = ["goal: find it\npage: Book\nnext [1]\n", "Thought: go on [1]\nAction: Click [1]", "Wait, "] * 3
    return new_small_policy(texts, vocab_size=1100, width=32, layers=1, heads=2, sampling=Sampling(max_new_tokens=12))


def contexts(count):
    look = Observation("[1]: next;", info={"elements": [{"mark": 1, "tag": "a", "text": "next", "aria": ""}]})
    return [Context(replace(TASK, hidden={}), look, seed=seed) for seed in range(count)]


async def test_without_being_held_back_the_policy_is_itself(policy):
    plain = await policy.act(contexts(5))
    forced = await BudgetForcing(policy, 0).act(contexts(5))
    assert [one.token_ids for one in forced] == [one.token_ids for one in plain]
    for one, other in zip(forced, plain, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs)
    assert [spent_on(one) for one in forced] == [len(one.token_ids) for one in plain]
    with pytest.raises(ValueError, match="times is -1"):
        BudgetForcing(policy, -1)


class Told:
    """A local policy whose stretches of text are given; everything else is the real one's."""

    version = "told"

    def __init__(self, policy, *stretches):
        self.policy, self.stretches, self.prompts = policy, list(stretches), []
        self.sampling, self.tokenizer = policy.sampling, policy.tokenizer
        self.encode_prompt, self.action = policy.encode_prompt, policy.action

    async def complete(self, prompts, seeds, sampling):
        from turnsmith.engine.sampling import Sample

        self.prompts.append([self.tokenizer.decode(list(prompt.ids)) for prompt in prompts])
        texts = [self.stretches.pop(0) for _ in prompts]
        ids = [tuple(self.tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
        stops = [StopReason.STOP if "Action:" in text and sampling.stop else StopReason.EOS for text in texts]
        return [Sample(one, (-0.5,) * len(one), stop) for one, stop in zip(ids, stops, strict=True)]


async def test_an_action_is_taken_back_and_the_thought_goes_on(policy):
    told = Told(policy, "Thought: go on [1]\nAction:", "it is here\nAction:", "Thought\nAction: Click [1]")
    (forced,) = await BudgetForcing(told, 2).act(contexts(1))  # type: ignore
    text = policy.tokenizer.decode(list(forced.token_ids))
    assert text == "Thought: go on [1]\nWait, it is here\nWait, Thought\nAction: Click [1]"
    assert forced.call == Call("click", {"mark": 1})
    assert len(forced.token_ids) == len(forced.logprobs) == len(forced.sampled)
    chosen = [token for token, mine in zip(forced.token_ids, forced.sampled, strict=True) if mine]
    assert "Wait" not in policy.tokenizer.decode(chosen)
    assert all(
        logprob == (-0.5 if mine else 0.0) for logprob, mine in zip(forced.logprobs, forced.sampled, strict=True)
    )
    assert isinstance(forced, Considered)
    kept = sum(forced.sampled)
    taken_back = len(policy.tokenizer("Action:", add_special_tokens=False).input_ids)
    assert forced.spent == kept + 2 * taken_back
    assert told.prompts[1][0].endswith("go on [1]\nWait, ")


async def test_who_ends_by_itself_is_not_held_back(policy):
    told = Told(policy, "Thought: a", "Thought: b\nAction:", "c\nAction: Click [1]")
    first, second = await BudgetForcing(told, 1).act(contexts(2))  # type: ignore
    assert (first.text, first.call) == ("Thought: a", None)
    assert second.call == Call("click", {"mark": 1})
    assert [len(prompts) for prompts in told.prompts] == [2, 1]
