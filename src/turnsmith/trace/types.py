"""The vocabulary of Turnsmith: what a task is, what happened on each turn, and what came of it.

Every other room reads and writes these nouns; this file imports nothing of the project. All of them are frozen: a trace
is a record. `dataclasses.replace` makes the changed copy (a verdict added, an advantage filled in).

Notable:
- An action keeps the exact token ids that were sampled, and those of the prompt, so that nothing is ever re-tokenised
  between sampling, scoring and training.
- A trace is a tree, not a list: turns carry the id of their thread, and threads name their parent. An ordinary episode
  has the one thread 0.
- `Task.hidden` is training-time information. It never reaches an actor's prompt.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """Why an episode ended, and what came of it. Only the first three carry a reward."""

    SUCCESS = "success"
    """The agent ended the episode and the reward that the run trains on says it succeeded."""
    FAILURE = "failure"
    """The agent ended the episode (or the environment did) and did not succeed."""
    TRUNCATED = "truncated"
    """The horizon or a token budget ran out before the agent was done."""
    UNJUDGED = "unjudged"
    """The episode ended, and nobody has said what it was worth: no oracle, no judge. It is in no rate until one has."""
    INFRA_ERROR = "infra_error"
    """The browser, a worker or an endpoint failed: kept out of every loss and metric, and counted."""


class StopReason(StrEnum):
    """Why the sampling of one action ended."""

    EOS = "eos"
    """The model emitted an end-of-sequence (or end-of-turn) token; it is the last of `token_ids`."""
    STOP = "stop"
    """A stop string matched, or control was handed over (a spawn, a join)."""
    LENGTH = "length"
    """The limit on new tokens was reached."""
    REFUSAL = "refusal"
    """The served model refused in words of its own, which are the text."""
    TOOL_CALL = "tool_call"
    """The served model called a tool of its protocol instead of writing text."""
    NONE = "none"
    """Not sampled from a model: a scripted policy or an import."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something the agent is asked to do.

    Attributes:
        id: unique within a task file or generator; the same id always means the same task.
        instruction: what the agent reads.
        environment: the name of the environment, such as "browser", "miniwob" or "countdown".
        params: JSON values that the environment needs to set the task up (site, start URL, world seed).
        split: "train", "validation", "test" or another name; overlap between train and test is an error.
        provenance: how the task came to be, as JSON: template and entities, proposer and prompt, or the file and line.
        hidden: JSON training-time information (goal state, reference answer). Never shown to an actor.
    """

    id: str
    instruction: str
    environment: str
    params: Mapping[str, Any] = field(default_factory=dict)
    split: str = "train"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A reference to an image by content. The bytes are at hand when the image was just made, else in the run's store.

    Attributes:
        digest: SHA-256 of the encoded bytes, in hexadecimal.
        media_type: "image/jpeg" or "image/png".
        data: the encoded bytes, or None after reading a trace back (`Store.image(digest)` fetches them).
    """

    digest: str
    media_type: str = "image/jpeg"
    data: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, data: bytes, media_type: str = "image/jpeg") -> "ImageRef":
        """Make a reference to these encoded bytes."""
        return cls(hashlib.sha256(data).hexdigest(), media_type, data)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the agent perceives before it acts.

    Attributes:
        text: the textual observation (element list, accessibility tree, tool output), as the agent may read it.
        images: screenshots and other pictures, in the order in which the agent sees them.
        error: what was wrong with the previous action, or "" (an invalid action has no other effect).
        info: further JSON that renderers and viewers use (url, title, scroll position, marks with their boxes).
    """

    text: str = ""
    images: tuple[ImageRef, ...] = ()
    error: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """An action after parsing: what the environment executes.

    Attributes:
        name: such as "click", "type", "answer", or the name of a tool.
        arguments: JSON values by argument name.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """What the agent emitted on one turn.

    Attributes:
        text: the text, complete (thought and action).
        call: the parsed call; None where the text did not parse, and then `error` says why.
        error: the parse error, or "".
        prompt_ids: token ids of the prompt that the sampler saw. Empty for scripted or imported actions.
        token_ids: the exact token ids after the prompt, the end-of-sequence token included when it was sampled.
        logprobs: natural log-probability of each of `token_ids` under the sampling policy at temperature 1.
        sampled: for each of `token_ids`, whether the policy chose it (True) or it was put there (text joined from
            another thread, a forced prefix). Empty means that all were chosen. Losses mask what was not chosen.
        stop: why sampling ended.
    """

    text: str
    call: Call | None = None
    error: str = ""
    prompt_ids: tuple[int, ...] = field(default=(), repr=False)
    token_ids: tuple[int, ...] = field(default=(), repr=False)
    logprobs: tuple[float, ...] = field(default=(), repr=False)
    sampled: tuple[bool, ...] = field(default=(), repr=False)
    stop: StopReason = StopReason.NONE


@dataclass(frozen=True, slots=True)
class Credit:
    """What a learner made of one turn.

    Attributes:
        learner: who, such as "digirl" or "digiq"; a turn may be learned from by several.
        iteration: of its learning, 0 for an offline stage.
        value: V(s) by its critic; None without one.
        advantage: how much better than that the action was: what the learner weighed the turn by; None where unknown.
    """

    learner: str
    iteration: int = 0
    value: float | None = None
    advantage: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of the loop: the agent saw, acted, and the world answered.

    Attributes:
        observation: what was seen before acting.
        action: what was emitted.
        reward: the environment's reward for this step (most environments give 0 until the end).
        credits: what learners made of this turn, the latest last (`credit.record` writes them).
        thread: the id of the thread that acted; 0 is the root.
        act_seconds: wall-clock time of sampling the action.
        env_seconds: wall-clock time of executing it and observing again.
        info: further JSON (what the action touched on screen, candidate scores).
    """

    observation: Observation
    action: Action
    reward: float = 0.0
    credits: tuple[Credit, ...] = ()
    thread: int = 0
    act_seconds: float = 0.0
    env_seconds: float = 0.0
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """V(s) by the learner that was last here; None where none was, or it has no critic."""
        return self.credits[-1].value if self.credits else None

    @property
    def advantage(self) -> float | None:
        """The credit of this turn by the learner that was last here; None where none was."""
        return self.credits[-1].advantage if self.credits else None


@dataclass(frozen=True, slots=True)
class Thread:
    """A line of action inside a trace: APR's spawned children, forks and retries.

    Attributes:
        id: 0 is the root; others count up in order of spawning.
        parent: the spawning thread; None for the root.
        spawned_at: how many tokens or turns of the parent lay before the spawn.
        joined_at: likewise for the join; None when it never joined.
        status: "joined", "cancelled", "failed" or "running".
        delay: how many tokens or turns of its siblings passed between the spawn and its beginning (few run abreast).
    """

    id: int
    parent: int | None = None
    spawned_at: int = 0
    joined_at: int | None = None
    status: str = "joined"
    delay: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's opinion of a trace, or of one of its turns.

    Attributes:
        judge: the judge's name. "oracle" is the programmatic ground truth of the environment.
        reward: usually 0 or 1.
        reason: why, in a sentence.
        turn: the index of the turn it speaks of; None for the whole trace.
    """

    judge: str
    reward: float
    reason: str = ""
    turn: int | None = None


ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class Trace:
    """One episode, whole.

    Attributes:
        id: unique within a run.
        task: what was asked.
        turns: in the order in which they happened.
        outcome: why it ended.
        verdicts: what judges said, the oracle among them.
        policy: the version of the policy that acted, such as "step-40".
        seed: the seed of the episode (environment and sampling).
        created_at: seconds since the epoch, UTC, at the start of the episode.
        final: what was to be seen after the last action; None where nothing could be observed.
        threads: the thread table; empty means the one root thread.
        info: further JSON: "infra_error" (its kind), "phase" ("train", "eval"), "iteration", blocked requests.
    """

    id: str
    task: Task
    turns: tuple[Turn, ...] = ()
    outcome: Outcome = Outcome.FAILURE
    verdicts: tuple[Verdict, ...] = ()
    policy: str = ""
    seed: int = 0
    created_at: float = 0.0
    final: Observation | None = None
    threads: tuple[Thread, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)

    def reward(self, judge: str = ORACLE) -> float | None:
        """The episode's reward by this judge's last whole-trace verdict; None if it never judged or infra failed."""
        if self.outcome is Outcome.INFRA_ERROR:
            return None
        for verdict in reversed(self.verdicts):
            if verdict.judge == judge and verdict.turn is None:
                return verdict.reward
        return None

    @property
    def answer(self) -> str | None:
        """The text of the closing `answer` call, or None where the agent never answered."""
        if self.turns and (call := self.turns[-1].action.call) is not None and call.name == "answer":
            return str(call.arguments.get("text", ""))
        return None


@dataclass(frozen=True, slots=True)
class Label:
    """A person's mark on a trace or a turn, used to check judges.

    Attributes:
        trace_id: which trace.
        correct: was the outcome (or this turn) right.
        turn: the index of the turn; None for the outcome.
        note: free text.
        created_at: seconds since the epoch, UTC.
    """

    trace_id: str
    correct: bool
    turn: int | None = None
    note: str = ""
    created_at: float = 0.0
