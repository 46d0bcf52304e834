"""A causal LM that says what a function of its whole context says: for tests of the engine with known right answers.

It is an ordinary module with a key-value cache in which it keeps its token ids, so it sees exactly what the engine
gives it: a wrong position, mask, or reused prefix shows as a wrong context.
"""

from typing import Any

import torch
from transformers import LlamaConfig
from transformers.modeling_outputs import CausalLMOutputWithPast


class ScriptedLM:
    def __init__(self, script, vocab_size, context=4096):
        self.script = script
        self.config = LlamaConfig(
            vocab_size=vocab_size,
            num_hidden_layers=1,
            hidden_size=4,
            num_attention_heads=1,
            max_position_embeddings=context,
        )
        self.device = torch.device("cpu")

    def forward(
        self, input_ids, attention_mask=None, position_ids=None, past_key_values: Any = None, logits_to_keep=0, **_
    ):
        new = input_ids[:, None, :, None].float()
        _, values = past_key_values.update(new, new, 0)
        assert attention_mask is not None
        assert position_ids is not None
        assert values.shape[2] == attention_mask.shape[1]
        logits = torch.zeros((len(input_ids), 1, self.config.vocab_size))
        for row, mask in enumerate(attention_mask.bool()):
            context = values[row, 0, :, 0].long()[mask].tolist()
            assert int(position_ids[row, -1]) == len(context) - 1
            assert mask.tolist() == sorted(mask.tolist()), "padding is on the left"
            following = self.script(context)
            if following is not None:
                logits[row, 0, following] = 50.0
        return CausalLMOutputWithPast(logits=logits, past_key_values=past_key_values)

    __call__ = forward


def follow(sequences):
    """A script from whole sequences of token ids: what comes after each context (0 after one that is in none)."""
    following = {}
    for ids in sequences:
        for at in range(1, len(ids)):
            following.setdefault(tuple(ids[:at]), ids[at])
    return lambda context: following.get(tuple(context))
