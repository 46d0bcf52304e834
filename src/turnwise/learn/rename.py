"""Examples under new names: what makes a small model copy names instead of remembering them.

A few thousand demonstrations hold the same few hundred names again and again, and a model learns those names rather
than to copy whatever name the page shows. So, in each use of an example, its rare words are exchanged for words that
never were, the same exchange in prompt and response: "open Ambervale" becomes "open Quartzmoorel" wherever it is said,
and everything that relates goal, page and response stays as it was. Rare is what the tokenizer cuts into pieces:
`agents.tokenizer` makes single tokens of common words (the interface: "Add to cart") and of hardly any others. Numbers,
marks and punctuation stay.

A new word has a random number of pieces, whatever the old one had: a model that only ever sees names of two pieces
stops after two. All pieces get their turn, those that no training text holds among them, so that their embeddings are
trained as well. Some new words begin like another one of the same example, because look-alikes on one page are what a
copying model mixes up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from turnwise.agents.tokenizer import word_part
from turnwise.learn.examples import Example

Word = tuple[int, ...]

PIECES = (0.4, 0.3, 0.15, 0.1, 0.05)
"""Probabilities that a new word has 2, 3, … pieces."""
ALIKE = 0.15
"""Probability that a new word begins with the first piece of an earlier one of the same example."""
FIRST, MIDDLE, LAST = (True, False), (False, False), (False, True)


class Renamer:
    """Exchanges rare words; give it to `learn.sft.train` as `transform`."""

    def __init__(self, tokenizer: Any, share: float = 1.0) -> None:
        """Sort the tokenizer's pieces.

        Args:
            tokenizer: `agents.tokenizer`'s.
            share: of the examples that are renamed each time they are used; the others stay as they are.
        """
        self.share = share
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._parts = [word_part(piece) for piece in pieces]
        self._pools = {
            kind: [i for i, part in enumerate(self._parts) if part == kind] for kind in (FIRST, MIDDLE, LAST)
        }
        self._lengths = PIECES if self._pools[MIDDLE] else PIECES[:1]
        self._can = bool(self._pools[FIRST] and self._pools[LAST])

    def __call__(self, example: Example, seed: int) -> Example:
        """The example under other names, or as it is; decided by the seed. It can become longer or shorter."""
        generator = np.random.Generator(np.random.Philox(key=seed))
        if not self._can or generator.random() >= self.share:
            return example
        exchange: dict[Word, Word] = {}
        prompt, _ = self._renamed(example.prompt_ids, (True,) * len(example.prompt_ids), exchange, generator)
        response, mask = self._renamed(example.token_ids, example.mask, exchange, generator)
        return replace(example, prompt_ids=prompt, token_ids=response, mask=mask)

    def _words(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
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

    def _renamed(
        self, ids: Word, mask: tuple[bool, ...], exchange: dict[Word, Word], generator: np.random.Generator
    ) -> tuple[Word, tuple[bool, ...]]:
        """Ids with their rare words exchanged, and their mask; new words are added to `exchange`."""
        new_ids: list[int] = []
        new_mask: list[bool] = []
        done = 0
        for start, stop in self._words(ids):
            word = ids[start:stop]
            if len(word) == 1:
                continue
            if word not in exchange:
                exchange[word] = self._invent(list(exchange.values()), generator)
            new_ids += [*ids[done:start], *exchange[word]]
            new_mask += [*mask[done:start], *[mask[start]] * len(exchange[word])]
            done = stop
        return (*new_ids, *ids[done:]), (*new_mask, *mask[done:])

    def _invent(self, earlier: Sequence[Word], generator: np.random.Generator) -> Word:
        """A word that is none of the earlier ones."""
        chances = np.array(self._lengths) / sum(self._lengths)
        while True:
            count = 2 + int(generator.choice(len(chances), p=chances))
            kinds = [FIRST, *[MIDDLE] * (count - 2), LAST]
            word = [self._pools[kind][int(generator.integers(len(self._pools[kind])))] for kind in kinds]
            if earlier and generator.random() < ALIKE:
                word[0] = earlier[int(generator.integers(len(earlier)))][0]
            if tuple(word) not in earlier:
                return tuple(word)
