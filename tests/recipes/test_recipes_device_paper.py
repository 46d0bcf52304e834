"""DigiRL's preset `paper` whole: tiny random models of the paper's classes from folders, and a judge over HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch
from transformers import Blip2VisionConfig, Blip2VisionModel
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from turnsmith.agents import aitw
from turnsmith.agents.autoui import AutoUIConfig, AutoUIModel
from turnsmith.agents.tokenizer import train_tokenizer
from turnsmith.cli import main as turnsmith
from turnsmith.learn.examples import Example
from turnsmith.learn.optim import OptimConfig
from turnsmith.learn.sft import train
from turnsmith.trace.store import Store
from turnsmith.trace.types import Call

torch.set_num_threads(1)

SWIPE = aitw.render_aitw(Call("swipe", {"y": 0.8, "x": 0.5, "to_y": 0.2, "to_x": 0.5}))
"""Opens the drawer, so that the screen changes and the judge is asked."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Auto-UI and BLIP-2 in a folder each; Auto-UI has learned to swipe up, whatever it sees."""
    folder = tmp_path_factory.mktemp("models")
    tower = Blip2VisionConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    Blip2VisionModel(tower).save_pretrained(folder / "blip2")
    BlipImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder / "blip2")
    tokenizer = train_tokenizer([SWIPE, "Previous Actions: Goal: Go to shoply.com"] * 3, 1200)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    ids: dict[str, Any] = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    model = AutoUIModel(AutoUIConfig(image_width=24, vocab_size=len(tokenizer), **sizes, **ids))
    response = (*tokenizer(SWIPE, add_special_tokens=False).input_ids, 1)
    prompt = tuple(tokenizer("Previous Actions:  Goal: Go", add_special_tokens=False).input_ids)
    seen = [{"image_vectors": vector[None]} for vector in (torch.zeros(24), torch.randn(24))]
    examples = [Example(prompt, response, (True,) * len(response), vision=vision) for vision in seen]
    optim = OptimConfig(learning_rate=1e-2, batch_size=2, epochs=120, warmup_updates=0, schedule="constant")
    assert train(model, examples, optim)[-1] < 0.05
    model.save_pretrained(folder / "autoui")
    tokenizer.save_pretrained(folder / "autoui")
    return folder


@pytest.fixture
def judge():
    """An OpenAI-compatible endpoint that calls every screen a success, and what it was asked."""
    asked: list[dict] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            reply = {"message": {"content": "A: it is there.\nStatus: success"}, "finish_reason": "stop"}
            data = json.dumps({"choices": [reply]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()


def test_the_paper_preset_runs_from_folders_of_weights_with_a_model_as_the_judge(folders, judge, tmp_path, monkeypatch):
    address, asked = judge
    monkeypatch.chdir(tmp_path)
    models = ["--policy.model", str(folders / "autoui"), "--features.model", str(folders / "blip2")]
    counts = {
        "offline-rollouts": 3, "iterations": 1, "rollouts": 2, "test-tasks": 1, "phone.phones": 2, "phone.horizon": 2,
        "offline.actor": 2, "offline.step-critic": 2, "offline.instruction-critic": 2, "actor.batch-size": 4,
    }  # fmt: skip
    sizes = [word for name, count in counts.items() for word in (f"--{name}", str(count))]
    endpoint = ["--phone.endpoint", f"eyes@{address}", "--arms", "digirl"]
    assert turnsmith(["run", "digirl", "--preset", "paper", *models, *endpoint, *sizes]) == 0
    report = json.loads((tmp_path / "runs/digirl-paper/report.json").read_text())
    assert [row["name"] for row in report["summary"]] == ["SFT", "digirl off-to-on"]
    with Store(tmp_path / "runs/digirl-paper/run.db", read_only=True) as store:
        offline = list(store.traces(phase="offline"))
    assert asked
    assert all(request["model"] == "eyes" for request in asked)
    assert any(turn.reward > 0.5 for trace in offline for turn in trace.turns)
    assert {verdict.judge for trace in offline for verdict in trace.verdicts} == {"oracle", "vision-eyes"}
    assert any(turn.credits for trace in offline for turn in trace.turns)
    metrics = [json.loads(line) for line in (tmp_path / "runs/digirl-paper/metrics.jsonl").read_text().splitlines()]
    assert any(row["phase"] == "update-digirl" and row["loss"] is not None for row in metrics)
    assert (tmp_path / "runs/digirl-paper/checkpoints/digirl/step-1/model/config.json").exists()
