"""Training rows for TRL: what is in them, what is not, and that TRL's own trainers take them where it is installed."""

import json
import os
import subprocess

import pytest

from turnsmith.cli import main
from turnsmith.credit.record import record
from turnsmith.trace.store import Store

_TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


def _row(index, attempt, reward):
    """Two attempts at each task: the first turns differ, one calls a tool, hidden information must not come out."""
    first = "May I see the number?" if attempt else "Hello there, how are you?"
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    return {
        "id": f"t{index}-{attempt}",
        "messages": [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": f"Help me with case {index}."},
            {"role": "assistant", "content": first},
            {"role": "user", "content": "It is 12."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "assistant", "content": "Done."},
            {"role": "user", "content": "Thanks."},
        ],
        "task": {"id": f"task{index}", "instruction": f"Help me with case {index}."},
        "hidden": {"key": "SECRET"},
        "reward": reward,
        "tools": _TOOLS,
    }


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [_row(index, attempt, float(attempt)) for index in range(6) for attempt in (0, 1)]
    (tmp_path / "logs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["traces", "import", "logs.jsonl", "desk"]) == 0
    return tmp_path


def give_credit():
    with Store("runs/desk/run.db") as store:
        advantages = {trace.id: [1.0 if trace.id.endswith("1") else -1.0, 0.2, -0.1] for trace in store.traces()}
        record(store, "test", 0, advantages=advantages)


def exported(format, *more):
    assert main(["traces", "export", "desk", f"{format}.jsonl", "--format", format, *more]) == 0
    text = open(f"{format}.jsonl", encoding="utf-8").read()  # noqa: SIM115
    assert "SECRET" not in text
    return [json.loads(line) for line in text.splitlines()]


def test_rows_by_outcome(run):
    sft = exported("sft")
    assert len(sft) == 6
    assert [m["role"] for m in sft[0]["messages"]] == ["system", "user", "assistant", "user", "assistant", "tool",
                                                       "assistant"]  # fmt: skip
    assert sft[0]["messages"][4]["tool_calls"][0]["function"]["arguments"] == '{"at": 1}'
    assert json.loads(sft[0]["tools"]) == _TOOLS
    dpo = exported("dpo")
    assert len(dpo) == 6
    assert [m["role"] for m in dpo[0]["prompt"]] == ["system", "user"]
    assert dpo[0]["chosen"][0]["content"] == "May I see the number?"
    assert dpo[0]["rejected"][0]["content"] == "Hello there, how are you?"
    kto = exported("kto")
    assert [row["label"] for row in kto] == [False, True] * 6
    grpo = exported("grpo")
    assert [(row["task"], row["attempts"], row["mean_reward"]) for row in grpo] == [
        (f"task{i}", 2, 0.5) for i in range(6)
    ]


def test_rows_by_credit(run, capsys):
    assert main(["traces", "export", "desk", "x.jsonl", "--format", "kto", "--by", "credit"]) == 2
    assert "turnsmith credit RUN" in capsys.readouterr().err
    give_credit()
    sft = exported("sft", "--by", "credit")
    assert len(sft) == 6 * 3  # the good first turn, and the second of both attempts
    assert sft[0]["completion"][0]["role"] == "assistant"
    dpo = exported("dpo", "--by", "credit")
    assert len(dpo) == 6
    assert dpo[0]["prompt"][-1]["content"] == "Help me with case 0."
    assert (dpo[0]["chosen"][0]["content"], len(dpo[0]["chosen"])) == ("May I see the number?", 1)
    assert sum(row["label"] for row in exported("kto", "--by", "credit")) == 18


def test_what_cannot_be_exported_says_why(run, capsys):
    for arguments, words in (
        (["--format", "sft", "--min-reward", "2"], "no episode has an outcome that is good (from 2 on)"),
        (["--format", "dpo", "--min-reward", "2"], "Take --format kto"),
        (["--format", "sft", "--judge", "nobody"], "no traces with turns and an outcome by 'nobody'"),
        (["--format", "grpo", "--hidden"], "neither pictures nor hidden fields"),
    ):
        assert main(["traces", "export", "desk", "x.jsonl", *arguments]) == 2
        assert words in capsys.readouterr().err


_TRAIN = """
import copy, json, sys
import torch
from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

characters = {chr(i): n for n, i in enumerate(range(32, 127))} | {"\\n": 95, "<unk>": 96, "<eos>": 97, "<pad>": 98}
inner = Tokenizer(models.WordLevel(characters, unk_token="<unk>"))
inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>")
tokenizer.chat_template = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments }}){% endfor %}\\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
kinds = {"sft": (SFTTrainer, SFTConfig), "dpo": (DPOTrainer, DPOConfig), "kto": (KTOTrainer, KTOConfig)}
for name in sys.argv[1:]:
    trainer, config = kinds[name]
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=99, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                                         num_attention_heads=2, pad_token_id=98, eos_token_id=97, bos_token_id=None))
    settings = config(output_dir=name, max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True,
                      save_strategy="no", max_length=256)
    data = load_dataset("json", data_files=f"{name}.jsonl", split="train")
    more = {} if name == "sft" else {"ref_model": copy.deepcopy(model)}
    done = trainer(model=model, args=settings, train_dataset=data, processing_class=tokenizer, **more).train()
    print("trained", name, done.global_step, done.training_loss)
"""


@pytest.mark.parametrize("by", ["outcome", "credit"])
def test_trl_takes_a_step_on_them(run, by):
    """With TRL's own environment: its Python stands in TURNSMITH_TRL_PYTHON."""
    python = os.environ.get("TURNSMITH_TRL_PYTHON")
    if not python:
        pytest.skip("TURNSMITH_TRL_PYTHON does not name a Python that has TRL")
    give_credit()
    for name in ("sft", "dpo", "kto"):
        exported(name, "--by", by)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(run / "cache")}
    done = subprocess.run(
        [python, "-c", _TRAIN, "sft", "dpo", "kto"], capture_output=True, text=True, env=environment, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("trained")] == ["sft", "dpo", "kto"]
