"""The paper's generator: Stable Diffusion 1.5 inpainting guided by a ControlNet, through `diffusers`.

The controls of the released code: `control_v11p_sd15_softedge` at weight 1 over all steps, 512 x 512, 20 steps of
DPM++ 2M, guidance 7, denoising .75, mask blurred by 4 pixels. Any pipeline object with the call of
`StableDiffusionControlNetInpaintPipeline` serves; tests hand in tiny random ones.

Notable: the inpainted region is what the object leaves and where it goes, max(m, h(m)); the seed differs by variant
(the released code draws every image with seed 42).
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from turnsmith.errors import UserError, require
from turnsmith.robot.settings import Context
from turnsmith.robot.synthesis import NEGATIVE, Request

CONTROLNETS: dict[Context, str] = {
    "softedge": "lllyasviel/control_v11p_sd15_softedge",
    "depth": "lllyasviel/control_v11f1p_sd15_depth",
    "segmentation": "lllyasviel/control_v11p_sd15_seg",
    "canny": "lllyasviel/control_v11p_sd15_canny",
}
"""The ControlNets of each context, by their names on the Hugging Face hub."""


class Pipeline(Protocol):
    """What is used of a diffusers pipeline: its call, which returns an object with `images`."""

    def __call__(self, **inputs: Any) -> Any: ...


class Diffusion:
    """Draws objects with a pipeline.

    Args:
        pipeline: a `StableDiffusionControlNetInpaintPipeline`.
        size: side of what it draws; the paper has 512.
        steps, guidance, strength, control_weight: of the paper's code.
        grow: dilation of the inpainted region, pixels of a 700-pixel image (the paper has 10).
    """

    name = "diffusers"

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        size: int = 512,
        steps: int = 20,
        guidance: float = 7.0,
        strength: float = 0.75,
        control_weight: float = 1.0,
        grow: int = 10,
    ) -> None:
        self.pipeline, self.size, self.steps = pipeline, size, steps
        self.guidance, self.strength, self.control_weight, self.grow = guidance, strength, control_weight, grow

    def draw(self, request: Request) -> np.ndarray:
        """See `synthesis.Generator.draw`. What is outside the inpainted region stays as it was, to the pixel."""
        import torch

        side = request.rgb_HW3.shape[1]
        region = request.old_HW | (request.new_HW > 0.5)
        grown = ndimage.binary_dilation(region, iterations=max(1, round(self.grow * side / 700)))
        control = Image.fromarray((255 * np.clip(request.context_HW, 0, 1)).astype(np.uint8)).convert("RGB")
        mask = Image.fromarray(np.where(grown, 255, 0).astype(np.uint8)).resize((self.size, self.size))
        seed = int(request.rng.integers(2**31))
        drawn = self.pipeline(
            prompt=request.description,
            negative_prompt=NEGATIVE,
            image=Image.fromarray(request.rgb_HW3).resize((self.size, self.size)),
            mask_image=mask.filter(ImageFilter.GaussianBlur(4 * self.size / 512)),
            control_image=control.resize((self.size, self.size)),
            height=self.size,
            width=self.size,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            strength=self.strength,
            controlnet_conditioning_scale=self.control_weight,
            generator=torch.Generator().manual_seed(seed),
        ).images[0]
        new = np.asarray(drawn.convert("RGB").resize((side, side)))
        soft = np.clip(ndimage.gaussian_filter(grown.astype(np.float32), 1.0), 0, 1)[..., None]
        soft = np.where(grown[..., None], soft, 0)
        return np.clip(new * soft + request.rgb_HW3 * (1 - soft), 0, 255).astype(np.uint8)


def load_pipeline(base: str | Path, controlnet: str | Path, device: str = "cpu") -> Pipeline:
    """Load Stable Diffusion (1.5 or kin) and a ControlNet from folders, or from the hub where it is reached.

    Raises:
        UserError: if diffusers is missing, or the weights are not there.
    """
    require("diffusers", "diffusion")
    import torch
    from diffusers import ControlNetModel, DPMSolverMultistepScheduler, StableDiffusionControlNetInpaintPipeline

    dtype = torch.float32 if device == "cpu" else torch.float16
    try:
        control = ControlNetModel.from_pretrained(str(controlnet), torch_dtype=dtype, use_safetensors=True)
        pipeline = StableDiffusionControlNetInpaintPipeline.from_pretrained(
            str(base), controlnet=control, torch_dtype=dtype, safety_checker=None, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(f"{base} with {controlnet}: the weights could not be loaded ({line}).") from error
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)  # pyright: ignore[reportReturnType]
