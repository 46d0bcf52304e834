"""OpenAI messages: the mapping by example, losslessness as a property, other makers' rows, and malformed ones."""

import base64
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_strategies import json_objects, json_values, simple_trace, texts, traces

from turnsmith.errors import UserError
from turnsmith.trace import Action, Call, ImageRef, Observation, Outcome, Store, Task, Trace, Turn, Verdict
from turnsmith.trace.messages import TOOL_CALL, export_messages, trace_to_row
from turnsmith.trace.messages_import import import_messages, row_to_trace

PICTURE = ImageRef.of(b"\x89PNG picture", "image/png")
DATA_URL = "data:image/png;base64," + base64.b64encode(b"\x89PNG picture").decode()

WEB = Trace(
    "web-1",
    Task("shop-7", "Buy the red shoe.", "browser", {"site": "shop"}, hidden={"goal": "SECRET"}),
    (
        Turn(
            Observation("[0]: <a> shoe", (PICTURE,)),
            Action("Thought: x\nAction: Click [9]", Call("click", {"mark": 9})),
        ),
        Turn(Observation("[0]: <a> shoe", error="There is no element 9."), Action("Action: Click [0]"), reward=1.0),
    ),
    Outcome.SUCCESS,
    (Verdict("oracle", 1.0, "bought"),),
    policy="step-3",
    seed=5,
    final=Observation("Thank you"),
)

CALL = {"id": "c1", "name": "find", "arguments": '{"city": "Paris"}'}
TOOLS = Trace(
    "tools-1",
    Task("t", "Find a flight.", "tools"),
    (
        Turn(Observation(), Action("Let me look.", Call("find", {"city": "Paris"})), info={TOOL_CALL: CALL}),
        Turn(Observation("2 flights"), Action("There are two.")),
    ),
)


def test_a_web_episode_reads_like_this():
    row = trace_to_row(WEB)
    record = json.loads(row.pop("record"))
    assert row == {
        "id": "web-1",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Buy the red shoe.\n\n[0]: <a> shoe"},
                    {"type": "image_url", "image_url": {"url": DATA_URL}},
                ],
            },
            {"role": "assistant", "content": "Thought: x\nAction: Click [9]"},
            {"role": "user", "content": "Error: There is no element 9.\n\n[0]: <a> shoe"},
            {"role": "assistant", "content": "Action: Click [0]"},
            {"role": "user", "content": "Thank you"},
        ],
        "task": {"id": "shop-7", "instruction": "Buy the red shoe.", "environment": "browser", "split": "train"},
        "outcome": "success",
        "reward": 1.0,
        "turn_rewards": [0.0, 1.0],
        "policy": "step-3",
        "seed": 5,
    }
    assert record["turns"][0]["call"] == {"name": "click", "arguments": {"mark": 9}}
    assert record["verdicts"] == [{"judge": "oracle", "reward": 1.0, "reason": "bought", "turn": None}]


def test_an_episode_of_tool_calls_reads_like_this():
    function = {"name": "find", "arguments": '{"city": "Paris"}'}
    assert trace_to_row(TOOLS)["messages"] == [
        {"role": "user", "content": "Find a flight."},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2 flights"},
        {"role": "assistant", "content": "There are two."},
    ]


def test_hidden_fields_are_exported_only_on_request():
    assert "SECRET" not in json.dumps(trace_to_row(WEB))
    assert "SECRET" in json.dumps(trace_to_row(WEB, hidden=True))


tool_calls = st.fixed_dictionaries({"id": texts, "name": texts, "arguments": json_objects.map(json.dumps) | texts})


def without_tokens(trace: Trace) -> Trace:
    turns = tuple(
        replace(turn, action=Action(turn.action.text, turn.action.call, turn.action.error, stop=turn.action.stop))
        for turn in trace.turns
    )
    return replace(trace, turns=turns)


@settings(max_examples=40, deadline=None)
@given(trace=traces, calls=st.lists(st.none() | tool_calls, min_size=3, max_size=3))
def test_export_import_export_is_the_same_and_only_tokens_are_lost(trace, calls):
    turns = tuple(
        turn if call is None else replace(turn, info={**turn.info, TOOL_CALL: call})
        for turn, call in zip(trace.turns, calls, strict=False)
    )
    trace = replace(trace, turns=turns)
    row = json.loads(json.dumps(trace_to_row(trace, hidden=True)))
    again = row_to_trace(row, "unused")
    assert again == without_tokens(trace)
    assert trace_to_row(again, hidden=True) == row


def assistant(content: str | None, *call_ids: str, **extra) -> dict:
    if call_ids:
        function = {"name": "find", "arguments": "{}"}
        extra["tool_calls"] = [{"id": call_id, "type": "function", "function": function} for call_id in call_ids]
    return {"role": "assistant", "content": content, **extra}


def user(content) -> dict:
    return {"role": "user", "content": content}


def tool(call_id: str, content: str) -> dict:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


SYSTEM = {"role": "system", "content": "You are terse."}
IMAGE_PART = {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "low"}}


@pytest.mark.parametrize(
    "messages",
    [
        [user("hi")],
        [user("hi"), assistant("hello")],
        [SYSTEM, {"role": "developer", "content": "Be kind."}, user("hi"), assistant("hello"), user("bye")],
        [user("hi"), assistant(None, "a"), tool("a", "found"), assistant("done")],
        [user("hi"), assistant("text too", "a"), tool("a", ""), user("go on"), assistant("done")],
        [user("hi"), assistant("", "a"), tool("other", "found")],
        [assistant("I begin"), user("ok"), assistant("I end")],
        [user("hi"), assistant("one"), assistant("two"), user(""), assistant("")],
        [user("one"), user("two"), assistant("x"), SYSTEM, assistant("y")],
        [user("hi"), assistant("x", name="bot", reasoning_content="hm", weight=0)],
        [user([{"type": "text", "text": "look"}, IMAGE_PART]), assistant("a shoe")],
        [user([IMAGE_PART, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), assistant("x")],
        [user([{"type": "text", "text": "x"}]), assistant("y")],
        [user([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]), assistant("x")],
        [SYSTEM],
        [SYSTEM, tool("a", "x")],
        [user("hi"), {"role": "assistant", "content": [{"type": "text", "text": "parts"}]}, user(None)],
        [
            user("hi"),
            assistant(None, function_call={"name": "f", "arguments": "{}"}),
            {"role": "function", "content": "x"},
        ],
    ],
)
def test_messages_of_other_makers_are_written_back_as_they_were(messages):
    trace = row_to_trace({"messages": messages}, "x")
    exported = trace_to_row(trace)
    assert exported["messages"] == messages
    assert trace_to_row(row_to_trace(json.loads(json.dumps(exported)), "x")) == exported


def test_a_plain_row_of_another_maker():
    row = {
        "messages": [SYSTEM, user("What is 2+2?"), assistant(None, "a"), tool("a", "4"), assistant("4")],
        "score": 0.75,
        "model": "m-1",
    }
    trace = row_to_trace(row, "file-3")
    assert trace.id == "file-3"
    assert trace.task == Task("file-3", "What is 2+2?", "imported")
    assert [turn.observation.text for turn in trace.turns] == ["", "4"]
    assert trace.turns[0].action.call == Call("find", {})
    assert (trace.reward(), trace.outcome, trace.info["row"]) == (0.75, Outcome.SUCCESS, {"model": "m-1"})
    unrewarded = row_to_trace({"messages": [user("hi")], "reward": None}, "x")
    assert (unrewarded.reward(), unrewarded.outcome) == (None, Outcome.UNJUDGED)
    named = row_to_trace({"messages": [user("go"), assistant("ok")], "task": "Do it.", "turn_rewards": [2]}, "x")
    assert (named.task.instruction, named.turns[0].observation.text, named.turns[0].reward) == ("Do it.", "go", 2)


def test_parallel_tool_calls_become_one_turn_each():
    messages = [user("hi"), assistant("both", "a", "b"), tool("b", "B"), tool("a", "A"), assistant("done")]
    trace = row_to_trace({"messages": messages}, "x")
    assert [(turn.observation.text, turn.action.text) for turn in trace.turns] == [
        ("", "both"),
        ("A", ""),
        ("B", "done"),
    ]
    exported = trace_to_row(trace)
    assert exported["messages"] == [
        user("hi"),
        assistant("both", "a"),
        tool("a", "A"),
        assistant(None, "b"),
        tool("b", "B"),
        assistant("done"),
    ]
    assert trace_to_row(row_to_trace(exported, "x")) == exported


def test_arguments_that_are_not_json_are_a_call_that_did_not_parse():
    message = assistant(None, "a")
    message["tool_calls"][0]["function"]["arguments"] = "{city: Paris"
    (turn,) = row_to_trace({"messages": [user("hi"), message]}, "x").turns
    assert turn.action.call is None
    assert turn.action.error.startswith("The arguments of find are not a JSON object")


GOOD = {"messages": [user("hi"), assistant("hello")]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, '"messages" must be a list of at least one message'),
        ({"messages": []}, "at least one message"),
        ({"messages": "hi"}, "must be a list"),
        ({"messages": ["hi"]}, r"messages\[0\] must be an object with a \"role\""),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"messages\[0\].*out of system"),
        ({"messages": [user("a"), user(3)]}, r"messages\[1\]: \"content\" must be text"),
        ({"messages": [user(["a"])]}, '"content" must be text'),
        ({"messages": [user([{"type": "text"}])]}, 'needs "text"'),
        ({"messages": [user("a"), {"role": "assistant", "tool_calls": [{"id": "a"}]}]}, '"function" with "name"'),
        ({"messages": [user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,@"}}])]}, "image URL"),
        ({**GOOD, "reward": "high"}, "\"reward\" must be a number, not 'high'"),
        ({**GOOD, "score": float("nan")}, '"score" must be a number, not .nan'),
        ({**GOOD, "reward": True}, '"reward" must be a number, not .True'),
        ({**GOOD, "reward": 10**400}, "a number of 401 digits"),
        ({**GOOD, "turn_rewards": [1, 2]}, '"turn_rewards" must be a list of 1 numbers'),
        ({**GOOD, "turn_rewards": ["x"]}, r"turn_rewards\[0\]"),
        ({**GOOD, "turn_rewards": [None]}, r"turn_rewards\[0\]"),
        ({**GOOD, "outcome": "meh"}, "\"outcome\" is 'meh', not one of success, failure"),
        ({**GOOD, "outcome": ["success"]}, '"outcome" is'),
        ({**GOOD, "task": 3}, '"task" must be an object or the instruction'),
        ({**GOOD, "task": {"id": 3}}, '"id" must be text, not 3'),
        ({**GOOD, "seed": "x"}, '"seed" must be a whole number'),
        ({**GOOD, "seed": 2**70}, "beyond 64 bits"),
        ({**GOOD, "id": "first"}, "a trace 'first' is there already"),
        ({**GOOD, "record": "{"}, '"record" is damaged'),
        ({**GOOD, "record": '{"turns": []}'}, '"record" has 0 turns, but the messages have 1'),
        ({**GOOD, "record": '{"turns": [{}]}'}, '"record" is damaged'),
        ({**trace_to_row(WEB), "reward": 0.0}, '"reward" is 0.0, but the oracle'),
    ],
)
def test_a_malformed_row_names_its_line_and_nothing_is_imported(tmp_path, row, message):
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join([json.dumps({**GOOD, "id": "first"}), "", json.dumps(row)]))
    with Store(tmp_path / "run.db") as store:
        store.append(simple_trace("before"))
    with pytest.raises(UserError, match=message) as caught:
        import_messages(file, tmp_path / "run.db")
    assert f"{file}, line 3: " in str(caught.value)
    assert "\n" not in str(caught.value)
    with Store(tmp_path / "run.db") as store:
        assert [summary.id for summary in store.summaries()] == ["before"]
    with pytest.raises(UserError, match=message.replace("there already", "")):
        import_messages(file, tmp_path / "new" / "run.db")
    assert not (tmp_path / "new").exists()


message_like = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "robot"])},
    optional={
        "content": json_values
        | st.just([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]),
        "tool_calls": json_values | st.just([{"id": "a", "function": {"name": "f", "arguments": "{}"}}] * 2),
        "tool_call_id": json_values,
    },
)
row_like = st.fixed_dictionaries(
    {"messages": st.lists(message_like, max_size=4)},
    optional={"task": json_values, "reward": json_values, "turn_rewards": json_values, "id": json_values},
)


@settings(max_examples=80, deadline=None)
@given(row=row_like)
def test_any_row_is_a_trace_or_a_clear_error(row):
    try:
        trace = row_to_trace(row, "x")
    except ValueError:
        return
    assert trace_to_row(row_to_trace(trace_to_row(trace), "x")) == trace_to_row(trace)


def test_files_go_from_store_to_store(tmp_path):
    odd = simple_trace("odd")
    odd = replace(
        odd, turns=(replace(odd.turns[0], action=Action("lone \ud83d surrogate", stop=odd.turns[0].action.stop)),)
    )
    with Store(tmp_path / "a.db") as store:
        store.append_many([WEB, TOOLS, odd])
        assert export_messages(store, tmp_path / "all.jsonl", images=True, hidden=True) == 3
        assert export_messages(store, tmp_path / "plain.jsonl") == 3
        assert export_messages(store, tmp_path / "some.jsonl", outcome=Outcome.SUCCESS) == 1
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["all.jsonl", "plain.jsonl", "some.jsonl"]
    assert import_messages(tmp_path / "all.jsonl", tmp_path / "new" / "b.db") == 3
    with Store(tmp_path / "new" / "b.db") as store:
        assert list(store.traces()) == [WEB, TOOLS, odd]
        assert store.image(PICTURE.digest) == PICTURE
    with pytest.raises(UserError, match="line 1: a trace 'web-1' is there already"):
        import_messages(tmp_path / "plain.jsonl", tmp_path / "new" / "b.db")
    assert DATA_URL not in (tmp_path / "plain.jsonl").read_text()
    import_messages(tmp_path / "plain.jsonl", tmp_path / "c.db")
    with Store(tmp_path / "c.db") as store:
        export_messages(store, tmp_path / "plain-again.jsonl")
    assert (tmp_path / "plain-again.jsonl").read_bytes() == (tmp_path / "plain.jsonl").read_bytes()


def test_an_export_that_cannot_be_written_leaves_the_old_file(tmp_path):
    with Store(tmp_path / "a.db") as store:
        store.append(WEB)
        with pytest.raises(UserError, match="could not write"):
            export_messages(store, tmp_path / "no" / "folder.jsonl")
        (tmp_path / "old.jsonl").write_text("old")
        lost = replace(TOOLS, id="lost", final=Observation(images=(PICTURE,)))
        store.append(lost)
        store._db.execute("DELETE FROM images")
        with pytest.raises(UserError, match="no image"):
            export_messages(store, tmp_path / "old.jsonl", images=True)
    assert (tmp_path / "old.jsonl").read_text() == "old"
    assert not list(tmp_path.glob(".old*"))


def test_ten_thousand_parallel_calls_cost_no_more_each_than_ten():
    count = 10_000
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(count)]
    replies = [{"role": "tool", "tool_call_id": f"c{n}", "content": str(n)} for n in reversed(range(count))]
    lost = {"role": "tool", "tool_call_id": "nobody", "content": "lost"}
    messages = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "all", "tool_calls": calls}]
    began = time.process_time()
    trace = row_to_trace({"messages": [*messages, replies[0], lost, *replies[1:]]}, "x")
    assert time.process_time() - began < 8  # 14 s before, when each reply was looked for among all
    assert [turn.info["tool_call"]["id"] for turn in trace.turns] == [call["id"] for call in calls]
    assert [turn.observation.text for turn in trace.turns[1:]] == [str(n) for n in range(count - 1)]
    assert trace.final is not None
    assert trace.final.text.endswith("lost")
