"""The types of what is sampled from and trained: any Hugging Face model, LoRA-wrapped or not, or one of our small ones.

For annotations: transformers is not imported when the program runs. A tokenizer and a processor are what is asked of
them here, so that a test may bring its own.
"""

import inspect
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    LanguageModel: TypeAlias = PreTrainedModel
    """Gives logits for token ids (and pictures): a causal LM, a vision-language model, or one with an adapter."""
else:
    LanguageModel = Any


class Pieces(Protocol):
    """What a tokenizer makes of a text."""

    @property
    def input_ids(self) -> Sequence[int]:
        """Ids of its pieces."""
        ...


class ReadsText(Protocol):
    """Text to token ids: a tokenizer, or something around one."""

    def __len__(self) -> int:
        """Size of the vocabulary."""
        ...

    def __call__(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> Pieces:
        """The pieces of a text."""
        ...


class Tokenizer(ReadsText, Protocol):
    """Text to token ids and back; transformers' tokenizers are."""

    @property
    def added_tokens_decoder(self) -> Any: ...

    def __call__(self, text: Any, *, add_special_tokens: bool = True, **kwargs: Any) -> Any:
        """`.input_ids` of a text."""
        ...

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any:
        """The text of these ids."""
        ...

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The ids of these pieces."""
        ...

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The pieces of these ids."""
        ...

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> Any:
        """Write it into a model folder."""
        ...


class Processor(Protocol):
    """Makes a vision-language model's inputs of text and pictures; transformers' processors do."""

    @property
    def tokenizer(self) -> Any: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Tensors by the names of the model's arguments."""
        ...

    def save_pretrained(self, save_directory: Any, **kwargs: Any) -> Any:
        """Write it into a model folder."""
        ...


def base_of(model: LanguageModel) -> LanguageModel:
    """The model under its adapter; itself where it has none."""
    unwrap = getattr(model, "get_base_model", None)
    return model if unwrap is None else unwrap()


@lru_cache(maxsize=64)
def parameters_of(forward: Any) -> frozenset[str]:
    """The names of a function's parameters."""
    return frozenset(inspect.signature(forward).parameters)


def keeps_states(model: LanguageModel) -> bool:
    """Whether this is a state-space model (Mamba and its kin), which calls its cache `cache_params`."""
    known = parameters_of(type(base_of(model)).forward)
    return "cache_params" in known and "past_key_values" not in known


def context_of(model: LanguageModel) -> int | None:
    """Tokens that the model can read and write at most; None where its config does not say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None) or None


def rope_switch(model: LanguageModel) -> int | None:
    """The number of tokens beyond which the model's rotary embedding changes its factors; None where it never does.

    Models with "longrope" (Phi-3 and later) have one set of factors for contexts up to the length they were first
    trained on and one beyond; transformers takes the set by the longest row of a batch. What is one row's own
    business must not depend on its neighbours: see `forward.response_logits` and `local.sample`.
    """
    text = base_of(model).config.get_text_config()
    rope: Any = getattr(text, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    found = [kind["original_max_position_embeddings"] for kind in kinds if kind.get("rope_type") == "longrope"]
    return min(found, default=None)
