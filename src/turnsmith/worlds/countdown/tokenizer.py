"""A tokenizer for the paper's text that needs no download: words, single digits and marks are tokens.

The paper's own is Llama-2's, 32,000 pieces with single digits; a folder with that one does as well. This one has a
token for each word of the grammar (with the space before it, where there is one), for each digit and for every other
printable character, and spells words that it does not know.
"""

import re
import string

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from turnsmith.worlds.countdown import grammar

PAD, EOS, BOS = "<pad>", "<eos>", "<bos>"
_PIECES = r" ?[A-Za-z]+|[0-9]|[^A-Za-z0-9]"


def grammar_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer: `<pad>` 0, `<eos>` 1, `<bos>` 2; lossless on the grammar's texts, it adds nothing by itself."""
    words = dict.fromkeys(word for line in grammar.WORDING for word in re.findall(r" ?[A-Za-z]+", line))
    printable = [character for character in string.printable if character.isascii()]
    tokens = dict.fromkeys([PAD, EOS, BOS, *words, *printable])
    model = models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token=PAD)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        bos_token=BOS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
