"""Chat templates as they come with folders: what they leave out, raise, want otherwise or never end, and two BOS."""

import time
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from turnsmith.agents import templates
from turnsmith.agents.templates import apply_template
from turnsmith.critics.turn_likelihood import encode
from turnsmith.errors import UserError

CHAT = [
    {"role": "system", "content": [{"type": "text", "text": "Click [n]\n  or Type [n]"}]},
    {"role": "user", "content": [{"type": "text", "text": "Task: FIND"}, {"type": "text", "text": "Page: [0] Home"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Click [0]"}]},
    {"role": "user", "content": [{"type": "text", "text": "Page: [1] Lamp"}]},
]


def tokenizer(template, bos=False):
    words = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3, "<image>": 4}
    words |= {chr(code): code - 28 for code in range(33, 127)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(pattern="", behavior="isolated")
    if bos:
        made.post_processor = processors.TemplateProcessing("<bos> $A", "<bos> $A $B", [("<bos>", 1)])
    found = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
                                    pad_token="<pad>", extra_special_tokens={"image_token": "<image>"})  # fmt: skip
    found.chat_template = template
    return found


LOOP = "{% for m in messages %}"
GOOD = {
    "drops the system role": LOOP + "{% if m.role != 'system' %}[{{m.role}}]{{m.content}}{% endif %}{% endfor %}",
    "refuses the system role": LOOP + "{{ raise_exception('no') if m.role == 'system' else m.content }}{% endfor %}",
    "knows two roles": LOOP + "{{ {'user': 'U', 'assistant': 'A'}[m.role] + m.content }}{% endfor %}",
    "wants parts": LOOP + "{% for p in m.content %}{{ p.text if p.type == 'text' }}{% endfor %}{% endfor %}",
    "wants parts and drops the system role":
        LOOP + "{% if m.role != 'system' %}{% for p in m.content %}{{p.text}}{% endfor %}{% endif %}{% endfor %}",
    "strips and writes the date": LOOP + "{{m.content | trim}}{{strftime_now('%Y')}}{% endfor %}",
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_everything_that_the_agent_must_know_is_in_the_prompt(name):
    text = apply_template(tokenizer(GOOD[name]), CHAT, pictures=False)
    for said in ("Click [n]\n  or Type [n]", "Task: FIND\nPage: [0] Home", "Page: [1] Lamp", "Click [0]"):
        assert said in text
        assert text.count(said) == 1


BAD = {
    "{{ messages[-1].content }}": "leaves out the system message \\('Click",
    LOOP + "{{ m.role }}{% endfor %}": "leaves out",
    "{% for m in %}": "raises TemplateSyntaxError",
    "{{ 1 / 0 }}": "raises ZeroDivisionError",
    "{{ messages.nothing.at.all }}": "raises UndefinedError",
    "{{ raise_exception('go\naway') }}": "raises TemplateError \\(go\\)",
    "{{ 'a' * 1000000000 }}": "huge numbers",
    "{{ 10 ** 10 ** 10 }}": "powers",
    "{% for i in range(99999) %}" + "a" * 200 + "{% endfor %}": "writes far more",
}


@pytest.mark.parametrize("template", BAD)
def test_a_template_that_cannot_be_used_is_refused_in_one_line(template):
    with pytest.raises(UserError, match=BAD[template]) as caught:
        apply_template(tokenizer(template), CHAT, pictures=False)
    assert "\n" not in str(caught.value)


def test_a_template_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(templates, "SECONDS", 0.3)
    forever = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    began = time.perf_counter()
    with pytest.raises(UserError, match=r"does not end within 0\.3 s"):
        apply_template(tokenizer(forever), CHAT, pictures=False)
    assert time.perf_counter() - began < 10
    assert "FIND" in apply_template(tokenizer(GOOD["wants parts"]), CHAT, pictures=False)  # the watch is over


class Message:
    def __init__(self, role, text, turn=None):
        self.role, self.text, self.turn = role, text, turn


@pytest.mark.parametrize("head", ["{{bos_token}}", ""])
def test_a_dialogue_that_is_scored_has_one_bos(head):
    made = tokenizer(
        head + LOOP + "[{{m.role}}]{{m.content}}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    ids, turns = encode(made, [Message("user", "hi"), Message("assistant", "yo", 0)])  # type: ignore[list-item]
    assert ids.count(1) == 1
    assert ids[0] == 1
    said = made.decode([token for token, turn in zip(ids, turns, strict=True) if turn == 0])
    assert str(said).replace(" ", "") == "yo"


@pytest.mark.parametrize("adds", [True, False])
def test_a_processor_writes_one_bos_as_transformers_does(adds, shelves):
    from turnsmith.agents.hf_policy import HFPolicy

    template = (
        "{{bos_token}}"
        + LOOP
        + "{% for p in m.content %}{{ '<image>' if p.type == 'image' else p.text }}{% endfor %}{% endfor %}"
    )
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"height": 28, "width": 28}, do_center_crop=False), tokenizer(template, adds),
        patch_size=14, vision_feature_select_strategy="default", chat_template=template,
    )  # fmt: skip
    policy = HFPolicy.__new__(HFPolicy)
    policy.processor, policy.tokenizer, policy.rendering = processor, processor.tokenizer, "webvoyager"
    policy.manner = None
    context = shelves(1, 0)[0][0]
    ids, _ = policy.encode_prompt(context)
    rows = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    theirs: Any = processor.apply_chat_template(rows, tokenize=True, return_dict=True, return_tensors="pt")
    assert list(ids).count(1) == theirs["input_ids"][0].tolist().count(1) == 1
