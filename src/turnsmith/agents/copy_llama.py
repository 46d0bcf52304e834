"""A small Llama that can copy: the policy model that a laptop trains from scratch in minutes.

An agent on web pages mostly repeats what it reads: a name from the goal, the mark that stands after it, the text to
type. A few million parameters learn the decisions quickly but not how to spell names that they have never seen. So the
next-token distribution is a mixture of the usual softmax over the vocabulary and a pointer into the context
(pointer-generator networks, arXiv 1704.04368):

    p(v) = g_0 softmax(h E^T)_v + sum_h g_h sum_j a_hj [token_j = v]

There are two kinds of copy heads. A content head scores position j by the state of the token there: "the mark that
belongs to this name". An induction head scores it by the state of the token *before*, plus a learned bonus for each of
the last tokens that match those before j: "find where this was said, copy what came next" (the n-gram heads of arXiv
2401.12973). The longest match also speaks for the gate, directly, so that the model copies on through words whose
embeddings it has never trained. The trunk is transformers' `LlamaModel`, with two aids at its input that tell each
token what stands before it and how long an n-gram ending in it was seen earlier. docs/models.md has what each part is
worth.

Notable: the returned `logits` are the log of the mixture. They are normalised already, so cross-entropy, sampling and
log-probabilities work as for any causal LM. Token ids and copy keys travel in one extra layer of the key-value cache.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    GenerationMixin,
    LlamaConfig,
    LlamaModel,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast


class CopyLlamaConfig(LlamaConfig):
    """Configuration of `CopyLlamaForCausalLM`: that of a Llama with tied embeddings, and the copy head.

    Attributes:
        content_heads: pointers that find a token by its own state.
        induction_heads: pointers that find a token by what stands before it.
        copy_dim: width of a copy head's queries and keys.
        match_length: longest n-gram that copy heads and input recognise as said before.
        smear: how many preceding tokens are mixed into each token's embedding.
        pointer_dropout: share of the rows that learn without pointers while the model trains. Pointers learn to repeat
            at once, and then the trunk never does; but repeating is how it learns to say what it has read, which it
            needs where an answer has to be computed instead (recipes/apr/NOTES.md says what that is worth).
    """

    model_type = "copy_llama"

    content_heads: int = 1
    induction_heads: int = 1
    copy_dim: int = 32
    match_length: int = 4
    smear: int = 2
    pointer_dropout: float = 0.0


def match_lengths(ids_BT: Tensor, rows_R: Tensor, longest: int) -> Tensor:
    """How many tokens up to and including row r equal those up to and including position j, capped at `longest`.

    Args:
        ids_BT: token ids; padding must hold values that occur once in their row.
        rows_R: the positions r to ask about.

    Returns:
        Shape (B, R, T), int8. Position j may lie after r; callers mask that.
    """
    width = ids_BT.shape[1]
    running: Tensor | None = None
    total = torch.zeros(ids_BT.shape[0], len(rows_R), width, dtype=torch.int8, device=ids_BT.device)
    for offset in range(longest):
        at = rows_R - offset
        here = ids_BT[:, at.clamp_min(0)].masked_fill(at < 0, -1)
        there = F.pad(ids_BT[:, : width - offset], (offset, 0), value=-2) if offset < width else None
        if there is None:
            break
        same = here[:, :, None] == there[:, None, :]
        running = same if running is None else running & same
        total += running
    return total


def longest_match(match_BRT: Tensor, rows_R: Tensor) -> Tensor:
    """Of each row r, the longest match with a position before r: how much of what was just said was said before."""
    earlier_RT = torch.arange(match_BRT.shape[2], device=rows_R.device)[None, :] < rows_R[:, None]
    return (match_BRT * earlier_RT).amax(dim=2).long()


class CopyLlamaForCausalLM(PreTrainedModel, GenerationMixin):
    """A causal LM whose logits are the log of a vocabulary-and-copy mixture. Use it like any other."""

    config_class = CopyLlamaConfig
    config: CopyLlamaConfig
    base_model_prefix = "model"
    _supports_sdpa = True
    _no_split_modules = ["LlamaDecoderLayer"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012

    def __init__(self, config: CopyLlamaConfig) -> None:
        super().__init__(config)
        width, heads = config.hidden_size, config.content_heads + config.induction_heads
        self.model = LlamaModel(config)
        self.copy_query = nn.Linear(width, heads * config.copy_dim, bias=False)
        self.copy_key = nn.Linear(width, heads * config.copy_dim, bias=False)
        self.copy_gate = nn.Linear(width, heads + 1)
        self.copy_match = nn.Parameter(torch.empty(config.induction_heads, config.match_length + 1))
        self.gate_match = nn.Parameter(torch.empty(config.induction_heads, config.match_length + 1))
        self.seen_embedding = nn.Parameter(torch.empty(config.match_length + 1, width))
        self.smear = nn.Parameter(torch.empty(config.smear, width))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            length = torch.arange(self.config.match_length + 1.0)
            # These scalars move by a learning rate an update, so they start where they are needed: one matching token
            # has to outweigh a page of 150 tokens that do not match.
            bonus = torch.where(length > 0, 2.5 + 2.4 * length, 0.0)
            with torch.no_grad():
                self.copy_match.copy_(bonus.expand_as(self.copy_match))
                self.gate_match.copy_(length.expand_as(self.gate_match))
                self.seen_embedding.normal_(0.0, self.config.initializer_range)
                self.smear.fill_(0.5)
                self.copy_gate.weight.zero_()
                self.copy_gate.bias.zero_()

    def get_output_embeddings(self) -> None:
        """None: the output projection is the input embedding itself."""
        return

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Log of the next-token mixture, shape (B, kept, V), and the cache.

        Args:
            input_ids: (B, N) new tokens.
            attention_mask: (B, past + N), 1 on real tokens; padding may be left or right. None: all real.
            position_ids: (B, N); None counts from each row's first real token.
            past_key_values: the cache of earlier tokens; it is extended.
            labels: (B, N) with -100 where nothing is asked: adds the loss.
            use_cache: make a cache where none was given.
            logits_to_keep: how many of the last positions, or which (a 1-D tensor); 0 keeps all.
        """
        rows, new = input_ids.shape
        layers = self.config.num_hidden_layers
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        past_ids = None if past_key_values is None else self._ids_of(past_key_values)
        ids = input_ids if past_ids is None else torch.cat([past_ids, input_ids], dim=1)
        total = ids.shape[1]
        past = total - new
        real = torch.ones_like(ids) if attention_mask is None else attention_mask.long()
        if position_ids is None:
            position_ids = (real.cumsum(dim=1) - 1).clamp_min(0)[:, past:]
        columns = torch.arange(total, device=ids.device)
        # Padding becomes ids that occur once, so that it matches nothing.
        unique = torch.where(real.bool(), ids, -3 - columns)

        hidden = self.model(
            inputs_embeds=self._embed(ids, real, unique, past),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=past_key_values is not None,
        ).last_hidden_state

        keys = self.copy_key(hidden).view(rows, new, -1, self.config.copy_dim).transpose(1, 2)
        if past_key_values is not None:
            new_ids = input_ids[:, None, :, None].to(keys.dtype)
            keys, _ = past_key_values.update(keys, new_ids, layers)

        kept = columns[past:]
        kept = kept[logits_to_keep] if isinstance(logits_to_keep, Tensor) else kept[-logits_to_keep:]
        logits = self._mixture(hidden[:, kept - past], keys, ids, real, unique, kept)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def _ids_of(self, cache: DynamicCache) -> Tensor | None:
        """The token ids (B, past) that the cache keeps in a layer of its own, which is made here; None before any."""
        layers = self.config.num_hidden_layers
        if len(cache.layers) == layers:
            cache.layers.append(type(cache.layers[0])())
        if cache.get_seq_length() == 0:
            return None
        stored: Any = cache.layers[layers]
        return stored.values[:, 0, :, 0].long()

    def _embed(self, ids_BT: Tensor, real_BT: Tensor, unique_BT: Tensor, past: int) -> Tensor:
        """Embeddings of the new tokens (B, N, D): each with what stands before it and whether it was said before."""
        total = ids_BT.shape[1]
        embedded = self.model.embed_tokens(ids_BT[:, max(0, past - self.config.smear) :])
        new = embedded[:, embedded.shape[1] - (total - past) :]
        mixed = new
        for offset in range(1, self.config.smear + 1):
            before = F.pad(embedded, (0, 0, offset, 0))[:, : embedded.shape[1]][:, -new.shape[1] :]
            exists = F.pad(real_BT, (offset, 0))[:, past:total].to(embedded.dtype)
            mixed = mixed + self.smear[offset - 1] * before * exists[..., None]
        columns = torch.arange(past, total, device=ids_BT.device)
        longest = longest_match(match_lengths(unique_BT, columns, self.config.match_length), columns)
        return mixed + self.seen_embedding[longest]

    def _mixture(
        self, hidden_BKD: Tensor, keys_BHTC: Tensor, ids_BT: Tensor, real_BT: Tensor, unique_BT: Tensor, kept_K: Tensor
    ) -> Tensor:
        """Log-probabilities (B, K, V) at the kept positions."""
        batch, total = ids_BT.shape
        content = self.config.content_heads
        queries = self.copy_query(hidden_BKD).view(batch, len(kept_K), -1, self.config.copy_dim).transpose(1, 2)
        # Induction heads find position j by key and match length of j - 1 (nothing for the first token).
        has_before = F.pad(real_BT[:, :-1], (1, 0)).to(keys_BHTC.dtype)
        before = F.pad(keys_BHTC[:, content:, :-1], (0, 0, 1, 0)) * has_before[:, None, :, None]
        keys = torch.cat([keys_BHTC[:, :content], before], dim=1)
        scores = queries @ keys.transpose(2, 3) / math.sqrt(self.config.copy_dim)
        match = match_lengths(unique_BT, kept_K, self.config.match_length)
        longest = longest_match(match, kept_K)
        match = F.pad(match[:, :, :-1], (1, 0)).long()
        bonus = self.copy_match[:, match].transpose(0, 1)
        scores = scores + F.pad(bonus, (0, 0, 0, 0, content, 0))
        columns = torch.arange(total, device=ids_BT.device)
        allowed = (columns[None, :] <= kept_K[:, None])[None] & real_BT.bool()[:, None, :]
        attention = scores.float().masked_fill(~allowed[:, None], -1e9).softmax(dim=-1)

        gate = self.copy_gate(hidden_BKD) + F.pad(self.gate_match[:, longest].permute(1, 2, 0), (content + 1, 0))
        if self.training and self.config.pointer_dropout > 0:
            dropped_B = torch.rand(batch, device=gate.device) < self.config.pointer_dropout
            pointers = torch.arange(gate.shape[-1], device=gate.device) > 0
            gate = gate.masked_fill(dropped_B[:, None, None] & pointers, -1e9)
        gate = gate.float().softmax(dim=-1)
        pointed = (attention * gate[..., 1:].permute(0, 2, 1)[..., None]).sum(dim=1)
        said = F.linear(hidden_BKD, self.model.embed_tokens.weight).float().softmax(dim=-1) * gate[..., :1]
        mixture = said.scatter_add(2, ids_BT[:, None, :].expand_as(pointed), pointed)
        return mixture.clamp_min(1e-30).log()


AutoConfig.register(CopyLlamaConfig.model_type, CopyLlamaConfig)
AutoModelForCausalLM.register(CopyLlamaConfig, CopyLlamaForCausalLM)


def small_llama(vocab_size: int, width: int, layers: int, heads: int, context: int) -> dict[str, Any]:
    """The fields of a `LlamaConfig` that make a small model of `agents.tokenizer.train_tokenizer`'s tokens.

    The MLP is 8/3 of the width, as in Llama, input and output embeddings are one, pad is 0 and end-of-sequence 1.
    """
    return {
        "vocab_size": vocab_size,
        "hidden_size": width,
        "intermediate_size": (width * 8 // 3 + 15) // 16 * 16,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": context,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": 1,
    }


def new_copy_llama(
    vocab_size: int, width: int = 128, layers: int = 4, heads: int = 4, context: int = 2048, seed: int = 0, **more: Any
) -> CopyLlamaForCausalLM:
    """A randomly initialised small model; about 1 M parameters with the defaults and 2,000 tokens.

    Args:
        vocab_size: of `agents.tokenizer.train_tokenizer`; pad is 0 and end-of-sequence 1.
        width, layers, heads: size of the trunk; the MLP is 8/3 of the width, as in Llama.
        context: the longest prompt and response.
        seed: of the initial weights.
        more: further fields of `CopyLlamaConfig`.
    """
    config = CopyLlamaConfig(**small_llama(vocab_size, width, layers, heads, context), **more)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CopyLlamaForCausalLM(config)
