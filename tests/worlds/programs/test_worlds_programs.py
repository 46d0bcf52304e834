"""Hidden specifications: Python and interpreter agree, tests tell every relevant slot, the user tells what he knows."""

import random

import pytest

from turnsmith.tasks.splits import check_overlap
from turnsmith.trace.types import Action
from turnsmith.worlds.programs import dialogue
from turnsmith.worlds.programs.dialogue import User, parse, passed, spec_of
from turnsmith.worlds.programs.play import HORIZON, WORDS, first_prompt, hidden_prefix, make_tokenizer, scripted
from turnsmith.worlds.programs.spec import NAMES, SLOTS, VALUES, make_tasks, python_of, run


def test_the_interpreter_says_what_the_rendered_python_says():
    source = random.Random(0)
    for _ in range(300):
        spec = tuple(source.randrange(VALUES) for _ in NAMES)
        space: dict = {}
        exec(python_of(spec), space)  # our own text
        for _ in range(10):
            xs = [source.randrange(-5, 30) for _ in range(source.randrange(8))]
            assert run(spec, xs) == space["solve"](list(xs)), (spec, xs)


def test_one_wrong_value_in_a_relevant_slot_fails_nearly_always():
    told = wrong = 0
    for task in make_tasks("test", 60):
        spec = task.hidden["spec"]
        assert all(passed(task, " ".join(SLOTS[n][v] for n, v in zip(NAMES, spec, strict=True))))
        for slot in task.hidden["relevant"]:
            for value in set(range(VALUES)) - {spec[slot]}:
                other = [*spec[:slot], value, *spec[slot + 1 :]]
                wrong += 1
                told += not all(passed(task, " ".join(SLOTS[n][v] for n, v in zip(NAMES, other, strict=True))))
    assert told / wrong > 0.9  # some changes make no difference: a floor of zero under a count


def test_tasks_are_the_same_every_time():
    train = make_tasks("train", 150, 3)
    assert make_tasks("train", 150, 3) == train
    assert {len(t.hidden["relevant"]) for t in train} <= {2, 3, 4, 5}
    assert all(set(t.hidden["test_cases"]) == {f"test{i}" for i in range(10)} for t in train)


def test_no_description_of_a_test_task_occurs_in_training():
    train, test = make_tasks("train", 3000, 1, tests=False), make_tasks("test", 1000, tests=False)
    check_overlap(train, test)


def test_the_small_language():
    call, error = parse("please well which cap ?")
    assert call is not None
    assert (call.name, call.arguments["slot"], error) == ("ask", "cap", "")
    answer = "answer " + " ".join(values[1] for values in SLOTS.values())
    call, _ = parse(answer)
    assert call is not None
    assert spec_of(str(call.arguments["text"])) == (1,) * 8
    for text in ("", "which", "answer all", "which nothing ?", "which cap", "cap"):
        assert parse(text)[0] is None
        assert parse(text)[1]


def test_the_user_knows_what_is_relevant_and_loses_patience():
    task = make_tasks("train", 1)[0]
    relevant = [NAMES[i] for i in task.hidden["relevant"]]
    other = next(name for name in NAMES if name not in relevant)
    user = User(task, random.Random(0), noise=0.0)

    def ask(name):
        text = f"which {name} ?"
        return user.reply(Action(text, *parse(text)))

    for name in relevant:
        assert ask(name) == SLOTS[name][task.hidden["spec"][NAMES.index(name)]]
    assert ask(other) == dialogue.UNKNOWN
    assert ask(other).endswith(dialogue.HURRY)


def test_better_questions_succeed_more_often():
    tasks = make_tasks("train", 150)
    rates = [sum(scripted(task, i, q).reward() or 0 for i, task in enumerate(tasks)) / 150 for q in (0.0, 0.5, 1.0)]
    assert rates[0] + 0.1 < rates[1] < rates[2] - 0.1
    assert max(len(scripted(task, 1, 0.5).turns) for task in tasks) <= HORIZON


def test_dialogues_are_one_growing_sequence_of_words():
    tokenizer = make_tokenizer()
    for index, task in enumerate(make_tasks("train", 20)):
        trace = scripted(task, index, 0.5)
        before = ()
        for turn in trace.turns:
            assert turn.action.prompt_ids[: len(before)] == before
            before = (*turn.action.prompt_ids, *turn.action.token_ids)
            assert tokenizer(turn.action.text, add_special_tokens=False).input_ids == list(turn.action.token_ids[:-1])
        assert trace.turns[0].action.prompt_ids == WORDS.ids(first_prompt(task))


def test_hidden_information_never_reaches_an_actor():
    """Neither the prompts of dialogues nor the examples of any arm begin with or hold what only the user knows."""
    from turnsmith.recipes.sweet.data import contexts_of, dialogue_example, trajectory_pairs

    tasks = make_tasks("train", 40)
    traces = [scripted(task, seed, 0.6) for seed in range(3) for task in tasks]
    mark = WORDS.ids(dialogue.HIDDEN)[0]
    for trace in traces:
        for turn in trace.turns:
            assert mark not in turn.action.prompt_ids
        assert mark not in (*dialogue_example(trace).prompt_ids, *dialogue_example(trace).token_ids)
        assert dialogue_example(trace, hidden=True).prompt_ids[0] == mark
    for one in trajectory_pairs(traces):
        assert all(mark not in (*e.prompt_ids, *e.token_ids) for side in one.sides for e in side)
    for context in contexts_of(traces, 100, 0):
        assert mark not in context.prompt_ids
    assert hidden_prefix(tasks[0])[0] == mark


@pytest.mark.parametrize("hidden", [False, True])
def test_what_counts_in_a_dialogue_is_what_the_agent_said(hidden):
    from turnsmith.recipes.sweet.data import dialogue_example

    trace = scripted(make_tasks("train", 3)[2], 5, 0.6)
    example = dialogue_example(trace, hidden)
    said = [i for i, counted in zip(example.token_ids, example.mask, strict=True) if counted]
    assert said == [i for turn in trace.turns for i in turn.action.token_ids]
    questions = dialogue_example(trace, hidden, questions_only=True)
    assert sum(example.mask) - sum(questions.mask) in (0, 10)  # the answer: nine words and the end
