"""A LoRA adapter (arXiv 2106.09685) on a model that is to learn little by little of much.

It sits on every linear layer but those of the vision tower, its projector and the output head, as PAE's does (arXiv
2412.13194). Saving such a model saves the adapter alone, with the name of the folder that its base model came from.
"""

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from turnsmith.errors import UserError

_LEFT_ALONE = ("vision", "visual", "projector", "lm_head", "connector")
"""Parts of a module's name that keep an adapter away."""


def add_adapter(model: PreTrainedModel, rank: int, alpha: int, dropout: float, seed: int = 0) -> PeftModel:
    """The model with a fresh adapter, which alone learns; it acts as before until it has learned.

    Args:
        model: of a folder.
        rank, alpha, dropout: see `recipes.shared.web_config.Lora`.
        seed: of the adapter's first weights.

    Raises:
        UserError: if the model has an adapter already, or no layer that could take one.
    """
    if isinstance(model, PeftModel):
        raise UserError("the model has an adapter already, which goes on learning: set lora.rank to 0.")
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not any(part in name for part in _LEFT_ALONE)
    ]
    if not layers:
        raise UserError(f"a model of type {model.config.model_type!r} has no layer that an adapter could sit on.")
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, settings).eval()  # pyright: ignore[reportReturnType]
