"""The engine of threads: many trees of inference, all their threads in one batch.

A thread is a context that grows. When a model's call ends in a spawn, each child starts as a row of its own, its parent
is set aside (keys and values kept), and when the last child has ended the parent comes back with their results joined
to its text. Every row of the batch may belong to another tree, and rows come and go at every token (continuous
batching): a thread that waits costs nothing. What spawning and joining look like is a `ThreadProtocol`'s business; this
file knows only token ids.

Notable:
- Exact ids: what was sampled stays; only joined text is put in between, and is marked as not sampled.
- A thread depends on its own context and seed, never on what shares the batch. That includes cancelling: time is a
  tree's own clock, which counts the tokens on the way from the root (a parent's clock jumps to its last child's), so
  which threads a first success cancels, and where, is the same on a full machine and on an empty one.
- Both joins are one rule: a join gives the whole new context, and the longest prefix that equals the old one keeps its
  keys and values. Appending reuses all of them; the paper's rewriting join those before the spawn block. Children, too,
  reuse what their prompt shares with their parent's text.
- Short contexts are fed a token a step beside the others, longer ones in a pass of their own: for a small model on a
  CPU a forward pass costs as much as sixty tokens in a batch.
- How many children run side by side can be limited: the next takes the place of an earlier one, at its clock. With
  cancelling this does less in vain, for a longer critical path.
- Nothing waits for ever: every thread ends at its window, a tree has so many threads, a thread so many spawns. A thread
  that fails ends alone, with its reason, and joins as one without a result.
"""

import hashlib
import heapq
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from turnsmith.engine.draw import Uniforms, draw
from turnsmith.engine.models import LanguageModel, context_of, rope_switch
from turnsmith.engine.rows import Kept, Rows
from turnsmith.engine.tree import (
    SIBLING,
    CallRecord,
    Limits,
    Request,
    Stats,
    Status,
    Thread,
    ThreadProtocol,
    Tree,
    cut,
    never_began,
    numbered,
    set_deadline,
)
from turnsmith.errors import UserError

_PASS = 64
"""Tokens from which a pass of their own is cheaper than one a step (measured at 1 M parameters on two cores)."""


class Engine:
    """Runs trees of threads on one model. `stats` adds up over calls of `run`."""

    def __init__(
        self,
        model: LanguageModel,
        protocol: ThreadProtocol,
        limits: Limits,
        temperature: float = 1.0,
        top_p: float = 1.0,
        *,
        rows: int = 64,
        pass_tokens: int = 8192,
        stopped: Callable[[list[int]], bool] | None = None,
    ) -> None:
        """Put a model and a protocol together.

        Args:
            model: a Hugging Face causal LM in `eval()` mode.
            protocol: how threads spawn and join.
            limits: of every tree.
            temperature, top_p: see `engine.sampling.Sampling`.
            rows: threads decoded at once.
            pass_tokens: padded tokens of one prefill.
            stopped: whether a call that wrote these tokens has ended, beside its end tokens (stop strings).

        Raises:
            UserError: if the window is larger than the model's context, or than what its rotary embedding reads alike.
        """
        self.model, self.protocol, self.limits = model, protocol, limits
        self.temperature, self.top_p = temperature, top_p
        context = context_of(model)
        if context and limits.window > context:
            raise UserError(f"a window of {limits.window} tokens is larger than the model's context of {context}.")
        switch = rope_switch(model)
        if switch is not None and limits.window > switch + 1:  # the last token of a window is never read
            raise UserError(
                f"a window of {limits.window} tokens, but this model's rotary embedding changes beyond {switch}: the "
                "engine of threads serves it up to there."
            )
        self.rows, self.pass_tokens, self.stopped = rows, pass_tokens, stopped
        self.stats = Stats()

    def run(self, requests: Sequence[Request]) -> list[Tree]:
        """Run all requests to their ends.

        Raises:
            ValueError: if a prompt is empty.
        """
        if not all(len(request.prompt_ids) for request in requests):
            raise ValueError("a prompt needs at least one token")
        began = time.perf_counter()
        with torch.inference_mode():
            trees = _Run(self, requests).finish()
        self.stats.seconds += time.perf_counter() - began
        return trees


class _Run:
    """The state of one call of `Engine.run`."""

    def __init__(self, engine: Engine, requests: Sequence[Request]) -> None:
        self.engine, self.protocol, self.limits, self.stats = engine, engine.protocol, engine.limits, engine.stats
        self.rows = Rows(engine.model, engine.rows)
        self.active: list[Thread] = []
        self.ready: list[tuple[int, int, Thread]] = []
        self.counts = [1] * len(requests)
        self.started = 0
        self.roots: list[Thread] = []
        for tree, request in enumerate(requests):
            window = request.window or self.limits.window
            root = Thread(None, request.state, 0, list(request.prompt_ids), window, request.seed, tree)
            self.roots.append(root)
            self.begin(root)

    def finish(self) -> list[Tree]:
        while self.ready or self.active:
            self.admit()
            if self.active:
                self.step()
        return [Tree(tuple(numbered(root))) for root in self.roots]

    # -- threads enter and leave the batch

    def begin(self, thread: Thread) -> None:
        """Start a call with the thread's present context."""
        thread.calls.append(CallRecord(list(thread.ids), thread.clock))
        self.queue(thread)

    def queue(self, thread: Thread) -> None:
        if len(thread.ids) >= thread.window:
            self.end(thread, Status.WINDOW, f"{len(thread.ids)} tokens in a window of {thread.window}")
            return
        thread.pending = thread.ids[thread.kept.length if thread.kept else 0 :]
        thread.order = self.started  # earlier trees first, so that they end and make room
        self.started += 1
        heapq.heappush(self.ready, (thread.tree, thread.order, thread))

    def admit(self) -> None:
        """Fill the batch from the threads that are ready."""
        entering: list[Thread] = []
        while self.ready and len(self.active) + len(entering) < self.engine.rows:
            thread = heapq.heappop(self.ready)[2]
            if thread.status is None:
                entering.append(thread)
        fresh = [thread for thread in entering if thread.kept is None]
        if sum(len(thread.pending) - 1 for thread in fresh) >= _PASS:
            self.prefill(fresh)
        for thread in entering:
            if thread.kept is not None and len(thread.pending) > _PASS:
                self.stats.prefilled += len(thread.pending) - 1
                thread.kept = self.rows.extend(thread.kept, thread.pending[:-1])
                thread.pending = thread.pending[-1:]
            self.rows.add(thread.kept)
            thread.kept = None
            self.active.append(thread)

    def prefill(self, threads: Sequence[Thread]) -> None:
        """All but the last token of these contexts, in as few passes as `pass_tokens` allows."""
        waiting = sorted((thread for thread in threads if len(thread.pending) > 1), key=lambda one: -len(one.pending))
        while waiting:
            count = max(1, self.engine.pass_tokens // len(waiting[0].pending))
            group, waiting = waiting[:count], waiting[count:]
            kept = self.rows.prefill([thread.pending[:-1] for thread in group])
            distinct = {tuple(thread.pending[:-1]) for thread in group}
            self.stats.prefilled += sum(map(len, distinct))
            self.stats.reused += sum(len(thread.pending) - 1 for thread in group) - sum(map(len, distinct))
            for thread, cache in zip(group, kept, strict=True):
                thread.kept, thread.pending = cache, thread.pending[-1:]

    def leave(self, thread: Thread) -> None:
        row = self.active.index(thread)
        self.rows.remove(row)
        last = self.active.pop()
        if row < len(self.active):
            self.active[row] = last

    # -- one token for every row

    def step(self) -> None:
        fed = [thread.pending.pop(0) for thread in self.active]
        logits = self.rows.step(fed)
        drawing = [row for row, thread in enumerate(self.active) if not thread.pending]
        self.stats.steps += 1
        self.stats.row_steps += len(fed)
        self.stats.sampled += len(drawing)
        self.stats.fed += len(fed) - len(drawing)
        if not drawing:
            return
        threads = [self.active[row] for row in drawing]
        if len(drawing) < len(fed):
            logits = logits[drawing]
        if self.engine.temperature == 0:
            chosen = logits.argmax(dim=-1)
        else:
            uniform = torch.tensor([_uniform(thread) for thread in threads], dtype=torch.double, device=logits.device)
            chosen = draw(logits, uniform, self.engine.temperature, self.engine.top_p)
        logprobs = logits.log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0].tolist()
        for thread, token, logprob in zip(threads, chosen.tolist(), logprobs, strict=True):
            call = thread.calls[-1]
            call.token_ids.append(token)
            call.logprobs.append(logprob)
            call.sampled.append(True)
            thread.ids.append(token)
            thread.pending.append(token)
            thread.own += 1
            call.clocks.append(thread.clock)
        stopped = self.engine.stopped
        for thread in threads:
            if thread.status is not None:  # cancelled by a sibling that ended in this very step
                continue
            if thread.ids[-1] in self.protocol.ends:
                self.call_ended(thread)
            elif stopped is not None and stopped(thread.calls[-1].token_ids):
                self.end(thread, Status.ENDED, "a stop string")
            elif len(thread.ids) >= thread.window:
                self.end(thread, Status.WINDOW, f"the window of {thread.window} tokens is full")
            elif thread.clock >= thread.deadline:
                self.end(thread, Status.CANCELLED, SIBLING)

    def call_ended(self, thread: Thread) -> None:
        try:
            asked = self.protocol.spawn(thread)
            if asked is not None:
                self.check(thread, asked)
        except Exception as error:  # whatever a thread's text does to its protocol is that thread's failure alone
            self.end(thread, Status.FAILED, _reason(error))
            return
        if asked is None:
            self.end(thread, Status.ENDED, "")
            return
        if thread.clock >= thread.deadline:
            self.end(thread, Status.CANCELLED, SIBLING)
            return
        kept = self.rows.keep(self.active.index(thread))
        self.leave(thread)
        thread.kept = kept
        group = [self.child(thread, place, prompt, state, kept) for place, (prompt, state) in enumerate(asked)]
        self.counts[thread.tree] += len(group)
        thread.groups.append(group)
        thread.waiting = True
        for child in group[: self.limits.abreast]:
            self.begin(child)

    def check(self, thread: Thread, asked: Sequence[tuple[list[int], Any]]) -> None:
        if not asked or not all(prompt for prompt, _ in asked):
            raise ValueError("a spawn needs children, and each a prompt")
        if thread.depth >= self.limits.depth:
            raise ValueError(f"a thread at depth {thread.depth} may not spawn")
        if len(thread.groups) >= self.limits.spawns:
            raise ValueError(f"more than {self.limits.spawns} spawns of one thread")
        if self.counts[thread.tree] + len(asked) > self.limits.threads:
            raise ValueError(f"more than {self.limits.threads} threads in one tree")

    def child(self, parent: Thread, place: int, prompt: list[int], state: Any, kept: Kept) -> Thread:
        key = _key(parent.key, len(parent.groups), place)
        child = Thread(parent, state, parent.depth + 1, list(prompt), parent.window, key, parent.tree, parent.clock)
        child.deadline, child.spawned_at = parent.deadline, parent.written
        shared = min(_common(prompt, parent.ids), kept.length, len(prompt) - 1)
        if shared:
            child.kept = kept.first(shared)
            self.stats.reused += shared
        return child

    # -- ends and joins

    def end(self, thread: Thread, status: Status, reason: str) -> None:
        if thread.status is not None:
            return
        thread.status, thread.reason = status, reason
        if thread in self.active:
            self.leave(thread)
        thread.kept = None
        parent = thread.parent
        if parent is None or parent.status is not None:
            return
        group = parent.groups[-1]
        if self.limits.cancel != "never" and status is Status.ENDED and self.succeeded(thread):
            for sibling in group:
                set_deadline(sibling, thread.clock)
            for sibling in group:
                self.stop(sibling)
        self.follow(thread, group)
        if parent.waiting and all(child.status is not None for child in group):
            parent.waiting = False
            self.join(parent, group)

    def follow(self, thread: Thread, group: Sequence[Thread]) -> None:
        """Let the sibling begin that waited for this thread's place; which one it is does not depend on the machine."""
        place = group.index(thread) + (self.limits.abreast or len(group))
        if place < len(group) and group[place].status is None:
            following = group[place]
            following.start = thread.clock
            if following.clock < following.deadline:
                self.begin(following)
            else:
                never_began(following, int(following.deadline))
                self.follow(following, group)

    def succeeded(self, thread: Thread) -> bool:
        if thread.clock > thread.deadline:
            return False
        check = self.protocol.claims if self.limits.cancel == "claimed" else self.protocol.verifies
        try:
            return check(thread)
        except Exception:
            return False

    def stop(self, thread: Thread) -> None:
        """End a thread, and all below it, that is past its deadline."""
        if thread.status is not None:
            return
        if thread.waiting:
            for child in thread.groups[-1]:
                self.stop(child)
            return
        # A token that ends a call, said at the very deadline, still counts; `step` is about to see it.
        last_word = thread.clock == thread.deadline and thread.own and thread.ids[-1] in self.protocol.ends
        if thread.clock >= thread.deadline and not last_word:
            self.end(thread, Status.CANCELLED, SIBLING)

    def join(self, parent: Thread, group: Sequence[Thread]) -> None:
        for child in group:  # first of all: what ran ahead of a success must not count as time that the parent waited
            cut(child)
        if max(child.clock for child in group) >= parent.deadline:
            parent.waited += max(child.clock for child in group) - parent.clock
            self.end(parent, Status.CANCELLED, SIBLING)
            return
        parent.waited += max(child.clock for child in group) - parent.clock
        old, kept = parent.ids, parent.kept
        try:
            context = list(self.protocol.join(parent, group))
            if not context:
                raise ValueError("a join needs a context")
        except Exception as error:
            self.end(parent, Status.FAILED, _reason(error))
            return
        shared = min(_common(context, old), len(context) - 1)
        parent.ids = context
        for child in group:
            child.joined_at = parent.written
        if kept is not None:
            parent.kept = kept.first(min(shared, kept.length)) if shared else None
            self.stats.reused += min(shared, kept.length)
        if shared == len(old):  # appended: the call goes on, with text in it that nobody sampled
            joined = context[len(old) :]
            call = parent.calls[-1]
            call.token_ids += joined
            call.logprobs += [0.0] * len(joined)
            call.sampled += [False] * len(joined)
            call.clocks += [parent.clock] * len(joined)
            self.queue(parent)
        else:
            self.begin(parent)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common prefix."""
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length


def _reason(error: Exception) -> str:
    return str(error) if type(error).__name__ in ("ParseError", "ValueError") else f"{type(error).__name__}: {error}"


def _key(parent: int, group: int, place: int) -> int:
    """The key of a child's random stream."""
    digest = hashlib.sha256(f"{parent}/{group}/{place}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _uniform(thread: Thread) -> float:
    if thread.uniforms is None:
        thread.uniforms = Uniforms(thread.key)
    return thread.uniforms.next()
