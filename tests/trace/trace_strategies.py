"""Arbitrary traces for property tests: every field, any text (NUL and lone surrogates too), numbers to their limits."""

from hypothesis import strategies as st

from turnsmith.trace import (
    Action,
    Call,
    Credit,
    ImageRef,
    Observation,
    Outcome,
    StopReason,
    Task,
    Thread,
    Trace,
    Turn,
    Verdict,
)

texts = st.text(st.characters(codec=None), max_size=12)
int64 = st.integers(-(2**63), 2**63 - 1)
token_ids = st.integers(0, 2**31 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | int64 | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
images = st.builds(
    ImageRef.of, st.binary(max_size=40).map(lambda data: b"image" + data), st.sampled_from(["image/jpeg", "image/png"])
)
observations = st.builds(
    Observation, text=texts, images=st.lists(images, max_size=2).map(tuple), error=texts, info=json_objects
)


@st.composite
def actions(draw: st.DrawFn) -> Action:
    ids = tuple(draw(st.lists(token_ids, max_size=4)))
    per_token = st.sampled_from([0, len(ids)])
    logprobs = st.floats(max_value=0, allow_nan=False)  # a forced token may have probability 0
    return Action(
        text=draw(texts),
        call=draw(st.none() | st.builds(Call, texts, json_objects)),
        error=draw(texts),
        prompt_ids=tuple(draw(st.lists(token_ids, max_size=4))),
        token_ids=ids,
        logprobs=tuple(draw(st.lists(logprobs, min_size=(n := draw(per_token)), max_size=n))),
        sampled=tuple(draw(st.lists(st.booleans(), min_size=(n := draw(per_token)), max_size=n))),
        stop=draw(st.sampled_from(StopReason)),
    )


credits = st.builds(Credit, learner=texts, iteration=int64, value=st.none() | finite, advantage=st.none() | finite)
turns = st.builds(
    Turn,
    observation=observations,
    action=actions(),
    reward=finite,
    credits=st.lists(credits, max_size=2, unique_by=lambda credit: (credit.learner, credit.iteration)).map(tuple),
    thread=int64,
    act_seconds=finite,
    env_seconds=finite,
    info=json_objects,
)
tasks = st.builds(
    Task,
    id=texts,
    instruction=texts,
    environment=texts,
    params=json_objects,
    split=texts,
    provenance=json_objects,
    hidden=json_objects,
)
verdicts = st.builds(Verdict, judge=texts, reward=finite, reason=texts, turn=st.none() | st.integers(0, 5))
threads = st.builds(
    Thread,
    id=int64,
    parent=st.none() | int64,
    spawned_at=int64,
    joined_at=st.none() | int64,
    status=st.sampled_from(["joined", "cancelled", "failed", "running"]),
    delay=int64,
)
traces = st.builds(
    Trace,
    id=texts,
    task=tasks,
    turns=st.lists(turns, max_size=3).map(tuple),
    outcome=st.sampled_from(Outcome),
    verdicts=st.lists(verdicts, max_size=3).map(tuple),
    policy=texts,
    seed=int64,
    created_at=finite,
    final=st.none() | observations,
    threads=st.lists(threads, max_size=2).map(tuple),
    info=json_objects | st.fixed_dictionaries({"phase": texts, "iteration": int64}),
)


def simple_trace(trace_id: str, images_of: bytes | None = None, turn_count: int = 2, **fields) -> Trace:
    """A small ordinary trace; with `images_of`, each turn has one image that starts with these bytes."""
    made = []
    for position in range(turn_count):
        pictures = () if images_of is None else (ImageRef.of(images_of + bytes([position])),)
        action = Action("Action: Click [1]", Call("click", {"mark": 1}), token_ids=(5, 6), logprobs=(-0.5, -0.25))
        made.append(Turn(Observation(f"step {position}", pictures), action))
    return Trace(trace_id, Task(f"task-{trace_id}", "do it", "browser"), tuple(made), **fields)
