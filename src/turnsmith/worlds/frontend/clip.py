"""ColBench's own measure: the cosine of two pictures' CLIP embeddings (ViT-B/32 in the paper), from a local folder."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from turnsmith.errors import UserError

_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
"""Of CLIP's training pictures, by colour: part of the model (its published preprocessing)."""


class ClipSimilarity:
    """Cosine of image embeddings.

    Attributes:
        name: "clip".
    """

    name = "clip"

    def __init__(self, folder: Path) -> None:
        """Load a CLIP model.

        Raises:
            UserError: if the folder holds none.
        """
        if not (folder / "config.json").exists():
            raise UserError(f"--clip {folder}: there is no CLIP model here (no config.json).")
        try:
            config = CLIPConfig.from_pretrained(folder)
            if config.model_type != "clip":
                raise ValueError(f"a model of type {config.model_type!r}")
            self._model = CLIPModel.from_pretrained(folder).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"--clip {folder}: no usable CLIP model ({str(error).splitlines()[0]}).") from error
        size: Any = config.vision_config.image_size  # pyright: ignore[reportOptionalMemberAccess,reportAttributeAccessIssue]
        self._size = int(size)

    def compare(self, first: bytes, second: bytes) -> float:
        """The cosine; 1 for equal pictures."""
        pixels_BCHW = torch.stack([self._pixels(first), self._pixels(second)])
        with torch.inference_mode():
            pooled_BH = self._model.vision_model(pixel_values=pixels_BCHW).pooler_output
            embedded_BE = torch.nn.functional.normalize(self._model.visual_projection(pooled_BH), dim=-1)
        return float((embedded_BE[0] * embedded_BE[1]).sum())

    def _pixels(self, data: bytes) -> torch.Tensor:
        """CLIP's preprocessing: the shorter side to the model's size, the middle of it, colours centred, (3, H, W)."""
        image, size = Image.open(io.BytesIO(data)).convert("RGB"), self._size
        scale = size / min(image.size)
        wide, high = (max(size, round(side * scale)) for side in image.size)
        image = image.resize((wide, high), Image.Resampling.BICUBIC)
        left, top = (wide - size) // 2, (high - size) // 2
        cut = np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.float32) / 255
        return torch.from_numpy((cut - _MEAN) / _STD).permute(2, 0, 1)
