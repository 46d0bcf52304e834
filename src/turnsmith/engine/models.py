"""The types of what is sampled from and trained: any Hugging Face model, LoRA-wrapped or not, or one of our small ones.

For annotations: transformers is not imported when the program runs. A tokenizer and a processor are what is asked of
them here, so that a test may bring its own.
"""

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    LanguageModel: TypeAlias = PreTrainedModel
    """Gives logits for token ids (and pictures): a causal LM, a vision-language model, or one with an adapter."""
else:
    LanguageModel = Any


class Tokenizer(Protocol):
    """Text to token ids and back; transformers' tokenizers are."""

    @property
    def added_tokens_decoder(self) -> Any: ...

    def __call__(self, text: Any, *, add_special_tokens: bool = True, **kwargs: Any) -> Any:
        """`.input_ids` of a text."""
        ...

    def __len__(self) -> int: ...

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
