"""KALIE's files and LeRobot's, written and read."""

import json

import numpy as np
import pytest

from turnsmith.errors import ParseError, UserError
from turnsmith.robot.kalie_files import (
    Entry,
    read_hdf5,
    read_json_data,
    read_text,
    target_text,
    write_hdf5,
    write_json_data,
)
from turnsmith.robot.lerobot import RecordedTrial, write_lerobot
from turnsmith.worlds.tabletop.points import NAMES
from turnsmith.worlds.tabletop.trial import Film

h5py = pytest.importorskip("h5py")


@pytest.fixture
def entries():
    rng = np.random.default_rng(0)
    return [
        Entry(
            rng.integers(0, 255, (70, 70, 3), np.uint8),
            rng.uniform(2, 68, (5, 2)),
            "pouring",
            ("scoop", "bowl"),
            "Pour.",
        )
        for _ in range(12)
    ]


def test_json_round_trip_to_a_thousandth(entries, tmp_path):
    path = write_json_data(entries, tmp_path)
    rows = json.loads(path.read_text())
    assert list(rows)[:2] == ["entry_0", "entry_1"]
    points = json.loads(rows["entry_0"]["points"])
    assert tuple(points) == NAMES
    assert rows["entry_0"]["points"].startswith('{\n    "Grasp Point": [')
    for before, after in zip(entries, read_json_data(path), strict=True):
        assert np.array_equal(before.rgb_HW3, after.rgb_HW3)
        assert after.points_52 == pytest.approx(before.points_52, abs=0.5 * 70 / 1000 + 1e-9)
        assert (after.task, after.objects, after.prompt) == ("pouring", ("scoop", "bowl"), "Pour.")


def test_the_authors_prompts_key_is_read_too(entries, tmp_path):
    path = write_json_data(entries[:1], tmp_path)
    rows = json.loads(path.read_text())
    rows["entry_0"]["other"]["prompts"] = [rows["entry_0"]["other"].pop("prompt")]
    rows["entry_0"]["other"]["collector"] = "someone"
    path.write_text(json.dumps(rows))
    (entry,) = read_json_data(path)
    assert entry.prompt == "Pour."
    assert entry.other == {"collector": "someone"}


def test_hdf5_round_trip_in_order(entries, tmp_path):
    path = write_hdf5(entries, tmp_path / "data.hdf5")
    with h5py.File(path) as file:
        assert set(file["entry_3"]) == {
            "init_image", "grasp_point", "function_point", "target_point", "pre_contact_point", "post_contact_point",
        }  # fmt: skip
    back = read_hdf5(path, task="pouring")
    assert all(np.array_equal(a.points_52, b.points_52) for a, b in zip(entries, back, strict=True))
    assert np.array_equal(entries[11].rgb_HW3, back[11].rgb_HW3)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda rows: rows["entry_0"].pop("points"), "points"),
        (lambda rows: rows["entry_0"].update(img="imgs/none.png"), "none.png"),
        (lambda rows: rows.update(first=rows.pop("entry_0")), "not an entry"),
        (lambda rows: rows["entry_0"].update(points='{"Grasp Point": [1, 2]}'), "Function Point"),
    ],
)
def test_damaged_files_are_errors_that_name_file_and_entry(damage, words, entries, tmp_path):
    path = write_json_data(entries[:1], tmp_path)
    rows = json.loads(path.read_text())
    damage(rows)
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError, match=words):
        read_json_data(path)


def test_no_file_and_no_hdf5_are_errors(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_json_data(tmp_path / "none.json")
    (tmp_path / "x.hdf5").write_text("no")
    with pytest.raises(UserError, match="not a file of KALIE"):
        read_hdf5(tmp_path / "x.hdf5")


def test_the_models_text_is_the_papers_and_reads_back():
    points = np.array([[0, 0], [35, 70], [69.99, 1], [10, 20], [5.5, 6.6]], float)
    text = target_text(points, 70, 70)
    assert '    "Grasp Point": [\n        "000",\n        "000"\n    ]' in text
    assert '"999"' in text  # clipped
    assert read_text(f"Sure:\n{text}\n", 70, 70) == pytest.approx(points, abs=0.11)
    for wrong in ("", "{}", text.replace("Target", "Goal"), text.replace('"999"', '"12345"'), text[:40]):
        with pytest.raises(ParseError):
            read_text(wrong, 70, 70)


@pytest.fixture
def trials():
    rng = np.random.default_rng(1)

    def film(count):
        return Film(
            [rng.integers(0, 255, (16, 16, 3), np.uint8) for _ in range(count)],
            [rng.random(7).astype(np.float32) for _ in range(count)],
            [rng.random(7).astype(np.float32) for _ in range(count)],
            ["grip"] * count,
        )

    return [RecordedTrial("Sweep.", film(3), True), RecordedTrial("Pour.", film(5), False)]


def test_lerobot_export_loads_with_images_and_episode_bounds(trials, tmp_path):
    datasets = pytest.importorskip("datasets")
    pq = pytest.importorskip("pyarrow.parquet")
    folder = write_lerobot(trials, tmp_path / "set")
    info = json.loads((folder / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"]) == ("v3.0", 2, 8)
    rows = datasets.load_dataset(
        "parquet", data_files=str(folder / "data/chunk-000/file-000.parquet"), split="train", cache_dir=tmp_path / "c"
    )
    assert set(rows.features) == set(info["features"])
    assert np.array_equal(np.asarray(rows[4]["observation.images.top"]), trials[1].film.frames[1])
    assert rows[4]["action"] == pytest.approx(trials[1].film.actions[1].tolist())
    assert rows["next.success"][:] == [False, False, True] + [False] * 5
    assert rows[7]["timestamp"] == pytest.approx(4 / info["fps"])
    episodes = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(e["dataset_from_index"], e["dataset_to_index"], e["tasks"]) for e in episodes] == [
        (0, 3, ["Sweep."]),
        (3, 8, ["Pour."]),
    ]
    pandas = pytest.importorskip("pandas")
    tasks = pandas.read_parquet(folder / "meta/tasks.parquet")
    assert int(tasks.loc["Pour."].task_index) == 1
    stats = json.loads((folder / "meta/stats.json").read_text())
    assert stats["action"]["max"] == pytest.approx(np.max([a for t in trials for a in t.film.actions], axis=0).tolist())
    with pytest.raises(UserError, match="not empty"):
        write_lerobot(trials, folder)
    with pytest.raises(UserError, match="film"):
        write_lerobot([RecordedTrial("x", Film(), True)], tmp_path / "none")
