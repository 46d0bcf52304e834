"""From turns to examples: sampled ids as they are, scripted text encoded once with its end."""

import pytest

from turnsmith.agents.base import Context
from turnsmith.learn.examples import Example, context_at, example_from_turn, examples_from_traces
from turnsmith.trace.types import Action, Call, ImageRef, Observation, StopReason, Task, Trace, Turn


class Letters:
    """An encoder whose ids are code points and whose end-of-sequence is 0."""

    def encode_prompt(self, context: Context):
        seen = [*(turn.observation for turn in context.turns), context.observation]
        images = [image.digest for observation in seen for image in observation.images]
        return tuple(map(ord, context.task.instruction + str(len(context.turns)))), {
            "digests": images
        } if images else {}

    def encode_response(self, text: str) -> tuple[int, ...]:
        return (*map(ord, text), 0)


CLICK = Call("click", {"mark": 1})
SAMPLED = Action("ab", CLICK, "", (1, 2), (5, 6, 7), (-1.0, -2.0, -0.5), (True, False, True), StopReason.EOS)
SCRIPTED = Action("ab", CLICK)
TASK = Task("t", "do", "browser", hidden={"plan": "secret"})


def test_sampled_ids_are_taken_as_they_are_with_their_mask():
    example = example_from_turn(Turn(Observation(), SAMPLED), Context(TASK, Observation()), Letters(), weight=0.5)
    assert example == Example((1, 2), (5, 6, 7), (True, False, True), 0.5)


def test_a_scripted_action_is_encoded_with_its_end():
    example = example_from_turn(Turn(Observation(), SCRIPTED), Context(TASK, Observation()), Letters())
    assert example == Example(tuple(map(ord, "do0")), (97, 98, 0), (True, True, True))


def test_pictures_of_a_sampled_turn_come_from_its_context():
    seen = Observation(images=(ImageRef.of(b"x"),))
    example = example_from_turn(Turn(seen, SAMPLED), Context(TASK, seen), Letters())
    assert example.prompt_ids == (1, 2)
    assert example.vision == {"digests": [ImageRef.of(b"x").digest]}


def test_a_context_holds_the_earlier_turns_of_its_thread_and_nothing_hidden():
    turns = tuple(Turn(Observation(str(n)), SCRIPTED, thread=n % 2) for n in range(5))
    context = context_at(Trace("id", TASK, turns, seed=3), 4)
    assert [turn.observation.text for turn in context.turns] == ["0", "2"]
    assert context.observation.text == "4"
    assert context.task.hidden == {}
    assert TASK.hidden


def test_what_is_cut_off_or_invalid_is_left_out_unless_wanted():
    cut = Action("ab", CLICK, "", (1,), (5,), (-1.0,), stop=StopReason.LENGTH)
    invalid = Action("??", None, "no action")
    trace = Trace("id", TASK, tuple(Turn(Observation(), action) for action in (SCRIPTED, cut, invalid, SAMPLED)))
    assert len(examples_from_traces([trace], Letters())) == 2
    assert len(examples_from_traces([trace], Letters(), keep_truncated=True)) == 3
    assert len(examples_from_traces([trace], Letters(), keep_invalid=True)) == 3
    weighted = examples_from_traces([trace], Letters(), weights={"id": [0.1, 0.2, 0.3, 0.4]})
    assert [example.weight for example in weighted] == [0.1, 0.4]


def test_an_example_without_prompt_or_with_a_wrong_mask_is_refused():
    for fields in (((), (1,), (True,)), ((1,), (), ()), ((1,), (1, 2), (True,))):
        with pytest.raises(ValueError, match="an example needs"):
            Example(*fields)
