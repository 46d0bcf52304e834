"""EEGViT: a vision transformer whose patches are eight neighbouring channels by 72 ms (Yang and Modesitt 2023).

The stem is the paper's: a convolution over time (kernel and stride 36, padding 2), batch normalisation, a depthwise
convolution over eight channels; then ViT blocks and a head on the class token. With 129 channels and 500 samples that
is 16 x 14 = 224 tokens of width 768. Channels left over at the end are not seen (the 129th is the reference).

Notable: stride equals kernel, so both convolutions are matrix products on patches. They are computed patch by patch:
that lets masked pretraining drop patches before the stem, and lets the same weights run on all patches afterwards.

Constructors take braindecode's names (`n_chans`, `n_times`, `n_outputs`); inputs are (batch, n_chans, n_times).
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from turnsmith.errors import UserError
from turnsmith.jsonl import read_json


class Stem(nn.Module):
    """Patches (…, patch_chans, kernel) to tokens (…, width): convolve time, normalise, convolve channels."""

    def __init__(self, filters: int, width: int, patch_chans: int, kernel: int) -> None:
        super().__init__()
        if width % filters:
            raise ValueError(f"width {width} must be a multiple of {filters} filters")
        self.conv1 = nn.Conv2d(1, filters, (1, kernel), (1, kernel), bias=False)
        self.batchnorm1 = nn.BatchNorm2d(filters)
        self.projection = nn.Conv2d(filters, width, (patch_chans, 1), (patch_chans, 1), groups=filters)

    def forward(self, patches: Tensor) -> Tensor:
        filters, width = self.conv1.out_channels, self.projection.out_channels
        hidden = patches @ self.conv1.weight.view(filters, -1).T  # (…, patch_chans, filters)
        hidden = self._normalise(hidden.reshape(-1, filters)).view_as(hidden)
        weight = self.projection.weight.view(filters, width // filters, -1)
        assert self.projection.bias is not None
        return torch.einsum("...cf,fmc->...fm", hidden, weight).flatten(-2) + self.projection.bias

    def _normalise(self, rows: Tensor) -> Tensor:
        norm = self.batchnorm1
        momentum = norm.momentum if norm.momentum is not None else 0.1
        return functional.batch_norm(
            rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, self.training, momentum, norm.eps
        )


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, width: int, heads: int, mlp: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp), nn.GELU(), nn.Linear(mlp, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """(batch, tokens, width) to the same.

        Args:
            x: tokens.
            rows: indices of the tokens whose outputs are wanted, (batch, wanted); they look at all tokens, and the
                others cost no query and no MLP. None wants all.

        Returns:
            (batch, tokens or wanted, width): what the whole block gives for these tokens.
        """
        width = x.shape[2]
        seen = self.norm1(x)
        if rows is None:
            q, k, v = (self._by_head(part) for part in self.qkv(seen).split(width, 2))
        else:
            wanted = rows[:, :, None].expand(-1, -1, width)
            x = x.gather(1, wanted)
            weight, bias = self.qkv.weight, self.qkv.bias
            q = self._by_head(functional.linear(seen.gather(1, wanted), weight[:width], bias[:width]))
            k, v = (
                self._by_head(part) for part in functional.linear(seen, weight[width:], bias[width:]).split(width, 2)
            )
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + self.dropout(self.out(mixed))
        return x + self.dropout(self.mlp(self.norm2(x)))

    def _by_head(self, part: Tensor) -> Tensor:
        """(batch, tokens, width) to (batch, heads, tokens, width / heads)."""
        return part.unflatten(2, (self.heads, -1)).transpose(1, 2)


class EEGViT(nn.Module):
    """EEGViT's encoder with its regression head.

    Args:
        n_chans, n_times, n_outputs: braindecode's names for the input's size and the number of outputs.
        filters, width, depth, heads, mlp: the paper's sizes (ViT-Base) by default.
        patch_chans, kernel: channels and samples of a patch. What is missing to whole spans is padded on both sides.
        head: width of the hidden layer of the head (1000 as released).
        dropout: in the blocks; 0 as released. The head always has 0.1.
        pool: what the head reads: "cls" as in the paper, "mean" of the patch tokens, or all "tokens" side by side.
        average: so many neighbouring samples become one before the stem; 1 as in the paper. EEG that was filtered to
            40 Hz loses nothing at 100 samples a second, and patches become that much smaller.
        place_prior: False is the paper's model. True gives it, to begin with, what small models are slow to find out:
            positions that are waves of group and span (as in MAE), attention to tokens of similar place (after Trockman
            and Kolter 2023), and a gain for each channel group, without which the shared stem cannot tell a left
            channel's signal from a right one's but by its position. All are trained on.
    """

    def __init__(
        self,
        n_chans: int = 129,
        n_times: int = 500,
        n_outputs: int = 2,
        *,
        filters: int = 256,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp: int = 3072,
        patch_chans: int = 8,
        kernel: int = 36,
        head: int = 1000,
        dropout: float = 0.0,
        pool: str = "cls",
        average: int = 1,
        place_prior: bool = False,
    ) -> None:
        super().__init__()
        if n_chans < patch_chans:
            raise ValueError(f"{n_chans} channels are fewer than a patch of {patch_chans}")
        if pool not in ("cls", "mean", "tokens"):
            raise ValueError(f"pool is {pool!r}; it is 'cls', 'mean' or 'tokens'")
        if kernel % average:
            raise ValueError(f"{kernel} samples of a patch cannot be averaged by {average}")
        self.n_chans, self.n_times, self.n_outputs = n_chans, n_times, n_outputs
        self.patch_chans, self.kernel, self.width, self.pool = patch_chans, kernel, width, pool
        self.average, self.patch_samples = average, kernel // average
        self.grid = n_chans // patch_chans, -(-n_times // kernel)
        missing = self.grid[1] * kernel - n_times
        self.padding = missing // 2, missing - missing // 2
        self.tokens = self.grid[0] * self.grid[1]
        self.stem = Stem(filters, width, patch_chans, self.patch_samples)
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + self.tokens, width))
        self.gains = nn.Parameter(torch.randn(self.grid[0], width)) if place_prior else None
        self.blocks = nn.ModuleList(Block(width, heads, mlp, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6)
        read = width * self.tokens if pool == "tokens" else width
        self.head = nn.Sequential(nn.Linear(read, head), nn.Dropout(0.1), nn.Linear(head, n_outputs))
        self.apply(init_weights)
        nn.init.trunc_normal_(self.cls, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        if place_prior:
            attend_to_similar(self.blocks)
            with torch.no_grad():
                self.positions[0, 1:] = waves(self.grid, width)

    def patches(self, eeg: Tensor) -> Tensor:
        """(batch, n_chans, n_times) to (batch, tokens, patch_chans, patch_samples); tokens run over time first.

        Windows that were averaged before (`Source.keep`), of n_times / average samples, are taken as they are.

        Raises:
            ValueError: if the input has another number of channels or samples.
        """
        groups, spans = self.grid
        averaged = self.average > 1 and not any(self.padding) and eeg.shape[-1] == self.n_times // self.average
        if eeg.ndim != 3 or eeg.shape[1] != self.n_chans or not (averaged or eeg.shape[2] == self.n_times):
            raise ValueError(f"input {tuple(eeg.shape)}; the model takes (batch, {self.n_chans}, {self.n_times})")
        padded = eeg[:, : groups * self.patch_chans]
        if not averaged:
            padded = functional.pad(padded, self.padding)
            if self.average > 1:
                padded = functional.avg_pool1d(padded, self.average)
        split = padded.view(len(eeg), groups, self.patch_chans, spans, self.patch_samples)
        return split.transpose(2, 3).reshape(len(eeg), self.tokens, self.patch_chans, self.patch_samples)

    def encode(self, patches: Tensor, keep: Tensor | None = None) -> Tensor:
        """Class token and patch tokens after the blocks.

        Args:
            patches: from `patches`.
            keep: indices of the tokens to look at, (batch, kept); the others cost nothing. None looks at all.

        Returns:
            (batch, 1 + kept, width).
        """
        if keep is None:
            positions = self.positions[:, 1:]
        else:
            patches = patches.gather(1, keep[:, :, None, None].expand(-1, -1, self.patch_chans, self.patch_samples))
            positions = self.positions[0, 1:][keep]
        return self.transform(self.amplified(self.stem(patches), keep) + positions)

    def amplified(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens times the gains of their channel groups; as they are where the model has none."""
        if self.gains is None:
            return tokens
        every = self.gains.repeat_interleave(self.grid[1], 0)
        return tokens * (every if keep is None else every[keep])

    def transform(self, tokens: Tensor) -> Tensor:
        """Class token, blocks and last norm on tokens that carry their positions already."""
        x = torch.cat([(self.cls + self.positions[:, :1]).expand(len(tokens), -1, -1), tokens], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def features(self, eeg: Tensor) -> Tensor:
        """What the head reads, (batch, width), or (batch, tokens x width) with `pool` "tokens"."""
        encoded = self.encode(self.patches(eeg))
        if self.pool == "cls":
            return encoded[:, 0]
        return encoded[:, 1:].mean(1) if self.pool == "mean" else encoded[:, 1:].flatten(1)

    def forward(self, eeg: Tensor) -> Tensor:
        """(batch, n_chans, n_times) to (batch, n_outputs)."""
        return self.head(self.features(eeg))


def init_weights(module: nn.Module) -> None:
    """ViT's initialisation of matrices: truncated normal of 0.02 at width 768, wider for narrower inputs; zero biases.

    The stem keeps torch's own.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02 * (768 / module.in_features) ** 0.5)
        nn.init.zeros_(module.bias)


def attend_to_similar(blocks: Iterable[nn.Module]) -> None:
    """Make queries equal keys, each head orthonormal: attention begins between tokens whose embeddings are alike."""
    for block in blocks:
        assert isinstance(block, Block)
        weight = block.qkv.weight
        width = weight.shape[1]
        head = width // block.heads
        with torch.no_grad():
            for first in range(0, width, head):
                basis = torch.linalg.qr(torch.randn(width, head))[0].T * head**0.25
                for part in (0, width):
                    weight[part + first : part + first + head] = basis


def waves(grid: tuple[int, int], width: int) -> Tensor:
    """Sines and cosines of each token's place: half of the width for the group, half for the span.

    Frequencies are evenly spaced up to half a turn a step, so that embeddings of different places are nearly
    orthogonal; language's geometric series would make the few places of a window look alike.

    Args:
        grid: groups and spans.
        width: a multiple of 4.

    Returns:
        (groups x spans, width).
    """
    if width % 4:
        raise ValueError(f"width {width} must be a multiple of 4")
    quarter = width // 4
    rates = torch.pi * (torch.arange(quarter) + 0.5) / quarter
    places = torch.cartesian_prod(*(torch.arange(size) for size in grid)).float()
    angles = [places[:, axis : axis + 1] * rates for axis in (0, 1)]
    return torch.cat([function(angle) for angle in angles for function in (torch.sin, torch.cos)], 1)


def load_image_weights(model: EEGViT, folder: str | Path) -> list[str]:
    """Start the blocks from an image ViT in the Hugging Face layout (the paper: google/vit-base-patch16-224).

    Class token, blocks and last norm are taken; patch embedding and positions are of another shape and stay random, as
    in the released code.

    Args:
        model: of the same width, depth and MLP.
        folder: holds config.json and model.safetensors.

    Returns:
        The names of our parameters that were filled.

    Raises:
        UserError: if the folder holds no ViT of these sizes.
    """
    folder = Path(folder)
    try:
        config = dict(read_json(folder / "config.json"))
        weights = load_file(folder / "model.safetensors")
    except Exception as error:  # safetensors raises its own kind
        raise UserError(
            f"{folder}: no ViT in the Hugging Face layout ({error}). It needs config.json and model.safetensors."
        ) from error
    wanted = (model.width, len(model.blocks))
    if (config.get("hidden_size"), config.get("num_hidden_layers")) != wanted:
        raise UserError(
            f"{folder}: width and depth are {config.get('hidden_size')} and {config.get('num_hidden_layers')}; the "
            f"model has {wanted[0]} and {wanted[1]}. Make the sizes equal."
        )
    ours = dict(_from_image_vit({name.removeprefix("vit."): tensor for name, tensor in weights.items()}, wanted[1]))
    missing, unexpected = model.load_state_dict(ours, strict=False)
    if unexpected:
        raise UserError(f"{folder}: its weights do not fit ({unexpected[0]} is unknown).")
    return sorted(set(model.state_dict()) - set(missing))


def _from_image_vit(theirs: dict[str, Tensor], depth: int) -> list[tuple[str, Tensor]]:
    try:
        pairs = [("cls", theirs["embeddings.cls_token"])]
        pairs += [(f"norm.{kind}", theirs[f"layernorm.{kind}"]) for kind in ("weight", "bias")]
        for index in range(depth):
            layer = f"encoder.layer.{index}."
            for kind in ("weight", "bias"):
                qkv = [theirs[f"{layer}attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
                pairs += [
                    (f"blocks.{index}.qkv.{kind}", torch.cat(qkv)),
                    (f"blocks.{index}.out.{kind}", theirs[f"{layer}attention.output.dense.{kind}"]),
                    (f"blocks.{index}.norm1.{kind}", theirs[f"{layer}layernorm_before.{kind}"]),
                    (f"blocks.{index}.norm2.{kind}", theirs[f"{layer}layernorm_after.{kind}"]),
                    (f"blocks.{index}.mlp.0.{kind}", theirs[f"{layer}intermediate.dense.{kind}"]),
                    (f"blocks.{index}.mlp.2.{kind}", theirs[f"{layer}output.dense.{kind}"]),
                ]
    except KeyError as error:
        raise UserError(f"the image ViT has no weight {error}. Save it with transformers' ViTModel.") from error
    return pairs
