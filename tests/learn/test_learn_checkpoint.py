"""Checkpoints: an interrupted run ends bit for bit where an uninterrupted one does; nothing half-written counts."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.errors import UserError
from turnsmith.learn import checkpoint
from turnsmith.learn.examples import Example
from turnsmith.learn.fit import make_optimizer
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.sft import train

torch.set_num_threads(1)


def model(**sizes):
    made = new_copy_llama(1000, **{"width": 16, "layers": 1, "heads": 2, **sizes})
    made.config.attention_dropout = 0.1  # so that the random state matters
    for layer in made.model.layers:
        setattr(layer.self_attn, "attention_dropout", 0.1)  # noqa: B010
    return made


def examples() -> list[Example]:
    rng = random.Random(0)
    rows = [[rng.randrange(2, 50) for _ in range(rng.randint(4, 9))] for _ in range(20)]
    return [Example(tuple(row[:3]), tuple(row[3:]), (True,) * (len(row) - 3)) for row in rows]


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


CONFIG = OptimConfig(batch_size=4, epochs=4, warmup_updates=3, seed=2)


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    torch.manual_seed(11)
    whole = model()
    losses = train(whole, examples(), CONFIG)

    torch.manual_seed(11)
    first = model()
    optimizer = make_optimizer(first, CONFIG)

    class Killed(Exception):
        pass

    def stop(progress):
        if progress.update == 7:
            checkpoint.save(tmp_path, 7, first, None, optimizer, {"cursor": 7})
            raise Killed

    with pytest.raises(Killed):
        train(first, examples(), CONFIG, optimizer, on_update=stop)

    seed_all(999)  # another process, in another state
    second = model(seed=5)
    resumed = make_optimizer(second, CONFIG)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    state = checkpoint.load(found, second, resumed)
    rest = train(second, examples(), CONFIG, resumed, start=state["cursor"])
    assert rest == losses[7:]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_the_random_state_of_all_three_generators_comes_back(tmp_path):
    one = model()
    optimizer = make_optimizer(one, CONFIG)
    seed_all(1)
    path = checkpoint.save(tmp_path, 1, one, None, optimizer)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    seed_all(7)
    checkpoint.load(path, one, optimizer)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_the_last_complete_checkpoint_is_found(tmp_path):
    assert checkpoint.latest(tmp_path / "none") is None
    one = model()
    for step in (2, 10, 9):
        checkpoint.save(tmp_path, step, one, state={"step": step})
    (tmp_path / "step-11").mkdir()  # not written by us, or not whole
    shutil.copytree(tmp_path / "step-10", tmp_path / ".step-12.partial")
    assert checkpoint.steps(tmp_path) == [2, 9, 10]
    found = checkpoint.latest(tmp_path)
    assert found == tmp_path / "step-10"
    assert checkpoint.load(tmp_path / "step-10", one) == {"step": 10}


def test_saving_a_step_again_replaces_it_and_old_ones_go(tmp_path):
    one = model()
    for step, mark in ((1, "a"), (2, "b"), (2, "c"), (3, "d")):
        checkpoint.save(tmp_path, step, one, state={"mark": mark}, keep=2)
    assert checkpoint.steps(tmp_path) == [2, 3]
    assert checkpoint.load(tmp_path / "step-2", one) == {"mark": "c"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-2", "step-3"]


def test_another_model_is_refused_and_left_as_it_was(tmp_path):
    path = checkpoint.save(tmp_path, 1, model())
    for other in (model(width=32), model(layers=2)):
        before = [parameter.clone() for parameter in other.parameters()]
        with pytest.raises(UserError, match="a checkpoint of another model"):
            checkpoint.load(path, other)
        assert all(torch.equal(a, b) for a, b in zip(before, other.parameters(), strict=True))


def test_another_type_of_model_is_refused(tmp_path):
    path = checkpoint.save(tmp_path, 1, model())
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = AutoConfig.for_model("llama", vocab_size=50, num_attention_heads=2, **sizes)
    llama = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UserError, match="model type 'copy_llama' does not fit a model of type 'llama'"):
        checkpoint.load(path, llama)


def test_weights_only_cannot_resume(tmp_path):
    one = model()
    path = checkpoint.save(tmp_path, 1, one)
    with pytest.raises(UserError, match="weights only"):
        checkpoint.load(path, one, make_optimizer(one, CONFIG))


@pytest.mark.parametrize("name", ["trainer.json", "optimizer.safetensors"])
def test_a_damaged_checkpoint_is_said(tmp_path, name):
    one = model()
    path = checkpoint.save(tmp_path, 1, one, None, make_optimizer(one, CONFIG))
    (path / name).write_bytes(b"{")
    with pytest.raises(UserError, match="not a complete checkpoint") as caught:
        checkpoint.load(path, one)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_cannot_be_written_leaves_the_others(tmp_path):
    one = model()
    kept = checkpoint.save(tmp_path, 1, one)
    (tmp_path / ".step-2.partial").write_text("in the way")
    with pytest.raises(UserError, match="could not be written"):
        checkpoint.save(tmp_path, 2, one)
    assert checkpoint.latest(tmp_path) == kept


WRITER = """
import sys
from turnsmith.agents.copy_llama import new_copy_llama
from turnsmith.learn import checkpoint
model = new_copy_llama(1000, width=64, layers=4, heads=2)
step = 0
while True:
    step += 1
    checkpoint.save(sys.argv[1], step, model, state={"step": step}, keep=3)
    print(step, flush=True)
"""


def test_a_killed_writer_leaves_the_last_acknowledged_checkpoint(tmp_path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(4)][-1]
    time.sleep(0.013)
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged = max([acknowledged, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    writer.wait()
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert int(Path(found).name.removeprefix("step-")) >= acknowledged
    survivor = new_copy_llama(1000, width=64, layers=4, heads=2, seed=1)
    assert checkpoint.load(found, survivor)["step"] >= acknowledged
