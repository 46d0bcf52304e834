"""The paper's generator on a tiny random Stable Diffusion with ControlNet: the real pipeline class, no weights."""

import numpy as np
import pytest

from turnsmith.errors import UserError
from turnsmith.robot.diffusion import Diffusion, load_pipeline
from turnsmith.robot.settings import SynthesisSettings
from turnsmith.robot.synthesis import synthesize

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def pipeline():
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "cross_attention_dim": 16}
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **blocks,
    )  # fmt: skip
    control = diffusers.ControlNetModel(
        in_channels=4, attention_head_dim=2, conditioning_embedding_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), **blocks,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8), in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    text = CLIPTextModel(
        CLIPTextConfig(
            hidden_size=16, intermediate_size=32, num_attention_heads=2, num_hidden_layers=1, vocab_size=600,
            projection_dim=16,
        )
    )  # fmt: skip
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1} | {
        letter + end: 2 + index
        for index, (letter, end) in enumerate((c, e) for c in "abcdefghijklmnopqrstuvwxyz,. " for e in ("", "</w>"))
    }
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[])
    tokenizer.model_max_length = 77
    made = diffusers.StableDiffusionControlNetInpaintPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, controlnet=control,
        scheduler=diffusers.DPMSolverMultistepScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made


def test_only_the_region_is_drawn_and_the_seed_decides(pipeline, sample):
    generator = Diffusion(pipeline, size=64, steps=2)
    settings = SynthesisSettings(variants=2)
    first, second = synthesize([sample], settings, generator, 0)
    (again, _) = synthesize([sample], settings, generator, 0)
    assert np.array_equal(first.rgb_HW3, again.rgb_HW3)
    assert not np.array_equal(first.rgb_HW3, second.rgb_HW3)
    changed = (first.rgb_HW3 != sample.rgb_HW3).any(2)
    assert changed[(sample.parts_HW > 0) & (first.parts_HW > 0)].mean() > 0.9
    assert not changed[:, :3].any()  # far from every object the image is the original's, to the pixel
    assert first.made["generator"] == "diffusers"


def test_the_paper_s_controls_reach_the_pipeline(sample):
    from PIL import Image

    seen = {}

    class Spy:
        def __call__(self, **inputs):
            seen.update(inputs)
            return type("Out", (), {"images": [Image.new("RGB", (512, 512))]})()

    synthesize([sample], SynthesisSettings(variants=1), Diffusion(Spy()), 0)
    assert (seen["num_inference_steps"], seen["guidance_scale"], seen["strength"]) == (20, 7.0, 0.75)
    assert seen["controlnet_conditioning_scale"] == 1.0
    assert seen["image"].size == seen["mask_image"].size == seen["control_image"].size == (512, 512)
    assert "top down view" in seen["prompt"]


def test_weights_that_are_not_there_are_the_users_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="could not be loaded"):
        load_pipeline(tmp_path, tmp_path)
