"""Examples under new names: what makes a small model copy names instead of remembering them.

A few thousand demonstrations hold the same few hundred names again and again, and a model learns those names rather
than to copy whatever name the page shows. So, in each use of an example, its names are exchanged for words that never
were, the same exchange in prompt and response: "open Ambervale" becomes "open Quartzmoorel" wherever it is said, and
everything that relates goal, page and response stays as it was. What is no name must stay: `kept_words` finds the
words of the interface ("Subscribe", "cheapest") and of the policy's own thoughts. Numbers, marks and punctuation stay.

All names on a page are exchanged, the ones that nobody asked for included: else the strange one is the answer. A new
word has a random number of pieces, whatever the old one had: a model that only ever sees names of two pieces stops
after two. All pieces get their turn, those that no training text holds among them, so that their embeddings are
trained as well. Some new words begin like another one of the same example, because look-alikes on one page are what a
copying model mixes up.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from turnsmith.agents.tokenizer import word_part
from turnsmith.engine.models import LanguageModel, Tokenizer
from turnsmith.learn.examples import Example
from turnsmith.trace.types import Trace

Word = tuple[int, ...]

PIECES = (0.4, 0.3, 0.15, 0.1, 0.05)
"""Probabilities that a new word has 2, 3, … pieces, where nobody says how long names get."""
LONGER = 2
"""By how many pieces new words may exceed the longest name that was seen: other names are longer still."""
ALIKE = 0.15
"""Probability that a new word begins with the first piece of an earlier one of the same example."""
FIRST, MIDDLE, LAST = (True, False), (False, False), (False, True)


def entity_words(traces: Iterable[Trace]) -> set[str]:
    """The words of all entities that the tasks of these traces name (`Task.provenance["entities"]`)."""
    entities = (name for trace in traces for name in trace.task.provenance.get("entities", ()))
    return {word for name in entities for word in re.findall(r"[^\W\d_]+", name)}


def kept_words(
    examples: Sequence[Example], tokenizer: Tokenizer, names: Collection[str], common: float = 0.0015
) -> list[str]:
    """The words that are no names: in many examples, or said in a response without standing in its prompt.

    Args:
        examples: a few thousand, so that a word of the interface is in many of them.
        tokenizer: `agents.tokenizer`'s.
        names: words that are names however many examples they are in, such as `entity_words`.
        common: the share of the examples from which on a word is none.
    """
    finder = Renamer(tokenizer, ())
    held_by: Counter[Word] = Counter()
    own: Counter[Word] = Counter()
    for example in examples:
        prompt, response = (
            {ids[start:stop] for start, stop in finder.words(ids)} for ids in (example.prompt_ids, example.token_ids)
        )
        held_by.update(prompt | response)
        own.update(response - prompt)
    least = max(2.0, common * len(examples))
    found = [word for word, count in held_by.items() if count >= least or own[word] > count / 2]
    texts = {tokenizer.decode(word).strip() for word in found}
    return sorted(text for text in texts if text.isalpha() and text not in names)


def longest_name(examples: Iterable[Example], tokenizer: Tokenizer, kept: Collection[str]) -> int:
    """How many pieces the longest name has that these prompts say; 2 where they say none."""
    finder = Renamer(tokenizer, kept)
    return max((len(word) for example in examples for word in finder.names(example.prompt_ids)), default=2)


def keep_words(model: LanguageModel, words: Sequence[str], longest: int | None = None) -> None:
    """Note the words that are no names in the model's configuration, which is saved with each of its checkpoints.

    Args:
        model: changed in place.
        words: of `kept_words`.
        longest: how many pieces names have at most (`longest_name`). New words then have 2 to `LONGER` more than that,
            each number alike often; else `PIECES` counts.
    """
    noted = {"kept_words": list(words)} if longest is None else {"kept_words": list(words), "name_pieces": longest}
    model.config.turnsmith = {**(getattr(model.config, "turnsmith", None) or {}), **noted}


def renamer_of(policy: Any) -> "Renamer | None":
    """The renamer of a policy whose model knows which words are no names (`keep_words`), else None."""
    noted = getattr(policy.model.config, "turnsmith", None) or {}
    kept = noted.get("kept_words")
    return None if kept is None else Renamer(policy.tokenizer, kept, longest=noted.get("name_pieces"))


class Renamer:
    """Exchanges names; give it to `learn.sft.train` as `transform`."""

    def __init__(
        self, tokenizer: Tokenizer, kept: Collection[str], share: float = 1.0, longest: int | None = None
    ) -> None:
        """Sort the tokenizer's pieces.

        Args:
            tokenizer: `agents.tokenizer`'s.
            kept: words that are no names. Words of a single piece are none either.
            share: of the examples that are renamed each time they are used; the others stay as they are.
            longest: as in `keep_words`.
        """
        self.share = share
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._parts = [word_part(piece) for piece in pieces]
        encoded = tokenizer([f" {word}" for word in kept], add_special_tokens=False).input_ids if kept else []
        self._kept = {tuple(ids) for ids in encoded}
        self._pools = {
            kind: [i for i, part in enumerate(self._parts) if part == kind] for kind in (FIRST, MIDDLE, LAST)
        }
        chances = PIECES if longest is None else (1.0,) * (longest + LONGER - 1)
        lengths = np.array(chances if self._pools[MIDDLE] else chances[:1])
        self._chances = lengths / lengths.sum()
        self._can = bool(self._pools[FIRST] and self._pools[LAST])

    def __call__(self, example: Example, seed: int) -> Example:
        """The example under other names, or as it is; decided by the seed. It can become longer or shorter."""
        generator = np.random.Generator(np.random.Philox(key=seed))
        if not self._can or generator.random() >= self.share:
            return example
        exchange: dict[Word, Word] = {}
        for word in self.names(example.prompt_ids):
            if word not in exchange:
                exchange[word] = self._invent(list(exchange.values()), generator)
        prompt, _ = self._renamed(example.prompt_ids, (True,) * len(example.prompt_ids), exchange)
        response, mask = self._renamed(example.token_ids, example.mask, exchange)
        return replace(example, prompt_ids=prompt, token_ids=response, mask=mask)

    def names(self, ids: Word) -> Iterator[Word]:
        """The words in these ids that are names, as often as they are said."""
        return (ids[start:stop] for start, stop in self._name_spans(ids))

    def without_names(self, ids: Word) -> Word:
        """These ids without the words that are names."""
        return self.replaced(ids, {}, ())

    def replaced(self, ids: Word, by: Mapping[Word, Word], other: Word) -> Word:
        """These ids with every name exchanged: for what `by` says, or for `other`."""
        left: list[int] = []
        done = 0
        for start, stop in self._name_spans(ids):
            left += [*ids[done:start], *by.get(ids[start:stop], other)]
            done = stop
        return (*left, *ids[done:])

    def _name_spans(self, ids: Word) -> Iterator[tuple[int, int]]:
        for start, stop in self.words(ids):
            if stop - start > 1 and ids[start:stop] not in self._kept:
                yield start, stop

    def words(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Where words begin and end in token ids; a word that is cut off at either end is none."""
        start = None
        for place, index in enumerate(ids):
            part = self._parts[index]
            if part is None:
                start = None
                continue
            if part[0]:
                start = place
            if part[1] and start is not None:
                yield start, place + 1
                start = None

    def _renamed(self, ids: Word, mask: tuple[bool, ...], exchange: dict[Word, Word]) -> tuple[Word, tuple[bool, ...]]:
        """Ids with their names exchanged, and their mask; what the prompt does not say stays."""
        new_ids: list[int] = []
        new_mask: list[bool] = []
        done = 0
        for start, stop in self.words(ids):
            word = ids[start:stop]
            if word not in exchange:
                continue
            new_ids += [*ids[done:start], *exchange[word]]
            new_mask += [*mask[done:start], *[mask[start]] * len(exchange[word])]
            done = stop
        return (*new_ids, *ids[done:]), (*new_mask, *mask[done:])

    def _invent(self, earlier: Sequence[Word], generator: np.random.Generator) -> Word:
        """A word that is none of the earlier ones."""
        while True:
            count = 2 + int(generator.choice(len(self._chances), p=self._chances))
            kinds = [FIRST, *[MIDDLE] * (count - 2), LAST]
            word = [self._pools[kind][int(generator.integers(len(self._pools[kind])))] for kind in kinds]
            if earlier and generator.random() < ALIKE:
                word[0] = earlier[int(generator.integers(len(earlier)))][0]
            if tuple(word) not in earlier:
                return tuple(word)
