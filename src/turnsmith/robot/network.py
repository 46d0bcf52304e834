"""A small vision-language model for keypoints, from scratch: an image and an instruction in, five points out.

One backbone, three heads:

    heatmap      a map of 32 x 32 cells a point, its expectation is the point (the default: best by far at this size)
    regression   a linear layer on the last state, squared error (the head that the paper compares with)
    text         the coordinates written digit by digit, token cross-entropy (the paper's choice)

The instruction is read word by word (hashed words, averaged) and scales the features of every level, so that one
network can serve several tasks. 0.3 to 0.6 M parameters.
"""

import zlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from turnsmith.robot.settings import Head
from turnsmith.worlds.tabletop.points import NAMES

POINTS = len(NAMES)
DIGITS = 3
"""A coordinate is three digits: thousandths of the image, as in KALIE's JSON."""
WORDS = 512
FINE = 32
"""Channels of the heat maps' decoder."""
_START = 10
"""The token before the first digit."""
_SPREAD = 1.2
"""Standard deviation of a target heat map, cells."""


def word_ids(instruction: str, length: int = 24) -> list[int]:
    """Words of an instruction as ids 1..WORDS-1 by a stable hash, padded with 0."""
    words = [word.strip(".,;:!?").lower() for word in instruction.split()]
    ids = [1 + zlib.crc32(word.encode()) % (WORDS - 1) for word in words if word][:length]
    return ids + [0] * (length - len(ids))


class Backbone(nn.Module):
    """Pixels and words to features: maps of 1/4, 1/8 and 1/16 of the image's side."""

    widths = (16, 32, 64, 128)

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 32, padding_idx=0)
        previous, stages, modulations = 5, [], []
        for width in self.widths:
            layers = [nn.Conv2d(previous, width, 3, stride=2, padding=1), nn.GroupNorm(8, width), nn.ReLU()]
            if stages:  # a second one at the finest level would cost as much as all the rest
                layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.ReLU()]
            stages.append(nn.Sequential(*layers))
            modulations.append(nn.Linear(32, 2 * width))
            previous = width
        self.stages, self.modulations = nn.ModuleList(stages), nn.ModuleList(modulations)

    def forward(self, images_B3HW: Tensor, words_BW: Tensor) -> list[Tensor]:
        """Features of every stage, finest first."""
        real = (words_BW > 0).float()[..., None]
        said = (self.words(words_BW) * real).sum(1) / real.sum(1).clamp_min(1)
        hidden = torch.cat([images_B3HW * 2 - 1, _places(images_B3HW)], 1)
        levels = []
        for stage, modulation in zip(self.stages, self.modulations, strict=True):
            scale, shift = modulation(said)[..., None, None].chunk(2, dim=1)
            hidden = stage(hidden) * (1 + scale) + shift
            levels.append(hidden)
        return levels


def _places(images: Tensor) -> Tensor:
    """Two channels that say where a pixel is, -1..1."""
    batch, _, height, width = images.shape
    y = torch.linspace(-1, 1, height, device=images.device)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, device=images.device)[None].expand(height, width)
    return torch.stack([x, y])[None].expand(batch, 2, height, width)


class HeatmapHead(nn.Module):
    """Maps of a quarter of the image's side, one a point."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, FINE, 1) for width in widths[1:])
        self.smooth = nn.ModuleList(nn.Conv2d(FINE, FINE, 3, padding=1) for _ in widths[1:-1])
        self.maps = nn.Conv2d(FINE, POINTS, 1)

    def logits(self, levels: list[Tensor]) -> Tensor:
        """(B, POINTS, rows, columns)."""
        hidden = self.lateral[-1](levels[-1])
        for index in range(len(self.lateral) - 2, -1, -1):
            fine = self.lateral[index](levels[index + 1])
            hidden = F.interpolate(hidden, size=fine.shape[-2:], mode="bilinear", align_corners=False) + fine
            hidden = F.relu(self.smooth[index](hidden))
        return self.maps(hidden)

    @staticmethod
    def expectation(logits_BPHW: Tensor) -> tuple[Tensor, Tensor]:
        """Mean place of each map in shares of the image, (B, P, 2), and log-probabilities of its cells (B, P, H*W)."""
        rows, columns = logits_BPHW.shape[-2:]
        logp = logits_BPHW.flatten(2).log_softmax(-1)
        return logp.exp() @ _cells(rows, columns, logp.device), logp

    def loss(self, levels: list[Tensor], points_BP2: Tensor) -> Tensor:
        """.1 cross-entropy to a Gaussian of 1.2 cells + 10 smooth L1 (beta .02) on the expectation."""
        logits = self.logits(levels)
        found, logp = self.expectation(logits)
        rows, columns = logits.shape[-2:]
        cells = _cells(rows, columns, logits.device)
        apart = ((points_BP2[:, :, None] - cells) * rows).pow(2).sum(-1)
        wanted = (-0.5 * apart / _SPREAD**2).softmax(-1)
        crossed = -(wanted * logp).sum(-1).mean()
        return 0.1 * crossed + 10 * F.smooth_l1_loss(found, points_BP2, beta=0.02)

    def points(self, levels: list[Tensor]) -> Tensor:
        """(B, P, 2) in shares of the image."""
        return self.expectation(self.logits(levels))[0]


def _cells(rows: int, columns: int, device: torch.device) -> Tensor:
    """Centres of the cells in shares of the image, row by row, (rows * columns, 2) as (x, y)."""
    y = (torch.arange(rows, device=device) + 0.5) / rows
    x = (torch.arange(columns, device=device) + 0.5) / columns
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).reshape(-1, 2)


class RegressionHead(nn.Module):
    """A linear head on the last state: the coarsest map, flattened through one hidden layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, 32, 1)
        self.hidden = nn.LazyLinear(128)
        self.out = nn.Linear(128, 2 * POINTS)

    def points(self, levels: list[Tensor]) -> Tensor:
        """(B, P, 2) in shares of the image."""
        state = F.gelu(self.hidden(F.gelu(self.squeeze(levels[-1])).flatten(1)))
        return self.out(state).unflatten(1, (POINTS, 2)) + 0.5

    def loss(self, levels: list[Tensor], points_BP2: Tensor) -> Tensor:
        """Squared error, in tenths of the image so that it is of the size of the other losses."""
        return 100 * F.mse_loss(self.points(levels), points_BP2)


class TextHead(nn.Module):
    """A decoder that writes 5 points x 2 coordinates x 3 digits, looking at the image's features as it writes.

    What stands between the digits in KALIE's JSON is the same in every answer and is not generated; `vlm` has the whole
    text.
    """

    length = POINTS * 2 * DIGITS

    def __init__(self, width: int, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.token = nn.Embedding(_START + 1, width)
        self.place = nn.Parameter(0.02 * torch.randn(self.length, width))
        self.seen_place = nn.LazyLinear(width)
        layer = nn.TransformerDecoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, layers, norm=nn.LayerNorm(width))
        self.digits = nn.Linear(width, 10)

    @staticmethod
    def encode(points_BP2: Tensor) -> Tensor:
        """Shares of the image to digits, (B, length)."""
        thousandths = (points_BP2 * 1000).round().clamp(0, 999).long().flatten(1)
        return torch.stack([thousandths // 100, thousandths // 10 % 10, thousandths % 10], -1).flatten(1)

    @staticmethod
    def decode(digits_BT: Tensor) -> Tensor:
        """Digits to shares of the image, (B, P, 2)."""
        places = digits_BT.unflatten(1, (POINTS, 2, DIGITS)).float()
        return (places @ places.new_tensor([100.0, 10.0, 1.0])) / 1000

    def _memory(self, levels: list[Tensor]) -> Tensor:
        fine = levels[-1]
        rows, columns = fine.shape[-2:]
        return fine.flatten(2).transpose(1, 2) + self.seen_place(_cells(rows, columns, fine.device))

    def logits(self, levels: list[Tensor], before_BT: Tensor) -> Tensor:
        """Of the digit that follows each of `before_BT`, (B, T, 10)."""
        steps = before_BT.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(steps, device=before_BT.device)
        hidden = self.token(before_BT) + self.place[:steps]
        return self.digits(self.decoder(hidden, self._memory(levels), tgt_mask=mask, tgt_is_causal=True))

    def loss(self, levels: list[Tensor], points_BP2: Tensor) -> Tensor:
        """Token cross-entropy."""
        digits = self.encode(points_BP2)
        before = torch.cat([torch.full_like(digits[:, :1], _START), digits[:, :-1]], 1)
        return F.cross_entropy(self.logits(levels, before).flatten(0, 1), digits.flatten())

    def points(self, levels: list[Tensor]) -> Tensor:
        """Greedy decoding."""
        written = torch.full((len(levels[-1]), 1), _START, dtype=torch.long, device=levels[-1].device)
        for _ in range(self.length):
            written = torch.cat([written, self.logits(levels, written)[:, -1:].argmax(-1)], 1)
        return self.decode(written[:, 1:])


class KeypointNet(nn.Module):
    """Backbone and one head.

    Args:
        head: which.
        size: side of the images, a multiple of 16.
        seed: of the initial weights.
    """

    def __init__(self, head: Head = "heatmap", size: int = 128, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = Backbone()
            width = Backbone.widths[-1]
            self.head: HeatmapHead | RegressionHead | TextHead
            if head == "heatmap":
                self.head = HeatmapHead(Backbone.widths)
            else:
                self.head = RegressionHead(width) if head == "regression" else TextHead(width)
            with torch.no_grad():
                self(torch.zeros(1, 3, size, size), torch.ones(1, 1, dtype=torch.long))  # sizes lazy layers
        self.kind, self.size = head, size

    def forward(self, images_B3HW: Tensor, words_BW: Tensor) -> Tensor:
        """Points (B, P, 2) in shares of the image."""
        return self.head.points(self.backbone(images_B3HW, words_BW))

    def loss(self, images_B3HW: Tensor, words_BW: Tensor, points_BP2: Tensor) -> Tensor:
        """The head's loss of a batch."""
        return self.head.loss(self.backbone(images_B3HW, words_BW), points_BP2)
