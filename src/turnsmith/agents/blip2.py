"""Pooled vectors of a frozen BLIP-2 vision tower: what Auto-UI and the papers' critics see of a screen."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from turnsmith.errors import UserError
from turnsmith.trace.types import ImageRef


class Blip2Vectors:
    """Images to vectors, each computed once.

    Args:
        model: a `Blip2VisionModel` (or a BLIP-2 model, whose `vision_model` is taken).
        processor: its image processor; one of the `…Pil` kind needs no torchvision.
        name: of the weights.
    """

    def __init__(self, model: Any, processor: Any, name: str = "blip2") -> None:
        self.model = getattr(model, "vision_model", model).eval().requires_grad_(False)
        self.processor, self.name = processor, name
        self._known: dict[str, Tensor] = {}

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        return int(self.model.config.hidden_size)

    def __call__(self, images: Sequence[ImageRef]) -> Tensor:
        """(N, size) in float32, on the CPU.

        Raises:
            ValueError: if an image that was not seen before has no bytes.
        """
        missing = list({image.digest: image for image in images if image.digest not in self._known}.values())
        if missing:
            pixels = self.processor(images=[_opened(image) for image in missing], return_tensors="pt").pixel_values
            with torch.inference_mode():
                vectors = self.model(pixel_values=pixels.to(self.model.device)).pooler_output.float().cpu().clone()
            self._known.update((image.digest, vector) for image, vector in zip(missing, vectors, strict=True))
        return torch.stack([self._known[image.digest] for image in images])


def load_blip2(folder: str | Path, device: str = "cpu") -> Blip2Vectors:
    """The vision tower of a BLIP-2 folder (`Salesforce/blip2-opt-2.7b`), or of one that holds the tower alone.

    Raises:
        UserError: if it is no such folder.
    """
    folder = Path(folder)
    try:
        model, loaded = transformers.Blip2VisionModel.from_pretrained(folder, output_loading_info=True)  # type: ignore
        if loaded["missing_keys"]:
            model.load_state_dict(_tower(folder))
        processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(f"{folder}: not a BLIP-2 folder with its image processor ({line}).") from error
    model.to(device)  # type: ignore[arg-type]
    return Blip2Vectors(model, processor, hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16])


def _tower(folder: Path) -> dict[str, Tensor]:
    """The weights of the vision tower in the folder of a whole BLIP-2."""
    weights: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as shard:
            for name in shard.keys():  # noqa: SIM118
                if "vision_model." in name:
                    weights[name.partition("vision_model.")[2]] = shard.get_tensor(name).float()
    return weights


def _opened(image: ImageRef) -> Image.Image:
    if image.data is None:
        raise ValueError(f"image {image.digest[:12]} has no bytes here; fetch it with Store.image")
    return Image.open(io.BytesIO(image.data)).convert("RGB")
