"""APR's models from scratch: a Llama, or the same trunk with copy heads, and where the embeddings of numbers start."""

import math
from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from turnsmith.agents.copy_llama import CopyLlamaConfig, CopyLlamaForCausalLM, small_llama
from turnsmith.recipes.apr.config import Config
from turnsmith.recipes.apr.threads import CompactThreads, Wording

PERIODS = (2, 3, 5, 7, 10, 20, 50, 100)


def new_model(config: Config, wording: Wording) -> PreTrainedModel:
    """A randomly initialised model of this configuration's size, fp32, in `eval()` mode on its device."""
    size = config.size
    fields = small_llama(wording.vocabulary_size, size.width, size.layers, size.heads, size.context)
    fields |= {"intermediate_size": size.mlp, "tie_word_embeddings": size.tied, "eos_token_id": wording.end}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if size.pointer_dropout is None:
            model: PreTrainedModel = LlamaForCausalLM(LlamaConfig(**fields))
        else:
            model = CopyLlamaForCausalLM(CopyLlamaConfig(**fields, pointer_dropout=size.pointer_dropout))
    if size.number_features and isinstance(wording, CompactThreads):
        number_features(model, wording.vocabulary.tokens)
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(device)  # pyright: ignore[reportArgumentType]


def number_features(model: PreTrainedModel, tokens: Sequence[str]) -> None:
    """Add sines and cosines of each number's value at several periods to its initial embedding.

    Trained models represent numbers like this by themselves (arXiv 2502.00873); starting there spares a small model
    most of the examples that it takes to find out. Everything stays trainable.
    """
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    with torch.no_grad():
        for index, token in enumerate(tokens):
            value = token.removeprefix("~")
            if value.isdigit():
                angles = [2 * math.pi * int(value) / period for period in PERIODS]
                features = [wave(angle) for angle in angles for wave in (math.cos, math.sin)][: weight.shape[1]]
                weight[index, : len(features)] += 0.05 * torch.tensor(features)
