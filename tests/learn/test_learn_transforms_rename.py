"""Renaming: one exchange of rare words in prompt and response, and nothing else changes."""

import itertools
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from turnsmith.agents.tokenizer import train_tokenizer
from turnsmith.learn.examples import Example
from turnsmith.learn.transforms.rename import LONGER, Renamer, keep_words, kept_words, longest_name, renamer_of

SYLLABLES = ("Am", "ber", "va", "quar", "moor", "this", "wick", "oak", "fern", "sla", "fall", "ter")
WORDS = ["".join(parts) for parts in itertools.product(SYLLABLES, repeat=3)]
NAMES = WORDS[5::27]  # 64 that the tokenizer has not seen
KEPT = ("open", "button", "cart", "goal", "Thought")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([f"open {word} [3]\nbutton Add to cart [4]\n" for word in WORDS[::2]], 1150)


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
    rename = Renamer(tokenizer, KEPT)
    renames = 0
    for seed, example in enumerate(examples):
        renamed = rename(example, seed)
        before, after = texts(tokenizer, example).split(), texts(tokenizer, renamed).split()
        changes = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
        assert len(changes) <= 1  # one name, one other name; none where the name is a single token
        assert sum(old != new for old, new in zip(before, after, strict=True)) == 3 * len(changes)
        renames += len(changes)
        assert renamed.weight == example.weight
        assert len(renamed.mask) == len(renamed.token_ids)
        assert renamed.token_ids[-1] == example.token_ids[-1]
    assert renames > len(examples) / 2


def test_new_words_have_any_number_of_pieces_and_are_one_to_one(tokenizer, examples):
    """However long a name was, it can become one of 1 to 6 pieces; different words stay different."""
    rename = Renamer(tokenizer, KEPT)
    changes = Counter()
    for seed in range(300):
        changes[len(rename(examples[0], seed).token_ids) - len(examples[0].token_ids)] += 1
    assert len(changes) >= 5
    pair = replace(examples[0], prompt_ids=examples[0].prompt_ids + examples[1].prompt_ids)
    for seed in range(200):
        renamed = rename(pair, seed)
        words = texts(tokenizer, renamed).split()
        assert len(set(words)) == len(set(texts(tokenizer, pair).split()))


def test_new_words_reach_beyond_the_longest_name_where_it_is_known(tokenizer, examples):
    """A policy that has copied names of six pieces at most stops after six, in the middle of a longer one."""
    longest = longest_name(examples, tokenizer, KEPT)
    assert longest == max(len(word) for one in examples for word in Renamer(tokenizer, KEPT).names(one.prompt_ids))
    rename = Renamer(tokenizer, KEPT, longest=longest)
    seen = Counter()
    for seed in range(400):
        seen.update(len(word) for word in rename.names(rename(examples[0], seed).prompt_ids))
    assert set(seen) == set(range(2, longest + LONGER + 1))
    assert max(seen.values()) < 2 * min(seen.values())
    assert longest_name([], tokenizer, KEPT) == 2


def test_what_is_noted_in_the_model_makes_its_renamer(tokenizer, examples):
    model = SimpleNamespace(config=SimpleNamespace(turnsmith={"dialect": "x"}))
    policy = SimpleNamespace(model=model, tokenizer=tokenizer)
    assert renamer_of(policy) is None
    keep_words(model, KEPT, 4)  # type: ignore
    assert model.config.turnsmith == {"dialect": "x", "kept_words": list(KEPT), "name_pieces": 4}
    again, made = Renamer(tokenizer, KEPT, longest=4), renamer_of(policy)
    assert made is not None
    assert [made(examples[0], seed) for seed in range(5)] == [again(examples[0], s) for s in range(5)]


def test_names_can_be_left_out(tokenizer, examples):
    finder = Renamer(tokenizer, KEPT)
    for example in examples[:8]:
        ids = example.prompt_ids
        left = finder.without_names(ids)
        assert not list(finder.names(left))
        assert len(left) == len(ids) - sum(len(name) for name in finder.names(ids))
        assert tokenizer.decode(left).split()[:2] == ["goal:", "open"]


def test_a_new_words_pieces_take_the_mask_of_the_old_word(tokenizer, examples):
    rename = Renamer(tokenizer, KEPT)
    example = examples[0]
    start = next(place for place, index in enumerate(example.token_ids) if index in set(example.prompt_ids[5:9]))
    hidden = replace(example, mask=tuple(place < start for place in range(len(example.mask))))
    for seed in range(20):
        renamed = rename(hidden, seed)
        assert sum(renamed.mask) == start
        assert renamed.token_ids[:start] == example.token_ids[:start]


def test_words_of_the_interface_and_of_the_policys_own_thoughts_are_kept(tokenizer, examples):
    def encode(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False).input_ids)

    made = []
    for index, name in enumerate(NAMES):
        response = encode(f"open {name}")
        made.append(Example(encode(f"button {name} [{index}]\n"), response, (True,) * len(response)))
    kept = kept_words(made, tokenizer, names=(), common=0.05)
    assert {"button", "open"} <= set(kept)
    assert not set(kept) & set(NAMES)
    assert "button" not in kept_words(made, tokenizer, names={"button"}, common=0.05)
    renamed = Renamer(tokenizer, kept)(made[0], 3)
    assert texts(tokenizer, renamed).startswith("button ")
    assert NAMES[0] not in texts(tokenizer, renamed)
    assert tokenizer.decode(renamed.token_ids).startswith("open ")


def test_a_response_word_that_the_prompt_does_not_say_stays(tokenizer, examples):
    """It is the policy's own word and cannot be copied: exchanged, nobody could predict it."""
    other = tuple(tokenizer(f" {NAMES[9]}", add_special_tokens=False).input_ids)
    example = replace(examples[0], token_ids=other, mask=(True,) * len(other))
    assert Renamer(tokenizer, KEPT)(example, 1).token_ids == other


def test_words_cut_off_at_the_end_stay(tokenizer, examples):
    rename = Renamer(tokenizer, KEPT)
    name = next((start, stop) for start, stop in rename.words(examples[0].token_ids) if stop - start > 1)
    cut = examples[0].token_ids[: name[1] - 1]
    example = replace(examples[0], token_ids=cut, mask=(True,) * len(cut))
    assert rename(example, 1).token_ids[-(name[1] - 1 - name[0]) :] == cut[name[0] :]


def test_the_seed_decides_and_the_share_is_kept(tokenizer, examples):
    rename = Renamer(tokenizer, KEPT, share=0.5)
    assert rename(examples[0], 5) == rename(examples[0], 5)
    changed = Counter(rename(examples[0], seed) != examples[0] for seed in range(400))
    assert 150 < changed[True] < 250
    assert Renamer(tokenizer, KEPT, share=0.0)(examples[0], 3) is examples[0]


def test_training_with_a_transform_is_a_function_of_the_seed(examples):
    from turnsmith.agents.copy_llama import new_copy_llama
    from turnsmith.learn.optim import OptimConfig
    from turnsmith.learn.sft import train

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
