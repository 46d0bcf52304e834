"""The authors' `.pt` trajectories: plain ones become traces that can be learned from, dangerous ones are refused."""

import pickle

import pytest
import torch
from device_logs import screen

from turnsmith.cli import main as turnsmith
from turnsmith.critics.episodes import played, read
from turnsmith.errors import UserError
from turnsmith.recipes.shared.authors_files import load_pt, traces_from_pt
from turnsmith.trace.store import Store
from turnsmith.trace.types import Call, Outcome

TAP = (
    'Action Plan: [DUAL_POINT] ; Action Decision: "action_type": "DUAL_POINT", "touch_point": "[0.5, 0.25]", '
    '"lift_point": "[0.5, 0.25]", "typed_text": ""'
)


def steps(won: float = 1.0) -> list[dict]:
    shared = {"task": "Open the red door", "trajectory_reward": won, "image_features": torch.zeros(4)}
    prompt = "Previous Actions:  Goal: Open the red door</s>"
    return [
        {**shared, "observation": prompt, "action": TAP, "reward": 0, "done": False, "image_path": "shots/1.png"},
        {**shared, "observation": prompt, "action": TAP, "reward": torch.tensor(won), "done": True,
         "image_path": "/elsewhere/shots/2.png"},
    ]  # fmt: skip


@pytest.fixture
def shots(tmp_path):
    folder = tmp_path / "images"
    (folder / "shots").mkdir(parents=True)
    for name, stage in (("1.png", "hall"), ("2.png", "red")):
        data = screen(stage).data
        assert data is not None
        (folder / "shots" / name).write_bytes(data)
    return folder


def test_trajectories_become_traces(tmp_path, shots):
    torch.save([steps(1.0), steps(0.0), []], tmp_path / "log.pt")
    won, lost = traces_from_pt(tmp_path / "log.pt", shots)
    assert (won.outcome, lost.outcome) == (Outcome.SUCCESS, Outcome.FAILURE)
    assert won.task.instruction == "Open the red door"
    assert won.turns[0].action.call == Call("tap", {"y": 0.5, "x": 0.25})
    assert not won.turns[0].observation.images  # the file has only what came after each action
    assert won.turns[1].observation.images[0].digest == screen("hall").digest
    one = played(won)
    assert one is not None
    assert one.rewards == (1.0,)  # from the first screen that is known
    assert [image.digest for image in one.screens] == [screen("hall").digest, screen("red").digest]


def test_digi_qs_files_have_both_screens(tmp_path, shots):
    rows = [{**steps()[1], "image_path": "shots/1.png", "next_image_path": "shots/2.png"}]
    torch.save([rows], tmp_path / "log.pt")
    trace = traces_from_pt(tmp_path / "log.pt", shots)[0]
    assert trace.turns[0].observation.images[0].digest == screen("hall").digest
    assert trace.final is not None
    assert trace.final.images[0].digest == screen("red").digest


class Dangerous:
    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    torch.save([[{"action": TAP, "x": Dangerous()}]], tmp_path / "evil.pt")
    with pytest.raises(UserError, match="code from the file"):
        load_pt(tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Dangerous()))
    with pytest.raises(UserError):
        load_pt(tmp_path / "plain.pt")
    assert "never" not in capsys.readouterr().out


def test_other_contents_are_named(tmp_path):
    torch.save({"a": 1}, tmp_path / "dict.pt")
    with pytest.raises(UserError, match="holds a dict"):
        load_pt(tmp_path / "dict.pt")
    torch.save([[{"observation": "x"}]], tmp_path / "bare.pt")
    with pytest.raises(UserError, match='without "action"'):
        load_pt(tmp_path / "bare.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(UserError, match="text"):
        load_pt(tmp_path / "text.pt")
    with pytest.raises(UserError, match="no such file"):
        load_pt(tmp_path / "none.pt")


def test_pictures_outside_the_folder_are_not_read(tmp_path, shots):
    (tmp_path / "secret.png").write_bytes(b"x")
    rows = [{**steps()[1], "image_path": "images/../../secret.png", "next_image_path": "../secret.png"}]
    torch.save([rows], tmp_path / "log.pt")
    assert not traces_from_pt(tmp_path / "log.pt", shots)[0].turns[0].observation.images


def test_the_command_line_imports_them_into_a_run(tmp_path, shots, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save([steps(1.0), steps(0.0)], tmp_path / "released.pt")
    assert turnsmith(["traces", "import", "released.pt", "theirs", "--images", str(shots)]) == 0
    assert "imported 2 traces" in capsys.readouterr().out
    with Store(tmp_path / "runs/theirs/run.db", read_only=True) as store:
        assert len(read(store, ["import"])) == 2
    assert turnsmith(["traces", "import", "released.pt", "theirs", "--images", str(shots)]) == 2  # not twice
