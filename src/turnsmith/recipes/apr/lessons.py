"""The updates of a supervised stage: which examples each is made of, and its losses.

A stage that counts tokens has all its examples made before it (a laptop's fit into memory many times over), so that two
arms learn from equally many. One that counts updates, as the paper does, makes its examples shard by shard; those of a
shard depend on the seed and its number alone, so a run that resumes makes the same.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from torch import Tensor
from transformers import PreTrainedModel

from turnsmith.learn.batching import all_updates
from turnsmith.learn.examples import Example
from turnsmith.learn.sft import update_losses
from turnsmith.recipes.apr.config import Stage
from turnsmith.recipes.apr.data import Source, take

SHARD = 100
"""Updates of a shard; of the paper's size about 30 million tokens."""


class Lessons:
    """What a stage learns.

    Attributes:
        total: updates.
    """

    def __init__(self, stage: Stage, source: Source, draw: str, seed: int) -> None:
        """The stage, where its examples come from, the seed of their drawing and that of their order."""
        self._stage, self._source, self._draw, self._seed = stage, source, draw, seed
        self._shard, self._updates = -1, [[]]
        if stage.tokens is not None:
            examples = take(source(random.Random(draw)), stage.tokens)
            self._shard, self._updates = 0, self._in_updates(examples, seed)
            self._per_shard = self.total = len(self._updates)
        else:
            self.total, self._per_shard = stage.updates, SHARD

    def _in_updates(self, examples: Sequence[Example], seed: int) -> list[list[Example]]:
        lengths = [example.length for example in examples]
        updates = all_updates(lengths, self._stage.optim.batch_size, 1, seed)
        return [[examples[i] for i in members] for _, members in updates]

    def examples(self, update: int) -> list[Example]:
        """Those of an update, from 0."""
        shard, place = divmod(update, self._per_shard)
        if shard != self._shard:
            rng = random.Random(f"{self._draw}/{shard}")
            examples = list(islice(self._source(rng), SHARD * self._stage.optim.batch_size))
            self._shard, self._updates = shard, self._in_updates(examples, self._seed + shard)
        return self._updates[place]

    def losses(self, model: PreTrainedModel, update: int) -> Iterator[Tensor]:
        """Its losses, one a forward pass (`learn.fit`)."""
        return update_losses(model, self.examples(update), self._stage.optim.pass_tokens)
