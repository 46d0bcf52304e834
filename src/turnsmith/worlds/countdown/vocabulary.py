"""Words of the compact grammar as token ids: one token a word, or numbers digit by digit.

In digits, the first digit of a number is one of `0`–`9` and each further one is one of `~0`–`~9`, so that "1 2" and
"12" differ without a token for the space.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from turnsmith.errors import ParseError
from turnsmith.worlds.countdown.compact import BUDGETS, MARKS, SIGNS, is_number

PAD, EOS = "<pad>", "<eos>"


@dataclass(frozen=True)
class Vocabulary:
    """What the small models read and write.

    Attributes:
        largest: the largest number that has a token of its own (numbers beyond it cannot be said), without `digits`.
        nodes: names `#0` to `#nodes-1`.
        digits: spell numbers.
    """

    largest: int = 99
    nodes: int = 16
    digits: bool = False
    tokens: tuple[str, ...] = field(init=False, repr=False)
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = [f"{mark}{d}" for mark in ("", "~") for d in range(10)] if self.digits else range(self.largest + 1)
        names = (f"#{name}" for name in range(self.nodes))
        tokens = (PAD, EOS, *map(str, numbers), *SIGNS, *MARKS, *BUDGETS, *names)
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "index", {token: index for index, token in enumerate(tokens)})

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def eos(self) -> int:
        """The id that ends a call."""
        return 1

    def id(self, word: str) -> int:
        """The id of a word that is one token."""
        return self.index[word]

    def ids(self, words: Iterable[str]) -> list[int]:
        """Token ids of words.

        Raises:
            ParseError: if a word has no token.
        """
        found: list[int] = []
        for word in words:
            if self.digits and is_number(word):
                found += [self.index[word[0]], *(self.index[f"~{digit}"] for digit in word[1:])]
            elif word in self.index:
                found.append(self.index[word])
            else:
                raise ParseError(f"there is no token for {word!r}")
        return found

    def words(self, ids: Sequence[int]) -> list[str]:
        """The inverse of `ids`; a continuing digit after something else than a number stays a word of its own."""
        words: list[str] = []
        for token in ids:
            word = self.tokens[token]
            if word[0] == "~" and words and is_number(words[-1]) and len(words[-1]) < 18:
                words[-1] += word[1:]
            else:
                words.append(word)
        return words

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, from which the viewer takes the text of each token."""
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel(dict(self.index), unk_token=PAD))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"))
        settings = {"largest": self.largest, "nodes": self.nodes, "digits": self.digits}
        (folder / "vocabulary.json").write_text(json.dumps(settings), encoding="utf-8")
