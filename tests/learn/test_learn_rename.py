"""Renaming: one exchange of rare pieces in prompt and response, and nothing else changes."""

from collections import Counter
from dataclasses import replace

import pytest

from turnwise.agents.tokenizer import train_tokenizer
from turnwise.learn.examples import Example
from turnwise.learn.rename import Renamer

NAMES = ["Ambervale", "Quartzmoor", "Thistlewick", "Oakmere", "Fernwick", "Slatefall", "Ambermoor", "Fernvale"] * 8


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([f"open {name} [3]\nbutton Add to cart [4]\n" for name in NAMES * 4], 1200)


@pytest.fixture(scope="module")
def examples(tokenizer):
    def encode(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False).input_ids)

    made = []
    for index, name in enumerate(NAMES[:64]):
        prompt = encode(f"goal: open {name} {index}\n{name} [{index}]\nbutton Add to cart [4]\n")
        response = (*encode(f"Thought: open {name} [{index}]"), 1)
        made.append(Example(prompt, response, (True,) * len(response), 0.5))
    return made


def texts(tokenizer, example: Example) -> str:
    return tokenizer.decode(example.prompt_ids + example.token_ids[:-1])


def test_names_change_alike_everywhere_and_the_rest_stays(tokenizer, examples):
    rename = Renamer(examples, tokenizer, share=1.0, common=0.3)
    renames = 0
    for seed, example in enumerate(examples):
        renamed = rename(example, seed)
        before, after = texts(tokenizer, example).split(), texts(tokenizer, renamed).split()
        assert (len(renamed.prompt_ids), len(renamed.token_ids)) == (len(example.prompt_ids), len(example.token_ids))
        assert (renamed.mask, renamed.weight) == (example.mask, example.weight)
        changes = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
        assert len({old for old, _ in changes}) == len(changes) <= 1  # one name, one other name
        assert sum(old != new for old, new in zip(before, after, strict=True)) == 3 * len(changes)
        renames += len(changes)
    assert renames > len(examples) / 2  # an exchange may leave a name what it was


def test_what_was_equal_stays_equal_and_what_differed_differs(tokenizer, examples):
    """The exchange is one to one over tokens, which is all that copying depends on."""
    rename = Renamer(examples, tokenizer, share=1.0, common=0.3)
    for seed, example in enumerate(examples[:20]):
        old = example.prompt_ids + example.token_ids
        renamed = rename(example, seed)
        new = renamed.prompt_ids + renamed.token_ids
        assert len(set(zip(old, new, strict=True))) == len(set(old)) == len(set(new))


def test_the_seed_decides_and_the_share_is_kept(tokenizer, examples):
    rename = Renamer(examples, tokenizer, share=0.5, common=0.3)
    assert rename(examples[0], 5) == rename(examples[0], 5)
    changed = Counter(rename(examples[0], seed) != examples[0] for seed in range(400))
    assert 150 < changed[True] < 250
    assert Renamer(examples, tokenizer, share=0.0)(examples[0], 3) is examples[0]


def test_training_with_a_transform_is_a_function_of_the_seed(examples):
    from turnwise.agents.copy_llama import new_copy_llama
    from turnwise.learn.sft import OptimConfig, train

    seen: list[list[int]] = []

    def watch(example: Example, seed: int) -> Example:
        seen[-1].append(seed)
        return replace(example, weight=1.0)

    for start in (0, 0, 2):
        seen.append([])
        model = new_copy_llama(1200, width=16, layers=1, heads=2)
        train(model, examples[:12], OptimConfig(batch_size=4), start=start, transform=watch)
    assert seen[0] == seen[1]
    assert seen[2] == seen[0][8:]
    assert len(set(seen[0])) == 12
