"""Where the names in the local sites come from, and how they are split.

A name is a composed word ("Amberfall", "Cedarwick": a few thousand of them from two short lists) and a noun of the site
("Kettle"). Every word belongs to one split by a stable hash of its letters, and a world uses the words of its own split
only, so a held-out world holds no name, and no word of a name, that a training world ever showed. Its syllables are
familiar, its words are new.
"""

import hashlib
import random
from functools import lru_cache

# The world seeds of each split. A seed says by itself which split, and so which words, its world belongs to.
WORLDS: dict[str, range] = {
    "train": range(1000),
    "validation": range(1000, 1200),
    "test": range(1200, 1400),
    "test_templates": range(1400, 1600),
}

_HEADS = (
    "amber birch bram cedar clover copper coral crest dawn dusk elder ember fern flint frost gale glen gold grove "
    "harbor hazel heath holly iron ivy jade juniper lark laurel linden maple marl meadow mist moon moss oak olive opal "
    "orchid pearl pine plum quartz quill raven reed ridge river robin rose rowan rush sage silver slate spruce star "
    "stone storm swan thistle velvet violet willow winter wren"
)
_TAILS = (
    "bank bay beck berg bow brook burn by combe cote croft dale den fall fell field ford gate glade ham haven hill "
    "holm hurst keep lake land leigh light line lock mark mead mere mont moor mouth point port rise run shore side "
    "stead stow ton vale view wall ward watch water way well wick wind wood worth yard"
)
_GIVEN = (
    "Ada Alma Amos Anton Asta Bela Bruno Cara Cleo Clara Dora Edda Egon Elin Ella Emil Enzo Erik Esme Ezra Fanny Felix "
    "Flora Freya Greta Gus Hanna Hugo Ida Igor Ines Iris Ivan Jana Joel Jonas Judit Kai Karin Klara Lars Lena Leo Lina "
    "Lotte Luca Mara Marek Mila Mina Mira Nadia Nico Nils Nora Olga Oskar Otto Paula Petra Pia Rhea Rosa Ruben Runa "
    "Selma Signe Silas Sofia Stella Sven Tara Tess Tilda Timo Tomas Ulla Uma Vera Viggo Walter Wanda Xenia Yara Yves "
    "Zelda Zeno Zoe"
)

_REMARKS = (
    "Try {} instead",
    "Same here with {}",
    "{} works well",
    "Ask {} about it",
    "Thanks from {}",
    "I use {} for this",
    "See you at {}",
    "Better than {}",
)


def split_of_world(seed: int) -> str:
    """The split of a world seed: a key of `WORLDS`.

    Raises:
        ValueError: if no split has this seed.
    """
    for split, seeds in WORLDS.items():
        if seed in seeds:
            return split
    raise ValueError(f"world seed {seed} is outside 0..{max(seeds.stop for seeds in WORLDS.values()) - 1}")


@lru_cache(maxsize=256)
def only(words: str, split: str) -> tuple[str, ...]:
    """Those words of a text that belong to the split: 65 % train, 15 % validation, 20 % test, by rank of a hash.

    The rank within the list, rather than the hash alone, gives every split its share of a short list too. The held-out
    templates use the words of the test split.
    """
    ranked = sorted(words.split(), key=lambda word: hashlib.sha256(word.lower().encode()).digest())
    first, second = round(0.65 * len(ranked)), round(0.8 * len(ranked))
    bounds = {"train": (0, first), "validation": (first, second)}
    low, high = bounds.get(split, (second, len(ranked)))
    return tuple(sorted(ranked[low:high]))


@lru_cache(maxsize=8)
def composed(split: str) -> tuple[str, ...]:
    """The composed words of a split, such as "Amberfall"."""
    words = [(head + tail).capitalize() for head in _HEADS.split() for tail in _TAILS.split() if head != tail]
    return only(" ".join(words), split)


class Namer:
    """Draws the names of one world; never the same composed word for two purposes."""

    def __init__(self, split: str, rng: random.Random) -> None:
        self.split = split
        self.rng = rng
        self._used: set[str] = set()
        self._given = only(_GIVEN, split)

    def word(self) -> str:
        """A composed word that this world has not used yet."""
        while (word := self.rng.choice(composed(self.split))) in self._used:
            pass
        self._used.add(word)
        return word

    def person(self) -> str:
        """A full name, such as "Mira Cedarwick"."""
        return f"{self.rng.choice(self._given)} {self.word()}"

    def remark(self) -> str:
        """A short sentence to be typed, with one name in it."""
        return self.rng.choice(_REMARKS).format(self.word())
