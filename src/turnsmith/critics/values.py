"""Value functions of device agents: V_instruct(goal), V_step(goal, screens), and a judge of success of the same make.

Small heads on frozen image vectors (`screen_features`) and a learned bag of the goal's word pieces, trained on outcomes
in {0, 1} by cross-entropy (DigiRL's choice) or squared error (its ablation). Several heads start apart and learn apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from turnsmith.agents.device_policy import DevicePolicy
from turnsmith.credit.td import Heads, join_heads
from turnsmith.critics.episodes import Played
from turnsmith.critics.fitting import fit_rows
from turnsmith.critics.screen_features import Features
from turnsmith.engine.models import Pieces, ReadsText
from turnsmith.errors import UserError
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.transforms.rename import renamer_of
from turnsmith.trace.types import ImageRef

Loss = Literal["cross_entropy", "squared_error"]


class WordBag(nn.Module):
    """Texts as the mean of learned vectors of their pieces. Piece 0 is padding; an empty text is the zero vector."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab_size, width, padding_idx=0)

    def forward(self, ids_BL: Tensor) -> Tensor:
        """Padded ids (B, L) to (B, width)."""
        counts_B1 = (ids_BL != 0).sum(dim=1, keepdim=True).clamp_min(1)
        return self.table(ids_BL).sum(dim=1) / counts_B1


@dataclass(frozen=True, slots=True)
class _Kept:
    """Pieces of which the names were left out."""

    input_ids: tuple[int, ...]


class DelexicalisedTokenizer:
    """A tokenizer that leaves out names: what critics read goals with.

    Each training task has names of its own, so a critic that reads them knows the episodes of its log by heart: it
    learns whether *this* episode succeeded instead of how far along a screen is, and tells no step from another.

    Args:
        policy: its tokenizer, and its model's list of words that are no names (`transforms.rename.keep_words`); without
            that list nothing is left out.
    """

    def __init__(self, policy: DevicePolicy) -> None:
        self.tokenizer, self._renamer = policy.tokenizer, renamer_of(policy)

    def __len__(self) -> int:
        return len(self.tokenizer)

    def __call__(self, text: str, *, add_special_tokens: bool = False, split_special_tokens: bool = True) -> Pieces:
        """As the tokenizer's call, of one text; `input_ids` is all that is kept."""
        pieces = self.tokenizer(text, add_special_tokens=add_special_tokens, split_special_tokens=split_special_tokens)
        ids = tuple(pieces.input_ids)
        return _Kept(ids if self._renamer is None else self._renamer.without_names(ids))


def encode_texts(tokenizer: ReadsText, texts: Sequence[str]) -> Tensor:
    """Word pieces of texts, (N, L) padded with 0."""
    return padded([tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids for text in texts])


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of ids, (N, L) padded with 0 on the right; L is at least 1."""
    ids = torch.zeros(len(rows), max((len(row) for row in rows), default=0) or 1, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
    return ids


class ValueNet(nn.Module):
    """Goal and image vectors to a value, by several heads.

    Args:
        vocab_size: of the tokenizer of the goals.
        vector_size: of all image vectors of an example together; 0 for a value of the goal alone.
        heads: how many.
        loss: what the heads are trained by, and so whether their output is a logit or a value.
        width: of the hidden layer.
    """

    def __init__(
        self, vocab_size: int, vector_size: int, heads: int = 1, loss: Loss = "cross_entropy", width: int = 128
    ) -> None:
        super().__init__()
        self.loss: Loss = loss
        self.words = nn.ModuleList(WordBag(vocab_size, 32) for _ in range(heads))
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(32 + vector_size, width), nn.GELU(), nn.Dropout(0.1), nn.Linear(width, width), nn.GELU(),
                nn.Linear(width, 1),
            )
            for _ in range(heads)
        )  # fmt: skip

    def forward(self, ids_BL: Tensor, vector_BD: Tensor) -> Tensor:
        """Logits (cross-entropy) or values (squared error) of each head, (heads, B)."""
        return torch.stack(
            [
                layers(torch.cat([words(ids_BL), vector_BD], dim=1))[:, 0]
                for words, layers in zip(self.words, self.layers, strict=True)
            ]
        )

    def value(self, ids_BL: Tensor, vector_BD: Tensor) -> Tensor:
        """The value of each head, (heads, B); a probability where the loss is cross-entropy."""
        with torch.inference_mode():
            raw = self(ids_BL, vector_BD)
            return (raw.sigmoid() if self.loss == "cross_entropy" else raw).clone()


def value_loss(raw_HB: Tensor, target_B: Tensor, loss: Loss) -> Tensor:
    """Mean over the batch, summed over heads: the cross-entropy of outcomes (of two classes), or the squared error."""
    target_HB = target_B.expand_as(raw_HB)
    if loss == "cross_entropy":
        return F.binary_cross_entropy_with_logits(raw_HB, target_HB, reduction="none").mean(dim=1).sum()
    return (raw_HB - target_HB).square().mean(dim=1).sum()


def screen_vectors(log: Sequence[Played], features: Features) -> list[Tensor]:
    """Of each episode the vectors of its T + 1 states: previous and current screen, (T + 1, 2 D).

    The first state has no previous screen; the current one stands in, as in the authors' code.
    """
    found = []
    for played in log:
        vectors = features(played.screens)
        found.append(torch.cat([torch.cat([vectors[:1], vectors[:-1]]), vectors], dim=1))
    return found


class StepCritic:
    """V_step(s, c): the probability that an episode which is in this state succeeds. Two heads; the smaller counts."""

    def __init__(
        self, tokenizer: ReadsText, features: Features, loss: Loss = "cross_entropy", join: Heads = "min", seed: int = 0
    ) -> None:
        self.tokenizer, self.features = tokenizer, features
        self.join: Heads = join
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = ValueNet(len(tokenizer), 2 * features.size, heads=2, loss=loss)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)

    def fit(self, log: Sequence[Played], config: OptimConfig) -> list[float]:
        """Learn from the states in which the agent acted, all with the outcome of their episode."""
        ids = encode_texts(self.tokenizer, [played.instruction for played in log])
        vectors = [rows[:-1] for rows in screen_vectors(log, self.features)]
        episode = torch.tensor([i for i, rows in enumerate(vectors) for _ in rows], dtype=torch.long)
        outcome = torch.tensor([played.success for played in log])[episode] if log else torch.zeros(0)
        stacked = torch.cat(vectors) if vectors else torch.zeros(0)

        def loss_of(rows: Tensor) -> Tensor:
            return value_loss(self.net(ids[episode[rows]], stacked[rows]), outcome[rows], self.net.loss)

        return fit_rows(self.net, loss_of, len(stacked), config, self.optimizer)

    def values(self, log: Sequence[Played]) -> list[Tensor]:
        """V(s_1..s_{T+1}) of each episode, (T + 1,); the last is 0, for every episode is over after its last step."""
        found = []
        ids = encode_texts(self.tokenizer, [played.instruction for played in log])
        for row, vectors in zip(ids, screen_vectors(log, self.features), strict=True):
            value = join_heads(self.net.value(row.expand(len(vectors), -1), vectors), self.join)
            value[-1] = 0.0
            found.append(value)
        return found


class InstructionCritic:
    """V_instruct(c): how likely the agent is to succeed at this task, from its words alone."""

    def __init__(self, tokenizer: ReadsText, loss: Loss = "cross_entropy", seed: int = 0) -> None:
        self.tokenizer = tokenizer
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = ValueNet(len(tokenizer), 0, loss=loss, width=64)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)

    def fit(self, log: Sequence[Played], config: OptimConfig) -> list[float]:
        """Learn outcomes from instructions."""
        ids = encode_texts(self.tokenizer, [played.instruction for played in log])
        outcome = torch.tensor([played.success for played in log])
        nothing = torch.zeros(len(log), 0)

        def loss_of(rows: Tensor) -> Tensor:
            return value_loss(self.net(ids[rows], nothing[rows]), outcome[rows], self.net.loss)

        return fit_rows(self.net, loss_of, len(log), config, self.optimizer)

    def values(self, log: Sequence[Played]) -> Tensor:
        """V_instruct of each episode's task, (N,)."""
        ids = encode_texts(self.tokenizer, [played.instruction for played in log])
        return self.net.value(ids, torch.zeros(len(log), 0))[0]


class SuccessModel:
    """P(done | goal, previous and current screen): the learned screen judge's network."""

    def __init__(self, tokenizer: ReadsText, features: Features, seed: int = 0) -> None:
        self.tokenizer, self.features = tokenizer, features
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = ValueNet(len(tokenizer), 2 * features.size)

    def fit(self, log: Sequence[Played], config: OptimConfig) -> list[float]:
        """Learn from labelled episodes: the rewarded screens are positives, all others negatives.

        A rewarded screen under the goal of another episode is a negative too, so that the goal cannot be overlooked;
        positives and both kinds of negatives are drawn alike often.
        """
        goals, vectors, labels = [], [], []
        positives: list[tuple[int, Tensor]] = []
        for index, (one, rows) in enumerate(zip(log, screen_vectors(log, self.features), strict=True)):
            for step, reward in enumerate(one.rewards):
                goals.append(one.instruction)
                vectors.append(rows[step + 1])
                labels.append(float(reward > 0.5))
                if reward > 0.5:
                    positives.append((index, rows[step + 1]))
        source = np.random.default_rng(config.seed)
        for index, vector in positives:
            other = log[int(source.integers(0, len(log)))]
            if other.instruction != log[index].instruction:
                goals.append(other.instruction)
                vectors.append(vector)
                labels.append(0.0)
        if not vectors:
            raise UserError("there are no labelled screens to train a judge on.")
        ids, stacked, label = encode_texts(self.tokenizer, goals), torch.stack(vectors), torch.tensor(labels)
        yes, no = (torch.nonzero(label == wanted)[:, 0] for wanted in (1.0, 0.0))
        if len(yes) == 0 or len(no) == 0:
            raise UserError("a judge needs labelled successes and failures; there is only one kind.")

        def loss_of(rows: Tensor) -> Tensor:
            picked = torch.where(rows % 3 == 0, yes[rows % len(yes)], no[rows % len(no)])
            return value_loss(self.net(ids[picked], stacked[picked]), label[picked], self.net.loss)

        return fit_rows(self.net, loss_of, 3 * len(vectors), config)

    def probability(self, instruction: str, images: Sequence[ImageRef]) -> float:
        """P(done) on the last of one or two screens."""
        vectors = self.features([images[0], images[-1]])
        ids = encode_texts(self.tokenizer, [instruction])
        return float(self.net.value(ids, vectors.flatten()[None])[0, 0])
