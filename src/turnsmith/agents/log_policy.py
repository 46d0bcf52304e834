"""A small model that acts from an append-only log: every turn adds to what it has read, nothing is rendered twice.

The log of an episode is one sequence of word tokens: what was observed, what was done, what was observed. So an episode
is one training example, with the agent's tokens in its mask, and a turn's prompt begins with the turn before it. A
world says how its observations and actions look in words (`Language`).
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import Protocol

from turnsmith.agents.base import Context
from turnsmith.engine.forward import Prompt
from turnsmith.engine.local import sample
from turnsmith.engine.models import LanguageModel
from turnsmith.engine.sampling import Sampling
from turnsmith.engine.score import score
from turnsmith.errors import ParseError
from turnsmith.trace.types import Action, Call

END = 1


class Language(Protocol):
    """A world in words."""

    @property
    def vocabulary(self) -> Sequence[str]: ...

    def read(self, context: Context) -> tuple[list[str], object]:
        """The log as pieces (role, observation, action, observation, …, observation) and what it showed."""
        ...

    def parse(self, text: str, seen: object) -> Call:
        """The call of an action.

        Raises:
            ParseError: if it is none.
        """
        ...


class LogPolicy:
    """A model from scratch with a language; see `agents.base.Policy`.

    Attributes:
        model: a causal LM over the language's vocabulary; hold `lock` while training it.
        version: names the weights.
        sampling: how `act` samples.
    """

    def __init__(
        self, model: LanguageModel, language: Language, sampling: Sampling | None = None, version: str = "step-0"
    ) -> None:
        self.model = model.eval()
        self.language = language
        self.sampling = sampling or Sampling(max_new_tokens=24)
        self.version = version
        self.lock = threading.Lock()
        self._ids = {word: number for number, word in enumerate(language.vocabulary)}

    def encode(self, text: str) -> list[int]:
        """Token ids of words."""
        return [self._ids[word] for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        """Words of token ids, the end left out."""
        return " ".join(self.language.vocabulary[token] for token in ids if token > END)

    def encode_log(self, pieces: Sequence[str]) -> list[int]:
        """Ids of a log: each piece and an end behind it."""
        ids: list[int] = []
        for piece in pieces:
            ids += [*self.encode(piece), END]
        return ids

    def stretches(self, context: Context, pieces: Sequence[str]) -> list[tuple[list[int], bool]]:
        """The log as stretches of ids, and whether the agent said them. What was sampled stands as it was sampled.

        Args:
            context: of the log.
            pieces: as the language reads it: role, observation, action, observation, …, observation.
        """
        found: list[tuple[list[int], bool]] = []
        for number, piece in enumerate(pieces):
            said = number >= 2 and number % 2 == 0
            sampled = context.turns[number // 2 - 1].action.token_ids if said else ()
            found.append((list(sampled) or self.encode_log([piece]), said))
        return found

    async def act(self, contexts: Sequence[Context]) -> list[Action]:
        """One action a context."""
        return await asyncio.to_thread(self._act, list(contexts))

    def _act(self, contexts: list[Context]) -> list[Action]:
        logs = [self.language.read(context) for context in contexts]
        prompts = []
        for context, (pieces, _) in zip(contexts, logs, strict=True):
            prompts.append(Prompt(tuple(token for ids, _ in self.stretches(context, pieces) for token in ids)))
        with self.lock:
            seeds = [context.seed for context in contexts]
            samples = sample(self.model, prompts, seeds, self.sampling, (END,))
        actions = []
        for (_, seen), prompt, drawn in zip(logs, prompts, samples, strict=True):
            text, call, error = self.decode(drawn.token_ids), None, ""
            try:
                call = self.language.parse(text, seen)
            except ParseError as problem:
                error = str(problem)
            ids = tuple(prompt.ids)
            actions.append(Action(text, call, error, ids, drawn.token_ids, drawn.logprobs, stop=drawn.stop))
        return actions

    async def log_prob(self, steps: Sequence[tuple[Context, Action]]) -> list[list[float]]:
        """Log-probability of each token of each action at temperature 1."""
        prompts = [Prompt(action.prompt_ids) for _, action in steps]
        return await asyncio.to_thread(score, self.model, prompts, [action.token_ids for _, action in steps])
