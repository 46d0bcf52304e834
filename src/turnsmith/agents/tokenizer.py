"""The tokenizer of the small models: trained in a second on the texts at hand, lossless on any other text.

What a small model does all day is copy names and marks from its prompt, so a word must be the same tokens wherever it
stands: in a goal, after a bracket, at the start of a line. Here the space (or its absence) therefore belongs to the
punctuation, not to the word: every word and every number carries a leading ▁, and a punctuation mark that is followed
by a word without a space carries the glue sign ⁀ that swallows it. `[velta kettle]` is `[⁀ ▁velta ▁kettle ]`, and its
words are the very tokens of `open velta kettle`.

Every word and number also ends with a sign of its own, ‸, which is part of its last piece (`▁kett le‸`). Whoever copies
a name piece by piece then sees in the last piece that it wrote whether the word goes on. Without it a small model cut
names of more pieces than it was used to ("Castl" for Castles): its most frequent mistake by far.

Notable:
- Only words that stand in many texts become single tokens. All others are counted once each, however often they are
  said, so that merges are learned from pieces that recur in different words ("Amber" + "vale"). A name in a training
  text is then cut like a name that was never seen, and copying one is practice for copying the other.
- The mark of an element, ` [12]`, is one token for 0..199; numbers are tokens of two digits.
- Characters that were not seen in training fall back to UTF-8 bytes, so that everything round-trips, except that ▁, ⁀
  and ‸ themselves are read as _, - and ^.
- It is an ordinary `PreTrainedTokenizerFast` (`tokenizer.json`), loaded by `AutoTokenizer` like any other.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, EOS = "<pad>", "<eos>"
MARKS = 200
"""Marks `[0]` to `[199]` are single tokens; higher ones are spelled out."""

_WORD = re.compile(r"[^\W\d_]+")
_SPACE, _GLUE, _END = "▁", "⁀", "‸"
_PIECES = (
    rf"{_SPACE}\[{_GLUE}{_SPACE}\p{{N}}{{1,3}}{_END}\]"  # a mark after a space
    rf"|{_SPACE}?\p{{L}}+{_END}?|{_SPACE}?\p{{N}}{{1,2}}{_END}?"
    rf"|{_SPACE}?[^{_SPACE}{_GLUE}{_END}\p{{L}}\p{{N}}]{_GLUE}?|{_SPACE}+|{_GLUE}|{_END}"
)


def word_part(piece: str) -> tuple[bool, bool] | None:
    """Whether a token begins and whether it ends a word; None where it is no part of a word.

    The end sign alone ends one, and the space alone can begin one: pieces that BPE had no reason to merge.
    """
    letters = piece.removeprefix(_SPACE).removesuffix(_END)
    if not letters.isalpha() and piece not in (_SPACE, _END):
        return None
    return piece.startswith(_SPACE), piece.endswith(_END)


def _untrained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    glue = _GLUE + _SPACE
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(_SPACE, "_"),
            normalizers.Replace(_GLUE, "-"),
            normalizers.Replace(_END, "^"),
            normalizers.Replace(Regex(r"(?<![ \p{L}])(?=\p{L})"), glue),
            normalizers.Replace(Regex(r"(?<![ \p{N}])(?=\p{N})"), glue),
            normalizers.Replace(Regex(r"(?<=\p{L})(?!\p{L})"), _END),
            normalizers.Replace(Regex(r"(?<=\p{N})(?!\p{N})"), _END),
            normalizers.Replace(" ", _SPACE),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Replace(_END, ""),
            decoders.Replace(glue, ""),
            decoders.Replace(_SPACE, " "),
        ]
    )
    return tokenizer


_COMMON = 0.02
"""Words in at least this share of the texts are common: parts of the interface rather than names."""


def _word_types(texts: Iterable[str], names: Collection[str] = ()) -> Iterator[str]:
    """What BPE is trained on: the texts without their words, common words often, names never, every other once."""
    found: Counter[str] = Counter()
    count = 0
    for text in texts:
        count += 1
        found.update(set(_WORD.findall(text)))
        yield _WORD.sub("x", text)
    for word, texts_with_it in found.items():
        if word not in names:
            yield f"x {word}" if texts_with_it < max(2, _COMMON * count) else f"x {word}\n" * 100


def train_tokenizer(
    texts: Iterable[str], vocab_size: int = 2400, names: Collection[str] = ()
) -> PreTrainedTokenizerFast:
    """Train byte-fallback BPE on texts as the model will see them (prompts and responses).

    Args:
        texts: a few thousand rendered prompts and responses are enough.
        vocab_size: an upper bound; 256 byte tokens, 200 marks and about 320 numbers of up to two digits are among them.
        names: words that merges are not learned from, however many texts they are in: they are cut into pieces like
            words that were never seen, so that copying them is practice for copying others. For texts with few names;
            there have to be other words to learn pieces from.

    Returns:
        A tokenizer with `<pad>` (id 0) and `<eos>` (id 1); it adds neither by itself.

    Raises:
        ValueError: if `vocab_size` leaves no room for words.
    """
    if vocab_size < 1100:
        raise ValueError(f"vocab_size is {vocab_size}; bytes, marks and numbers alone take about 850, so give >= 1100")
    tokenizer = _untrained()
    # Frequent enough that BPE merges every mark and two-digit number to one token, whatever the texts hold.
    numbers = [f"{n:02d} {n} ${n}.{n:02d} {n:02d}{n:02d} {n:02d}{n % 10}" for n in range(100)]
    wanted = [f"x [{n}]" for n in range(MARKS)] + [f"x {number}" for number in numbers]
    corpus = [*_word_types(texts, names), *(wanted * 50)]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(byte_tokens),
        special_tokens=[PAD, EOS],
        show_progress=False,
        limit_alphabet=150,
    )
    tokenizer.train_from_iterator(corpus, trainer)

    # The trainer knows byte tokens only as special tokens, which decoding would drop: they are put in by hand.
    fields = json.loads(tokenizer.to_str())
    vocabulary = fields["model"]["vocab"]
    learned = sorted(vocabulary, key=vocabulary.__getitem__)
    order = [*learned[:2], *byte_tokens, *learned[2:]]
    fields["model"]["vocab"] = {token: index for index, token in enumerate(order)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(fields)),
        pad_token=PAD,
        eos_token=EOS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
