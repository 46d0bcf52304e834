"""From a name to a policy, and what is said when there is none."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import ViTConfig, ViTModel

from turnsmith.agents.hf_policy import HFPolicy
from turnsmith.agents.load import load_local, load_policy, new_small_policy
from turnsmith.agents.render import compact
from turnsmith.errors import UserError
from turnsmith.learn import checkpoint


@pytest.fixture(scope="module")
def small(shelves) -> HFPolicy:
    texts = [compact(context) + response for context, response in shelves(100, 0)]
    return new_small_policy(texts, vocab_size=1100, width=32, layers=1, heads=2, dialect="tti")


@pytest.fixture
def folder(small, tmp_path) -> Path:
    small.model.save_pretrained(tmp_path / "m")
    small.tokenizer.save_pretrained(tmp_path / "m")
    return tmp_path / "m"


async def test_a_folder_acts_as_the_model_that_was_saved(small, folder, shelves):
    contexts = [context for context, _ in shelves(3, 1)]
    loaded = load_local(folder)
    assert (loaded.rendering, loaded.dialect, loaded.version) == ("compact", "tti", "m")
    assert await loaded.act(contexts) == await small.act(contexts)


def test_a_checkpoint_folder_is_a_policy(small, tmp_path):
    saved = checkpoint.save(tmp_path, 7, small.model, small.tokenizer)
    assert load_policy(saved).version == "step-7"
    assert load_policy(saved / "model", version="mine", rendering="tti").version == "mine"


def test_a_folder_from_before_the_renaming_keeps_how_it_is_prompted(folder):
    fields = json.loads((folder / "config.json").read_text())
    fields["turnwise"] = fields.pop("turnsmith")
    (folder / "config.json").write_text(json.dumps(fields))
    loaded = load_local(folder)
    assert (loaded.rendering, loaded.dialect) == ("compact", "tti")
    assert loaded.model.config.turnsmith == {"rendering": "compact", "dialect": "tti"}


def refused(spec: Path | str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        load_policy(spec)
    assert "\n" not in str(caught.value)


def test_a_missing_folder(tmp_path):
    refused(tmp_path / "nowhere", "there is no such folder")


def test_a_folder_of_something_else(tmp_path):
    refused(tmp_path, "no config.json")


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    refused(folder, "no weights here")


def test_a_folder_without_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    refused(folder, "no usable tokenizer")


def test_damaged_weights(folder):
    (folder / "model.safetensors").write_bytes(b"\x10" * 64)
    refused(folder, "could not be loaded")


def test_weights_of_other_sizes(folder):
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, "hidden_size": 64}))
    refused(folder, "could not be loaded")


def test_an_unknown_model_type(folder):
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, "model_type": "marvin"}))
    refused(folder, "no model of type 'marvin'")


def test_a_model_that_does_not_write(folder, tmp_path):
    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    config.image_size, config.patch_size = 16, 8
    ViTModel(config).save_pretrained(tmp_path / "vit")
    shutil.copy(folder / "tokenizer.json", tmp_path / "vit")
    refused(tmp_path / "vit", "'vit' does not write text")


async def test_a_lora_adapter_acts_trains_and_loads(folder, shelves, tmp_path):
    from peft import LoraConfig, get_peft_model

    policy = load_local(folder)
    policy.model.config._name_or_path = str(folder)
    wrapped = get_peft_model(policy.model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    contexts = [context for context, _ in shelves(2, 1)]
    expected = await HFPolicy(wrapped, policy.tokenizer, rendering="compact", dialect="tti").act(contexts)  # type: ignore
    wrapped.save_pretrained(tmp_path / "adapter")
    loaded = load_local(tmp_path / "adapter")
    assert [action.token_ids for action in await loaded.act(contexts)] == [action.token_ids for action in expected]
    assert [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]


def test_a_folder_that_wants_to_run_code_is_refused_and_nothing_is_asked(folder, monkeypatch, capfd):
    ran = folder / "ran"
    (folder / "custom.py").write_text(
        f"open({str(ran)!r}, 'w')\nfrom transformers import PreTrainedConfig, PreTrainedTokenizerFast\n"
        "class C(PreTrainedConfig): model_type = 'custom'\nclass T(PreTrainedTokenizerFast): pass\n"
    )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    kept = (folder / "config.json").read_text()
    fields = json.loads(kept) | {"model_type": "custom", "auto_map": {"AutoConfig": "custom.C"}}
    (folder / "config.json").write_text(json.dumps(fields))
    refused(folder, r"no model of type 'custom'.*wants to run Python code of its own \(auto_map\)")
    (folder / "config.json").write_text(kept)
    fields = json.loads((folder / "tokenizer_config.json").read_text())
    fields |= {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": [None, "custom.T"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(fields))
    refused(folder, r"no usable tokenizer.*auto_map")
    assert not ran.exists()


def test_attention_code_from_elsewhere_is_not_run(folder):
    fields = json.loads((folder / "config.json").read_text()) | {"attn_implementation": "somebody/attention"}
    (folder / "config.json").write_text(json.dumps(fields))
    refused(folder, "attention code from elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": 0},
        {"hidden_size": "wide"},
        {"hidden_size": -8},
        {"vocab_size": 1e400},
        {"rope_parameters": 3},
    ],
)
def test_odd_configs_are_one_line(folder, change):
    fields = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(fields))
    refused(folder, "config is wrong|could not be loaded|cannot be")


@pytest.mark.parametrize("config", ["[" * 100_000, "{}", "[]", '{"model_type": ' + "9" * 5000 + "}", "\ud800"])
def test_configs_that_are_none_are_one_line(folder, config):
    (folder / "config.json").write_text(config, errors="surrogatepass")
    refused(folder, "no model of type")
