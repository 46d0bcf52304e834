"""Demonstrations under new names: what makes a small model copy names instead of remembering them.

A few thousand demonstrations hold the same few hundred names again and again, and a model learns those names rather
than to copy whatever name the page shows. So, in each pass over an example, its rare word pieces are exchanged for
others, the same exchange in prompt and response: "open Ambervale" becomes "open Quartzmoor" wherever it is said, and
everything that relates goal, page and response stays as it was. The pieces of common words (the interface: "Add to
cart") are left alone, and so are numbers, marks and punctuation. Pieces that no training text holds get their turn too,
so their embeddings are trained.

For demonstrations. What a policy sampled is trained on as it was sampled.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from turnwise.agents.tokenizer import word_part
from turnwise.learn.examples import Example


class Renamer:
    """Exchanges rare word pieces; give it to `learn.sft.train` as `transform`."""

    def __init__(self, examples: Sequence[Example], tokenizer: Any, share: float = 1.0, common: float = 0.02) -> None:
        """Find out which pieces are rare.

        Args:
            examples: what is going to be learned.
            tokenizer: `agents.tokenizer`'s.
            share: of the examples that are renamed each time they are used; the others stay as they are.
            common: pieces that are in at least this share of the examples stay.
        """
        self.share = share
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        held_by = np.zeros(len(pieces), dtype=np.int64)
        for example in examples:
            held_by[list({*example.prompt_ids, *example.token_ids})] += 1
        rare = held_by < max(2.0, common * len(examples))
        # Beginnings of words are exchanged for beginnings, ends for ends, whole words for whole words.
        kinds: dict[tuple[bool, bool], list[int]] = {}
        for index in np.flatnonzero(rare):
            if (part := word_part(pieces[index])) is not None:
                kinds.setdefault(part, []).append(int(index))
        self._kinds = [np.array(kind) for _, kind in sorted(kinds.items())]
        self._identity = np.arange(len(pieces))

    def __call__(self, example: Example, seed: int) -> Example:
        """The example under other names, or as it is; decided by the seed."""
        generator = np.random.Generator(np.random.Philox(key=seed))
        if generator.random() >= self.share:
            return example
        exchange = self._identity.copy()
        for kind in self._kinds:
            exchange[kind] = generator.permutation(kind)
        return replace(
            example,
            prompt_ids=tuple(exchange[list(example.prompt_ids)].tolist()),
            token_ids=tuple(exchange[list(example.token_ids)].tolist()),
        )
