"""A small vision-language model for screens, made from scratch: a convolutional image encoder before the copy decoder.

The decoder is `copy_llama`'s; pixels reach it in two ways. A coarse map of the screen stands before the text as image
tokens, as in LLaVA. The fine map (one vector for each cell of 5 × 5 pixels) is pointed at: where an action needs a
point, a pointer head scores every cell by the decoder's state, and the probability goes to the token of that cell's
point. So the model learns *where* as a heat map over what it sees instead of as numbers to be spelled:

    p(v) = (1 − g) p_copy_llama(v) + g sum_cell softmax(q k_cell / sqrt d) [v is the point of this cell]

About 0.6 M parameters with the defaults. Saved and loaded in the Hugging Face layout like any causal LM; the keys of
the cells travel in one more layer of the key-value cache.

Notable: log of the mixture comes out, normalised, as in `copy_llama`. `pixel_values` are bytes (uint8), which makes
batches and caches of screens four times smaller.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from turnsmith.agents.copy_llama import CopyLlamaConfig, CopyLlamaForCausalLM, small_llama

CELL = 5
"""Side of a cell of the fine map, in pixels of the model's input."""
_NEVER = -1e4
"""Log-probability of what is never said; finite, so that 0 times it is 0."""


class ScreenLlamaConfig(CopyLlamaConfig):
    """Configuration of `ScreenLlamaForCausalLM`.

    Attributes:
        image_height, image_width: of the model's input in pixels, multiples of `CELL`.
        vision_width: channels of the fine map.
        vision_layers: residual 3 × 3 convolutions over it.
        image_token_id: the placeholder that stands for one image token in the prompt.
        first_point_id: the token of the first cell's point; those of the other cells follow row by row.
    """

    model_type = "screen_llama"

    image_height: int = 190
    image_width: int = 90
    vision_width: int = 48
    vision_layers: int = 3
    image_token_id: int = 2
    first_point_id: int = 3

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the fine map."""
        return self.image_height // CELL, self.image_width // CELL


class ScreenEncoder(nn.Module):
    """Pixels to the fine map: overlapping patches, then residual convolutions. Also the encoder of Digi-Q's critics."""

    def __init__(self, width: int, layers: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, kernel_size=CELL + 4, stride=CELL, padding=2)
        self.place = nn.Parameter(0.02 * torch.randn(1, width, *grid))
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(layers))
        self.norms = nn.ModuleList(nn.GroupNorm(4, width) for _ in range(layers))

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """uint8 (or 0..255) pixels (B, 3, H, W) to features (B, width, rows, columns)."""
        pixels = (pixels_BCHW.float() / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)  # twice as fast
        hidden = self.patches(pixels) + self.place
        for layer, norm in zip(self.layers, self.norms, strict=True):
            hidden = hidden + F.gelu(layer(norm(hidden)))
        return hidden


class ScreenLlamaForCausalLM(CopyLlamaForCausalLM):
    """A causal LM that reads one screen and can point at it. Every prompt holds one screen (`image_tokens` of them)."""

    config_class = ScreenLlamaConfig
    config: ScreenLlamaConfig

    def __init__(self, config: ScreenLlamaConfig) -> None:
        super().__init__(config)
        width = config.vision_width
        self.screen = ScreenEncoder(width, config.vision_layers, config.grid)
        self.screen_tokens = nn.Conv2d(width, config.hidden_size, kernel_size=4, stride=4, padding=1)
        self.cell_key = nn.Conv2d(width, config.copy_dim, 1)
        self.cell_query = nn.Linear(config.hidden_size, config.copy_dim)
        self.cell_gate = nn.Linear(config.hidden_size, 1)
        nn.init.constant_(self.cell_gate.bias, -2.0)
        self._image: tuple[Tensor | None, Tensor] | None = None

    @property
    def image_tokens(self) -> int:
        """How many placeholders a prompt needs."""
        rows, columns = self.config.grid
        return ((rows - 2) // 4 + 1) * ((columns - 2) // 4 + 1)

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        pixel_values: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """As `CopyLlamaForCausalLM.forward`; `pixel_values` (B, 3, H, W) come with the first tokens of a sequence.

        Raises:
            ValueError: if there are neither pixels nor a cache that has seen them.
        """
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if pixel_values is not None:
            fine = self.screen(pixel_values)
            tokens = self.screen_tokens(fine).flatten(2).transpose(1, 2)
            keys = self.cell_key(fine).flatten(2).transpose(1, 2)
            if past_key_values is not None:
                self._remember(past_key_values, keys)
            self._image = (tokens, keys)
        else:
            layer = self.config.num_hidden_layers + 1
            if past_key_values is None or len(past_key_values.layers) <= layer:
                raise ValueError("a screen model needs pixel_values with the first tokens of a sequence")
            stored: Any = past_key_values.layers[layer]
            self._image = (None, stored.keys[:, 0])
        try:
            return super().forward(
                input_ids,
                attention_mask,
                position_ids,
                past_key_values,
                labels=labels,
                use_cache=use_cache,
                logits_to_keep=logits_to_keep,
                **kwargs,
            )
        finally:
            self._image = None

    def _remember(self, cache: DynamicCache, keys_BCd: Tensor) -> None:
        """Put the cells' keys into a layer of their own, behind that of the copy heads."""
        layers = self.config.num_hidden_layers
        while len(cache.layers) < layers + 2:
            cache.layers.append(type(cache.layers[0])())
        cache.update(keys_BCd[:, None], keys_BCd[:, None, :, :1], layers + 1)

    def _embed(self, ids_BT: Tensor, real_BT: Tensor, unique_BT: Tensor, past: int) -> Tensor:
        assert self._image is not None
        placeholder_BT = ids_BT == self.config.image_token_id
        embedded = super()._embed(ids_BT, real_BT, _apart(unique_BT, placeholder_BT), past)
        tokens, here = self._image[0], placeholder_BT[:, past:]
        if tokens is None:
            return embedded
        if int(here.sum()) != tokens.shape[0] * tokens.shape[1]:
            raise ValueError(f"each prompt needs {tokens.shape[1]} image tokens for its one screen")
        return embedded.masked_scatter(here[..., None], tokens.to(embedded.dtype))

    def _mixture(
        self, hidden_BKD: Tensor, keys_BHTC: Tensor, ids_BT: Tensor, real_BT: Tensor, unique_BT: Tensor, kept_K: Tensor
    ) -> Tensor:
        assert self._image is not None
        placeholder_BT = ids_BT == self.config.image_token_id
        text_BT = real_BT * ~placeholder_BT  # image tokens are nothing to copy
        spoken = super()._mixture(hidden_BKD, keys_BHTC, ids_BT, text_BT, _apart(unique_BT, placeholder_BT), kept_K)
        cells = self._image[1]
        scores = self.cell_query(hidden_BKD) @ cells.transpose(1, 2) / math.sqrt(cells.shape[-1])
        gate = self.cell_gate(hidden_BKD).float()
        pointed = F.logsigmoid(gate) + scores.float().log_softmax(dim=-1)
        spoken = spoken + F.logsigmoid(-gate)
        first = self.config.first_point_id
        last = first + cells.shape[1]
        both = torch.logaddexp(spoken[..., first:last], pointed)
        return self._without_image(torch.cat([spoken[..., :first], both, spoken[..., last:]], dim=-1))

    def _without_image(self, logp_BKV: Tensor) -> Tensor:
        """The distribution without the placeholder: said by a model it would stand for a screen that is not there."""
        image = self.config.image_token_id
        rest = torch.log1p(-logp_BKV[..., image : image + 1].exp().clamp(max=1 - 1e-6))
        kept = torch.arange(logp_BKV.shape[-1], device=logp_BKV.device) != image
        return torch.where(kept, logp_BKV - rest, _NEVER)


def _apart(unique_BT: Tensor, placeholder_BT: Tensor) -> Tensor:
    """Placeholders as ids that occur once: one image token is no repetition of another."""
    columns = torch.arange(unique_BT.shape[1], device=unique_BT.device)
    return torch.where(placeholder_BT, -3 - columns, unique_BT)


AutoConfig.register(ScreenLlamaConfig.model_type, ScreenLlamaConfig)
AutoModelForCausalLM.register(ScreenLlamaConfig, ScreenLlamaForCausalLM)


def new_screen_llama(
    vocab_size: int,
    image_token_id: int,
    first_point_id: int,
    width: int = 96,
    layers: int = 2,
    heads: int = 4,
    context: int = 512,
    seed: int = 0,
    **more: Any,
) -> ScreenLlamaForCausalLM:
    """A randomly initialised model.

    Args:
        vocab_size, image_token_id, first_point_id: of `screen_policy.screen_tokenizer`; pad is 0, end-of-sequence 1.
        width, layers, heads: of the decoder.
        context: the longest prompt and response, image tokens included.
        seed: of the initial weights.
        more: further fields of `ScreenLlamaConfig`.
    """
    config = ScreenLlamaConfig(
        **small_llama(vocab_size, width, layers, heads, context),
        image_token_id=image_token_id,
        first_point_id=first_point_id,
        **more,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ScreenLlamaForCausalLM(config)
