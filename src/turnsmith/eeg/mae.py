"""Masked autoencoders over EEGViT: the one that was released for arXiv 2408.05375, and one that does what MAE means.

`PaperMae` hides single values (half of the 129 x 500), drops no token, and decodes the whole window from the class
token with cosine loss on the hidden values. Its decoder receives (batch, width), which torch's encoder reads as one
sequence: attention runs across the batch. That is kept.

`FixedMae` hides whole patches and drops them, so that a hidden patch costs nothing in the encoder; a small decoder over
the full sequence (He et al. 2021) predicts each hidden patch, by mean squared error of normalised values.

Notable: single hidden values at 500 Hz can be interpolated from their neighbours, so a low loss of `PaperMae` proves
nothing. `interpolate_values` and `interpolate_patches` give what interpolation alone reaches.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from turnsmith.eeg.vit import Block, EEGViT, attend_to_similar, init_weights, waves


def mask_values(eeg: Tensor, ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """1 where a value stays and 0 where it is hidden; exactly int(ratio x values) are hidden in each window.

    Args:
        eeg: (batch, channels, samples).
        ratio: share of values to hide; 0.5 as released.
        generator: of the draw, on the CPU.
    """
    values = eeg[0].numel()
    order = torch.rand(len(eeg), values, generator=generator).argsort(1)
    mask = torch.ones(len(eeg), values)
    mask.scatter_(1, order[:, : int(ratio * values)], 0.0)
    return mask.view_as(eeg).to(eeg.device, eeg.dtype)


def mask_tokens(
    batch: int, tokens: int, ratio: float, generator: torch.Generator | None = None, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """A random split of each window's tokens: indices that are kept and that are hidden, sorted.

    Drawn on `device`; without a generator that is where they are wanted, so that no step waits for the host.

    Returns:
        keep (batch, tokens - hidden) and hidden (batch, int(ratio x tokens)).
    """
    order = torch.rand(batch, tokens, generator=generator, device=device).argsort(1)
    hidden = int(ratio * tokens)
    return order[:, hidden:].sort(1).values, order[:, :hidden].sort(1).values


class PaperMae(nn.Module):
    """The released pretraining model.

    Args:
        encoder: an `EEGViT`; its head is not used.
        ratio: share of values hidden.
        heads, hidden: of the two decoder layers (8 and 2048 as released).
    """

    def __init__(self, encoder: EEGViT, ratio: float = 0.5, heads: int = 8, hidden: int = 2048) -> None:
        super().__init__()
        self.encoder, self.ratio = encoder, ratio
        width, values = encoder.width, encoder.n_chans * encoder.n_times
        layer = nn.TransformerEncoderLayer(width, heads, hidden, batch_first=True)
        self.decoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.fc1, self.fc2 = nn.Linear(width, width // 2), nn.Linear(width // 2, values)

    def reconstruct(self, eeg: Tensor) -> Tensor:
        """(batch, n_chans, n_times) to the same, from the class token alone."""
        token = self.encoder.encode(self.encoder.patches(eeg))[:, 0]
        # A 2-D input is one unbatched sequence to torch: the windows of the batch attend to each other.
        return self.fc2(functional.relu(self.fc1(self.decoder(token)))).view_as(eeg)

    def forward(self, eeg: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The loss of one batch: 1 - cosine between prediction and truth over the hidden values."""
        mask = mask_values(eeg, self.ratio, generator)
        return cosine_loss(self.reconstruct(eeg * mask) * (1 - mask), eeg * (1 - mask))


def cosine_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean over windows of 1 - cosine of the flattened windows."""
    return (1 - functional.cosine_similarity(predicted.flatten(1), truth.flatten(1), dim=1)).mean()


class FixedMae(nn.Module):
    """Masked autoencoder with dropped tokens and a sequence decoder.

    Args:
        encoder: an `EEGViT`; its head is not used.
        ratio: share of tokens hidden.
        width, depth, heads: of the decoder.
        normalise: what the targets are scaled by: "patch" (each patch by its own mean and spread, as in MAE) or
            "channel" (left as they come: the input is standardised by channel), which keeps amplitudes.
        drop: False feeds a mask token for each hidden patch to the encoder instead of dropping it: the comparison for
            what dropping saves.
    """

    def __init__(
        self,
        encoder: EEGViT,
        ratio: float = 0.5,
        *,
        width: int = 512,
        depth: int = 2,
        heads: int = 8,
        normalise: str = "channel",
        drop: bool = True,
    ) -> None:
        super().__init__()
        if normalise not in ("patch", "channel"):
            raise ValueError(f"normalise is {normalise!r}; it is 'patch' or 'channel'")
        if depth < 1:
            raise ValueError(f"the decoder has {depth} blocks; it needs at least 1 to look at what was kept")
        self.encoder, self.ratio, self.normalise, self.drop = encoder, ratio, normalise, drop
        self.embed = nn.Linear(encoder.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, encoder.tokens, width))
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, 1e-6)
        self.predict = nn.Linear(width, encoder.patch_chans * encoder.patch_samples)
        for part in (self.embed, self.blocks, self.predict):
            part.apply(init_weights)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        attend_to_similar(self.blocks)
        with torch.no_grad():
            self.positions[0] = waves(encoder.grid, width)
        # Without dropping, the encoder itself reads mask tokens.
        self.encoder_mask_token = None if drop else nn.Parameter(torch.zeros(1, 1, encoder.width))

    def reconstruct(self, patches: Tensor, keep: Tensor, hidden: Tensor) -> Tensor:
        """Predictions for the hidden patches, (batch, hidden, patch_chans x patch_samples)."""
        encoder = self.encoder
        if self.encoder_mask_token is None:
            seen = self.embed(encoder.encode(patches, keep)[:, 1:])
            full = self.mask_token.expand(len(patches), encoder.tokens, -1)
            full = full.scatter(1, keep[:, :, None].expand_as(seen), seen)
        else:
            tokens = encoder.amplified(encoder.stem(patches))
            masked = self.encoder_mask_token.expand(len(patches), hidden.shape[1], -1)
            tokens = tokens.scatter(1, hidden[:, :, None].expand_as(masked), masked)
            full = self.embed(encoder.transform(tokens + encoder.positions[:, 1:])[:, 1:])
        x = full + self.positions
        for block in self.blocks[:-1]:
            x = block(x)
        # Of the last block only the hidden tokens are read; the others are looked at and cost nothing more.
        return self.predict(self.norm(self.blocks[-1](x, hidden)))

    def forward(self, eeg: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The loss of one batch: mean squared error over hidden patches, 1 for a prediction of zero (about)."""
        patches = self.encoder.patches(eeg)
        keep, hidden = mask_tokens(len(eeg), self.encoder.tokens, self.ratio, generator, eeg.device)
        return functional.mse_loss(self.reconstruct(patches, keep, hidden), self.targets(patches, hidden))

    def targets(self, patches: Tensor, hidden: Tensor) -> Tensor:
        """The hidden patches as the loss wants them, (batch, hidden, patch_chans x patch_samples)."""
        flat = patches.flatten(2)
        target = flat.gather(1, hidden[:, :, None].expand(-1, -1, flat.shape[2]))
        if self.normalise == "patch":
            target = (target - target.mean(2, keepdim=True)) / (target.var(2, keepdim=True) + 1e-6).sqrt()
        return target


def interpolate_values(eeg: Tensor, mask: Tensor) -> Tensor:
    """Fill hidden values by linear interpolation in time within each channel: the baseline for `PaperMae`.

    Args:
        eeg: (batch, channels, samples).
        mask: 1 where a value is known.
    """
    samples = eeg.shape[-1]
    index = torch.arange(samples, device=eeg.device).expand_as(eeg)
    known = mask > 0
    before = torch.where(known, index, -1).cummax(-1).values
    after = torch.where(known, index, samples).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before >= 0, before, after.clamp(max=samples - 1))
    right = torch.where(after < samples, after, left)
    share = (index - left) / (right - left).clamp(min=1)
    low, high = eeg.gather(-1, left), eeg.gather(-1, right)
    return torch.where(known, eeg, low + share * (high - low))


def interpolate_patches(patches: Tensor, grid: tuple[int, int], keep: Tensor) -> Tensor:
    """Fill hidden patches linearly from the nearest known ones in time, each channel: the baseline for `FixedMae`.

    Args:
        patches: (batch, tokens, patch_chans, patch_samples).
        grid: channel groups and time spans.
        keep: indices of the known patches, (batch, kept).

    Returns:
        All patches, the known ones unchanged. A group with no known patch becomes zero.
    """
    batch, tokens, chans, kernel = patches.shape
    groups, spans = grid
    known = torch.zeros(batch, tokens, device=patches.device).scatter_(1, keep, 1.0)
    mask = known.view(batch, groups, 1, spans, 1).expand(-1, -1, chans, -1, kernel).reshape(batch, groups * chans, -1)
    signal = patches.view(batch, groups, spans, chans, kernel).transpose(2, 3).reshape(batch, groups * chans, -1)
    filled = interpolate_values(signal * mask, mask)
    return filled.view(batch, groups, chans, spans, kernel).transpose(2, 3).reshape(patches.shape)
