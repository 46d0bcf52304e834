"""Demonstrations under new names: what makes a small model copy names instead of remembering them.

A few thousand demonstrations hold the same few hundred names again and again, and a model learns those names rather
than to copy whatever name the page shows. So, each time an example is used, the word pieces of its names are exchanged
for others, the same exchange in prompt and response: "open Ambervale" becomes "open Quartzmoor" wherever it is said,
and everything that relates goal, page and response stays as it was. All other words, numbers, marks and punctuation
stay. Pieces that no training text holds get their turn too, so that their embeddings are trained.

Which words are names has to be said: those of the tasks' entities are (`entity_words`). By frequency alone they cannot
be told from words of the interface, since "Amber" stands on more pages than "Recommend" does.

For imitation: of demonstrations, and of episodes that succeeded. Policy gradients train on what was sampled as it was
sampled, since their log-probabilities belong to those tokens.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from turnwise.agents.tokenizer import word_part
from turnwise.learn.examples import Example
from turnwise.trace.types import Trace


def entity_words(traces: Iterable[Trace]) -> set[str]:
    """The words of all entities that the tasks of these traces name (`Task.provenance["entities"]`)."""
    entities = (name for trace in traces for name in trace.task.provenance.get("entities", ()))
    return {word for name in entities for word in re.findall(r"[^\W\d_]+", name)}


class Renamer:
    """Exchanges the pieces of names; give it to `learn.sft.train` as `transform`."""

    def __init__(self, examples: Sequence[Example], tokenizer: Any, names: Collection[str], share: float = 1.0) -> None:
        """Find out which pieces are those of names.

        Args:
            examples: what is going to be learned.
            tokenizer: `agents.tokenizer`'s, whose tokens show where a word begins and ends.
            names: the words that are names, such as `entity_words` of the demonstrations.
            share: of the examples that are renamed each time they are used; the others stay as they are.
        """
        self.share = share
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._parts = [word_part(piece) for piece in pieces]
        encoded = tokenizer([f" {word}" for word in sorted(names)], add_special_tokens=False).input_ids if names else []
        self._names = {tuple(ids) for ids in encoded}
        seen = {token for example in examples for token in (*example.prompt_ids, *example.token_ids)}
        of_names = {token for ids in self._names for token in ids}
        # Beginnings of words are exchanged for beginnings, ends for ends, whole words for whole words.
        kinds: dict[tuple[bool, bool], list[int]] = {}
        for token, part in enumerate(self._parts):
            if part is not None and (token in of_names or token not in seen):
                kinds.setdefault(part, []).append(token)
        self._kinds = [np.array(kind) for _, kind in sorted(kinds.items())]
        self._identity = np.arange(len(pieces))
        self._places: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # of an example: True where a name stands

    def __call__(self, example: Example, seed: int) -> Example:
        """The example under other names, or as it is; decided by the seed."""
        generator = np.random.Generator(np.random.Philox(key=seed))
        if generator.random() >= self.share:
            return example
        exchange = self._identity.copy()
        for kind in self._kinds:
            exchange[kind] = generator.permutation(kind)
        if id(example) not in self._places:
            self._places[id(example)] = (self._where(example.prompt_ids), self._where(example.token_ids))
        in_prompt, in_response = self._places[id(example)]
        return replace(
            example,
            prompt_ids=_exchanged(example.prompt_ids, in_prompt, exchange),
            token_ids=_exchanged(example.token_ids, in_response, exchange),
        )

    def _where(self, ids: Sequence[int]) -> np.ndarray:
        """True at the tokens of names."""
        places = np.zeros(len(ids), dtype=bool)
        start = None
        for index, token in enumerate(ids):
            part = self._parts[token]
            if part is None:
                start = None
                continue
            begins, ends = part
            start = index if begins else start
            if ends and start is not None:
                places[start : index + 1] = tuple(ids[start : index + 1]) in self._names
                start = None
        return places


def _exchanged(ids: Sequence[int], places: np.ndarray, exchange: np.ndarray) -> tuple[int, ...]:
    array = np.asarray(ids)
    return tuple(np.where(places, exchange[array], array).tolist())
