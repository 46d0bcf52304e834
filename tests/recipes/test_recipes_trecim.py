"""The recipe at a tiny size: it runs, resumes where it was killed, and makes nothing twice."""

import json

import pytest
import torch

from turnsmith.recipes.trecim import recipe
from turnsmith.recipes.trecim.config import Config


def test_the_smoke_preset_resumes_where_it_was_killed_and_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    config = Config.preset("smoke")
    original, calls = recipe.run_arm, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(recipe, "run_arm", dies)
    with pytest.raises(KeyboardInterrupt):
        recipe.main(config)
    folder = tmp_path / "runs" / "trecim-smoke"
    assert json.loads((folder / "report.json").read_text())["status"] == "stopped"
    monkeypatch.setattr(recipe, "train", lambda *_: pytest.fail("training was done already"))
    page = recipe.main(config)
    assert json.loads((folder / "report.json").read_text())["status"] == "done"
    expected = len(config.temps) * len(recipe.compared(config))
    assert len(list((folder / "made" / "chips").glob("*/*/value.json"))) == expected
    assert len(calls) == expected + 1  # the one that was killed is run again, those before it are not
    assert "Accuracy against temperature" in page.read_text()
    assert not (tmp_path / "results").exists()
