"""Dialogues of the small policies, many at once: a turn of all of them is one batch.

A dialogue is one growing sequence of tokens, so what was sampled is what is trained, and an episode is one example.
`scripted` plays the mixed-quality agent whose dialogues a small model is pre-trained on.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from turnsmith.engine.forward import Prompt
from turnsmith.engine.local import sample
from turnsmith.engine.sampling import Sampling, turn_seed
from turnsmith.trace.types import ORACLE, Action, Observation, Outcome, Task, Trace, Turn, Verdict
from turnsmith.worlds.programs import dialogue
from turnsmith.worlds.programs.dialogue import AGENT, HIDDEN, TASK, USER, User
from turnsmith.worlds.programs.spec import NAMES, SLOTS

HORIZON = 8
MOST_TOKENS = 12


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word; `<pad>` is 0 and `<eos>` 1."""
    words = ("<pad>", "<eos>", *dialogue.WORDS)
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", padding_side="left")


class Words:
    """Words to ids and back, without the detour through a tokenizer's machinery."""

    def __init__(self) -> None:
        self._words = ("<pad>", "<eos>", *dialogue.WORDS)
        self._ids = {word: index for index, word in enumerate(self._words)}
        self.eos = 1

    def ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._ids[word] for word in text.split())

    def text(self, ids: Sequence[int]) -> str:
        return " ".join(self._words[index] for index in ids if index > self.eos)


WORDS = Words()


def first_prompt(task: Task) -> str:
    """What the agent reads first."""
    return f"{TASK} {task.instruction} {AGENT}"


def hidden_prefix(task: Task) -> tuple[int, ...]:
    """The training-time information as tokens: in front of what a critic reads, never of an actor's prompt."""
    return WORDS.ids(f"{HIDDEN} {task.hidden['words']}")


@dataclass(slots=True)
class _Playing:
    task: Task
    seed: int
    user: User
    ids: list[int]
    observation: str
    turns: list[Turn] = field(default_factory=list)
    answer: str | None = None
    done: bool = False

    def take(self, action: Action) -> None:
        """Act, and hear the reply."""
        hurried = dialogue.HURRY in self.observation
        last = hurried or len(self.turns) + 1 == HORIZON
        self.turns.append(Turn(Observation(self.observation), action))
        answered = action.call is not None and action.call.name == "answer"
        if answered and action.call is not None:
            self.answer = str(action.call.arguments["text"])
        if answered or last:
            self.done = True
            return
        self.observation = self.user.reply(action)
        self.ids += [*action.token_ids, *WORDS.ids(f"{USER} {self.observation} {AGENT}")]

    def trace(self, policy: str, phase: str, iteration: int) -> Trace:
        """What came of it."""
        results = [] if self.answer is None else dialogue.passed(self.task, self.answer)
        won = bool(results) and all(results)
        outcome = Outcome.TRUNCATED if self.answer is None else Outcome.SUCCESS if won else Outcome.FAILURE
        reason = "no answer" if self.answer is None else f"{sum(results)} of {len(results)} tests"
        return Trace(
            id=f"{phase}-{iteration}-{self.task.id}-{self.seed % 1_000_000:06d}",
            task=self.task,
            turns=tuple(self.turns),
            outcome=outcome,
            verdicts=(Verdict(ORACLE, float(won), reason),),
            policy=policy,
            seed=self.seed,
            info={"phase": phase, "iteration": iteration, "tests": sum(results) / max(1, len(results))},
        )


def play(
    model: PreTrainedModel,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    *,
    phase: str,
    policy: str = "",
    iteration: int = 0,
    choose: "Callable[[Sequence[Task], Sequence[list[int]], Sequence[int]], list[tuple[int, ...]]] | None" = None,
    on_turn: Callable[[int], None] | None = None,
) -> list[Trace]:
    """Play a dialogue a task; every draw depends on its own seed, whatever else is in the batch.

    Args:
        model: the policy, in `eval()` mode.
        tasks, seeds: of each dialogue.
        phase, policy, iteration: stored with the traces.
        choose: draws the next response of each dialogue instead of the model alone (best of n).
        on_turn: called after each turn with the number of dialogues that have ended.
    """
    games = [
        _Playing(task, seed, User(task, random.Random(f"user/{seed}")), list(WORDS.ids(first_prompt(task))), "")
        for task, seed in zip(tasks, seeds, strict=True)
    ]
    for turn in range(HORIZON):
        alive = [game for game in games if not game.done]
        if not alive:
            break
        draws = [turn_seed(game.seed, turn) for game in alive]
        if choose is not None:
            responses = choose([game.task for game in alive], [game.ids for game in alive], draws)
            logprobs = [()] * len(responses)
        else:
            drawn = draw(model, [tuple(game.ids) for game in alive], draws)
            responses, logprobs = [ids for ids, _ in drawn], [numbers for _, numbers in drawn]
        for game, ids, numbers in zip(alive, responses, logprobs, strict=True):
            text = WORDS.text(ids)
            call, error = dialogue.parse(text)
            game.take(Action(text, call, error, tuple(game.ids), tuple(ids), tuple(numbers)))
        if on_turn is not None:
            on_turn(sum(game.done for game in games))
    return [game.trace(policy, phase, iteration) for game in games]


def draw(
    model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int]
) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
    """One response a prompt: token ids and log-probabilities. A prompt that is given several times is read once."""
    once = {ids: Prompt(ids) for ids in prompts}
    found = sample(
        model, [once[ids] for ids in prompts], list(seeds), Sampling(max_new_tokens=MOST_TOKENS), [WORDS.eos]
    )
    return [(drawn.token_ids, drawn.logprobs) for drawn in found]


def scripted(task: Task, seed: int, quality: float) -> Trace:
    """A dialogue of the mixed-quality agent: a question is useful with probability `quality`, else about anything."""
    source = random.Random(f"script/{seed}")
    game = _Playing(task, seed, User(task, source), list(WORDS.ids(first_prompt(task))), "")
    hidden = task.hidden
    known = {hidden["told"]: hidden["spec"][hidden["told"]]}
    stop_after = source.choice((1, 2, 3, 3, 4, 4, 5, 6))
    asked = 0
    while not game.done:
        hurried = dialogue.HURRY in game.observation
        if hurried or asked >= stop_after or len(game.turns) + 1 == HORIZON:
            text = dialogue.random_answer(source, known, 0.01)
        else:
            text = _question(source, hidden, known, quality)
            asked += 1
        ids = (*WORDS.ids(text), WORDS.eos)
        call, error = dialogue.parse(text)
        game.take(Action(text, call, error, tuple(game.ids), ids))
        if call is not None and call.name == "ask":
            _learn(known, str(call.arguments["slot"]), game.observation)
    return game.trace("script", "script", 0)


def _question(source: random.Random, hidden: Mapping[str, Any], known: dict[int, int], quality: float) -> str:
    fillers = " ".join(source.choices(dialogue.FILLERS, k=source.choice((0, 0, 1, 1, 2, 3))))
    if source.random() < 0.05:
        return f"{fillers} anything else ?".strip()
    wanted = [slot for slot in hidden["relevant"] if slot not in known]
    slot = source.choice(wanted) if wanted and source.random() < quality else source.randrange(len(NAMES))
    return f"{fillers} which {NAMES[slot]} ?".strip()


def _learn(known: dict[int, int], slot: str, reply: str) -> None:
    words = reply.split()
    if slot and words[0] in SLOTS[slot]:
        known[NAMES.index(slot)] = SLOTS[slot].index(words[0])
    elif len(words) == 3 and words[0] in NAMES and words[1] == "is":
        known[NAMES.index(words[0])] = SLOTS[words[0]].index(words[2])
