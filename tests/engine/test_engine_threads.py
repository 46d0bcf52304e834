"""The engine of threads against an uncached reference, and what it promises: isolation, exact ids, ends, cancelling."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scripted_lm import ScriptedLM, follow
from test_engine_local import sharp, tiny_llama
from transformers import MistralConfig, MistralForCausalLM

from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.engine import threads as engine_threads
from turnsmith.engine.forward import Prompt
from turnsmith.engine.local import sample
from turnsmith.engine.sampling import Sampling
from turnsmith.engine.score import score
from turnsmith.engine.threads import Engine
from turnsmith.engine.tree import Limits, NoThreads, Request, Status
from turnsmith.errors import UserError

torch.set_num_threads(1)

ENDS, SPAWNS = frozenset(range(3, 60, 9)), frozenset(range(2, 60, 5))


class Toy:
    """Some tokens end a call, others spawn two or three threads that start from the last tokens said."""

    ends = ENDS | SPAWNS

    def __init__(self, rewrite=False, share=False):
        self.rewrite, self.share = rewrite, share

    def spawn(self, thread):
        if thread.ids[-1] in ENDS:
            return None
        if thread.ids[-1] == 7:
            raise ValueError("seven")
        start = list(thread.ids) if self.share else []
        return [([*start, 10 + i, *thread.ids[-2:]], i) for i in range(2 + thread.ids[-1] % 2)]

    def join(self, thread, children):
        kept = thread.ids[:-3] if self.rewrite else thread.ids
        return [*kept, 4, *(child.ids[-2] for child in children if child.status is Status.ENDED)]

    def claims(self, thread):
        return thread.ids[-2] % 2 == 0

    verifies = claims


@pytest.fixture(scope="module", params=["llama", "copy"])
def model(request):
    if request.param == "llama":
        return sharp(tiny_llama())
    return sharp(new_copy_llama(60, width=16, layers=2, heads=2, context=64))


LIMITS = Limits(window=32, threads=30, depth=2, spawns=2)


def requests(count=5):
    generator = torch.Generator().manual_seed(3)
    sizes = [int(torch.randint(1, 20, (), generator=generator)) for _ in range(count)]
    return [Request(torch.randint(2, 60, (n,), generator=generator).tolist(), 100 + i) for i, n in enumerate(sizes)]


class View:
    ids: list[int]
    status: Status


def reference(model, protocol, limits, ids, depth=0, counts=None):
    """Greedy, a token at a time over whole contexts, children one after the other: (ids, status, children)."""
    counts = [1] if counts is None else counts
    ids, spawns, below = list(ids), 0, []

    while True:
        if len(ids) >= limits.window:
            return ids, Status.WINDOW, below
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] not in protocol.ends:
            continue
        view = View()
        view.ids = ids
        try:
            asked = protocol.spawn(view)
        except ValueError:
            return ids, Status.FAILED, below
        if asked is None:
            return ids, Status.ENDED, below
        if depth >= limits.depth or spawns >= limits.spawns or counts[0] + len(asked) > limits.threads:
            return ids, Status.FAILED, below
        spawns += 1
        counts[0] += len(asked)
        group = []
        for prompt, _ in asked:
            child = View()
            child.ids, child.status, grandchildren = reference(model, protocol, limits, prompt, depth + 1, counts)
            group.append(child)
            below.append((child.ids, child.status, grandchildren))
        ids = list(protocol.join(view, group))


def nested(thread):
    return thread.ids, thread.status, [nested(child) for child in thread.children]


@pytest.mark.parametrize(("rewrite", "share"), [(False, False), (True, True)])
def test_greedy_trees_equal_an_uncached_reference(model, rewrite, share, monkeypatch):
    limits = replace(LIMITS, threads=1000)  # which thread meets this limit depends on the order of spawning
    expected = [reference(model, Toy(rewrite, share), limits, request.prompt_ids) for request in requests()]
    for rows, own_pass in ((64, 64), (3, 1)):
        monkeypatch.setattr(engine_threads, "_PASS", own_pass)
        engine = Engine(model, Toy(rewrite, share), limits, temperature=0, rows=rows)
        trees = engine.run(requests())
        assert [nested(tree.root) for tree in trees] == expected
        assert engine.stats.reused > 0
        assert engine.stats.prefilled > 0 or own_pass > 1
    seen = [thread for tree in trees for thread in tree.threads]
    assert {thread.status for thread in seen} >= {Status.ENDED, Status.FAILED}
    assert max(thread.depth for thread in seen) == 2


def summary(trees):
    return [
        [(t.ids, t.status, t.own, t.clock, t.spawned_at, t.joined_at, t.parent and t.parent.id) for t in tree.threads]
        for tree in trees
    ]


@pytest.mark.parametrize("abreast", [None, 1, 2])
@pytest.mark.parametrize("cancel", ["never", "claimed", "verified"])
def test_trees_do_not_depend_on_what_shares_the_batch(model, cancel, abreast):
    limits = replace(LIMITS, cancel=cancel, threads=1000, abreast=abreast)
    wide = Engine(model, Toy(), limits, temperature=2.0, rows=64)
    narrow = Engine(model, Toy(), limits, temperature=2.0, rows=2)
    together = wide.run(requests(9))
    assert summary(together) == summary(narrow.run(requests(9)))
    assert summary(together)[:2] == [summary(wide.run([request]))[0] for request in requests(9)[:2]]
    cancelled = [t for tree in together for t in tree.threads if t.status is Status.CANCELLED]
    assert bool(cancelled) == (cancel != "never")


@pytest.mark.parametrize("abreast", [None, 2])
@pytest.mark.parametrize("seed", [55, 56])  # 55: a child ran past its parent's deadline and was cut to a time before it
def test_what_ran_ahead_of_a_success_leaves_no_trace(seed, abreast):
    model = sharp(tiny_llama(seed))
    limits = replace(LIMITS, cancel="claimed", threads=1000, abreast=abreast)
    wide, narrow = (Engine(model, Toy(), limits, temperature=2.0, rows=rows).run(requests(9)) for rows in (64, 2))
    assert summary(wide) == summary(narrow)


def test_a_first_success_stops_its_siblings_at_the_same_clock(model):
    never = Engine(model, Toy(), replace(LIMITS, depth=1), temperature=2.0).run(requests(25))
    first = Engine(model, Toy(), replace(LIMITS, depth=1, cancel="verified"), temperature=2.0).run(requests(25))
    saved = 0
    for before, after in zip(never, first, strict=True):
        for group, whole in zip(after.root.groups[:1], before.root.groups[:1], strict=True):
            won = [t.clock for t in whole if t.status is Status.ENDED and Toy().claims(t)]
            for thread, uncut in zip(group, whole, strict=True):
                if won and uncut.clock > min(won):
                    assert thread.status is Status.CANCELLED
                    assert thread.clock == min(won)
                    assert uncut.ids[: len(thread.ids)] == thread.ids
                    saved += uncut.own - thread.own
                else:
                    assert (thread.ids, thread.status) == (uncut.ids, uncut.status)
    assert saved > 0


def test_children_one_after_the_other_say_the_same_up_to_the_first_success(model):
    limits = replace(LIMITS, depth=1, spawns=1)
    wide = Engine(model, Toy(), limits, temperature=2.0).run(requests(25))
    never = Engine(model, Toy(), replace(limits, abreast=1), temperature=2.0).run(requests(25))
    first = Engine(model, Toy(), replace(limits, abreast=1, cancel="verified"), temperature=2.0).run(requests(25))
    spared = 0
    for whole, sequence, cancelled in zip(wide, never, first, strict=True):
        assert [(t.ids, t.status) for t in sequence.threads] == [(t.ids, t.status) for t in whole.threads]
        children = sequence.root.children
        assert sequence.critical_path == whole.critical_path + (
            sum(t.own for t in children) - max((t.own for t in children), default=0)
        )
        won = [place for place, t in enumerate(children) if t.status is Status.ENDED and Toy().claims(t)]
        begun = children[: won[0] + 1] if won else children
        assert [t.ids for t in cancelled.root.children if t.calls] == [t.ids for t in begun]
        for thread in cancelled.root.children[len(begun) :]:
            assert (thread.status, thread.own, thread.clock) == (Status.CANCELLED, 0, begun[-1].clock)
        spared += len(children) - len(begun)
    assert spared > 0


def test_plain_sampling_equals_the_local_sampler(model):
    prompts = [Prompt(request.prompt_ids) for request in requests()]
    seeds = [request.seed for request in requests()]
    drawn = sample(model, prompts, seeds, Sampling(temperature=1.5, max_new_tokens=15), tuple(ENDS))
    trees = Engine(model, NoThreads(tuple(ENDS)), Limits(window=64), temperature=1.5, rows=5).run(
        [replace(request, window=len(request.prompt_ids) + 15) for request in requests()]
    )
    for one, tree in zip(drawn, trees, strict=True):
        call = tree.root.calls[0]
        assert tuple(call.token_ids) == one.token_ids
        np.testing.assert_allclose(call.logprobs, one.logprobs, atol=1e-4)


def test_a_sliding_window_model_is_served_exactly():
    config = MistralConfig(
        vocab_size=60,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        sliding_window=7,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = sharp(MistralForCausalLM(config))
    limits = replace(LIMITS, threads=1000)  # see above
    expected = [reference(model, Toy(), limits, request.prompt_ids) for request in requests(5)]
    trees = [Engine(model, Toy(), limits, temperature=0).run([request])[0] for request in requests(5)]
    assert [nested(tree.root) for tree in trees] == expected


def test_recorded_log_probabilities_score_again_to_the_same(model):
    trees = Engine(model, Toy(), LIMITS, temperature=1.0).run(requests())
    calls = [call for tree in trees for thread in tree.threads for call in thread.calls if call.token_ids]
    scored = score(model, [Prompt(call.prompt_ids) for call in calls], [call.token_ids for call in calls])
    for call, again in zip(calls, scored, strict=True):
        chosen = np.array(call.sampled)
        np.testing.assert_allclose(np.array(call.logprobs)[chosen], np.array(again)[chosen], atol=2e-4)
        assert not np.array(call.logprobs)[~chosen].any()
    assert any(not all(call.sampled) for call in calls)


def test_the_critical_path_is_parent_slowest_child_parent():
    # the root says 9, spawns; children write 3 and 1 tokens; the root goes on with 2 more
    sequences = [[10, 9, 2, 8, 31, 3], [11, 9, 2, 3], [20, 9, 2, 4, 31, 2, 6, 6, 3]]
    script = follow(sequences)
    tree = Engine(ScriptedLM(script, 60), Toy(), Limits(window=40), temperature=0).run([Request([20], 0)])[0]  # type: ignore
    assert [thread.ids for thread in tree.threads] == [
        [20, 9, 2, 4, 31, 2, 6, 6, 3],
        [10, 9, 2, 8, 31, 3],
        [11, 9, 2, 3],
    ]
    one, two = tree.threads[1:]
    assert (one.own, two.own, one.start, one.clock) == (3, 1, 2, 5)
    assert (one.spawned_at, one.joined_at) == (2, 2)
    assert tree.critical_path == 2 + 3 + 3
    assert tree.longest == 9
    assert tree.total == 9 + 6 + 4


def test_a_failed_thread_fails_alone():
    class Broken(Toy):
        def spawn(self, thread):
            if thread.depth == 1 and thread.ids[0] == 10:
                raise KeyError("hostile text")
            return super().spawn(thread)

    script = follow([[20, 9, 2, 4, 2, 3], [10, 9, 2, 3], [11, 9, 2, 3]])
    engine = Engine(ScriptedLM(script, 60), Broken(), Limits(window=40), temperature=0)  # type: ignore
    root, broken, fine = engine.run([Request([20], 0)])[0].threads
    assert (broken.status, broken.reason) == (Status.FAILED, "KeyError: 'hostile text'")
    assert (fine.status, root.status) == (Status.ENDED, Status.ENDED)
    assert root.ids == [20, 9, 2, 4, 2, 3]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(window=40, threads=2), "more than 2 threads"),
        (Limits(window=40, depth=0), "may not spawn"),
        (Limits(window=40, spawns=0), "more than 0 spawns"),
    ],
)
def test_limits_are_typed_outcomes(limits, reason):
    engine = Engine(ScriptedLM(follow([[20, 9, 2]]), 60), Toy(), limits, temperature=0)  # type: ignore
    root = engine.run([Request([20], 0)])[0].root
    assert root.status is Status.FAILED
    assert reason in root.reason


def test_a_thread_that_never_ends_is_ended_by_its_window():
    engine = Engine(ScriptedLM(lambda context: 31, 60), Toy(), Limits(window=25), temperature=0)  # type: ignore
    root = engine.run([Request([20], 0)])[0].root
    assert (root.status, len(root.ids), root.own) == (Status.WINDOW, 25, 24)


def test_a_parent_that_spawns_for_ever_is_ended_even_where_joins_shrink_it():
    class Shrinking(Toy):
        def join(self, thread, children):
            return [20]

    def script(context):
        return 2 if len(context) < 4 and context[0] == 20 else 3

    engine = Engine(ScriptedLM(script, 60), Shrinking(), Limits(window=25, spawns=5), temperature=0)  # type: ignore
    root = engine.run([Request([20], 0)])[0].root
    assert root.status is Status.FAILED
    assert len(root.groups) == 5


def test_a_window_too_small_for_the_prompt_is_an_outcome():
    root = Engine(ScriptedLM(follow([]), 60), Toy(), Limits(window=5)).run([Request([20] * 5, 0)])[0].root  # type: ignore
    assert (root.status, root.own) == (Status.WINDOW, 0)
    assert "5 tokens in a window of 5" in root.reason


def test_what_cannot_work_is_said_at_once(model):
    with pytest.raises(UserError, match="larger than the model's context of 64"):
        Engine(model, Toy(), Limits(window=65))
    with pytest.raises(ValueError, match="at least one token"):
        Engine(model, Toy(), Limits(window=64)).run([Request([], 0)])
    assert Engine(model, Toy(), Limits(window=64)).run([]) == []
