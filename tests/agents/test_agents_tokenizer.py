"""The small models' tokenizer: lossless on any text, and a word is the same tokens wherever it stands."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from turnsmith.agents.render import compact
from turnsmith.agents.tokenizer import MARKS, train_tokenizer, word_part


@pytest.fixture(scope="module")
def tokenizer(shelves):
    return train_tokenizer([compact(context) + response for context, response in shelves(200, 0)], 1200)


def pieces(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


TEXTS = st.text(st.characters(exclude_characters="▁⁀‸", exclude_categories=("Cs",)))


@settings(max_examples=300, deadline=None)
@given(text=TEXTS | st.text("ab1 2[];.\n\t-"))
@example(text="  two  spaces\n\n\tTab é 日本 🎉 mp3 $34.99 x[7] Click [12] Type [3]; [velta kettle]")
@example(text="a <eos> b<pad>")
def test_any_text_round_trips(tokenizer, text):
    assert tokenizer.decode(pieces(tokenizer, text)) == text


def test_a_word_is_the_same_tokens_wherever_it_stands(tokenizer):
    alone = pieces(tokenizer, " Zuvokelia Kettle")
    text = " ".join(tokenizer.convert_ids_to_tokens(alone))
    for around in ("[Zuvokelia Kettle]", "\nZuvokelia Kettle\n", 'it\'s "Zuvokelia Kettle".', "Zuvokelia Kettle"):
        assert text in " ".join(tokenizer.convert_ids_to_tokens(pieces(tokenizer, around)))


def test_marks_and_two_digit_numbers_are_single_tokens(tokenizer):
    before = len(pieces(tokenizer, "Click"))
    assert {len(pieces(tokenizer, f"Click [{mark}]")) - before for mark in range(MARKS)} == {1}
    assert {len(pieces(tokenizer, f"Click {number}")) - before for number in range(100)} == {1}
    assert len(pieces(tokenizer, f"Click [{MARKS}]")) - before > 1


def test_words_and_numbers_end_with_a_sign_that_belongs_to_their_last_piece(tokenizer):
    tokens = tokenizer.convert_ids_to_tokens(pieces(tokenizer, " search kettle, x86 [3] 12345"))
    joined = "".join(token for token in tokens if not token.startswith("<0x"))
    assert joined == "▁search‸▁kettle‸▁x‸⁀▁86‸▁[⁀▁3‸]▁12345‸"
    assert word_part("▁search‸") == (True, True)
    assert word_part("▁kett") == (True, False)
    assert word_part("le‸") == (False, True)
    assert (word_part("▁"), word_part("‸")) == ((True, False), (False, True))
    assert word_part("▁86‸") is word_part("▁▁") is word_part(",") is None


def test_what_a_page_says_is_never_a_special_token(tokenizer):
    assert not set(pieces(tokenizer, "<eos> and <pad>")) & {tokenizer.eos_token_id, tokenizer.pad_token_id}


def test_a_saved_tokenizer_gives_the_same_ids(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "Thought: open Zuvokelia\nAction: Type [3]; [é $34.99] "
    assert pieces(loaded, text) == pieces(tokenizer, text)
    assert loaded.decode(pieces(loaded, text)) == text
    assert (loaded.pad_token_id, loaded.eos_token_id) == (0, 1)


def test_a_vocabulary_without_room_for_words_is_refused():
    with pytest.raises(ValueError, match="vocab_size is 500"):
        train_tokenizer(["text"], 500)
