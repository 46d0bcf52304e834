"""APR's models from scratch: a Llama, or the same trunk with copy heads, and where the embeddings of numbers start."""

import math
from typing import Any

import torch

from turnsmith.agents.copy_llama import new_copy_llama, small_llama
from turnsmith.recipes.apr.config import Config, Size
from turnsmith.worlds.countdown.vocabulary import Vocabulary

PERIODS = (2, 3, 5, 7, 10, 20, 50, 100)


def new_model(config: Config) -> Any:
    """A randomly initialised model of this configuration's size, fp32, in `eval()` mode on its device."""
    size, vocabulary = config.size, config.tier.vocabulary()
    model = _plain(size, len(vocabulary), config.seed)
    if size.number_features:
        number_features(model, vocabulary)
    found = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(found if config.device == "auto" else config.device)


def _plain(size: Size, words: int, seed: int) -> Any:
    if size.pointer_dropout is not None:
        return new_copy_llama(
            words, size.width, size.layers, size.heads, size.context, seed, pointer_dropout=size.pointer_dropout
        )
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = small_llama(words, size.width, size.layers, size.heads, size.context)
    made = LlamaConfig(**{**sizes, "tie_word_embeddings": size.width < 1024})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(made)


def number_features(model: Any, vocabulary: Vocabulary) -> None:
    """Add sines and cosines of each number's value at several periods to its initial embedding.

    Trained models represent numbers like this by themselves (arXiv 2502.00873); starting there spares a small model
    most of the examples that it takes to find out. Everything stays trainable.
    """
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        for index, token in enumerate(vocabulary.tokens):
            value = token.removeprefix("~")
            if value.isdigit():
                angles = [2 * math.pi * int(value) / period for period in PERIODS]
                features = [wave(angle) for angle in angles for wave in (math.cos, math.sin)][: weight.shape[1]]
                weight[index, : len(features)] += 0.05 * torch.tensor(features)
