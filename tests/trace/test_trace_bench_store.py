"""The store's benchmark at a small size: it runs, cleans up after itself, and records only what it is about."""

from turnsmith.cli import main


def test_a_small_benchmark_prints_its_table_and_leaves_nothing(tmp_path, capsys):
    scratch, results = tmp_path / "scratch", tmp_path / "results"
    scratch.mkdir()
    options = ["--traces", "100", "--reads", "20", "--folder", str(scratch), "--results", str(results)]
    assert main(["bench", "store", *options]) == 0
    output = capsys.readouterr().out
    for part in (
        "write, one commit a trace",
        "floor: plain file",
        "cold",
        "cached",
        "40 MB of screenshots",
        "Not recorded",
    ):
        assert part in output
    assert not list(scratch.iterdir())
    assert not results.exists()


def test_too_little_room_is_said_before_anything_is_written(tmp_path, capsys):
    assert main(["bench", "store", "--traces", "100000000", "--folder", str(tmp_path)]) == 2
    assert "but 100,000,000 traces need 52000.2 GB. Use --traces N" in capsys.readouterr().err
    assert main(["bench", "store", "--folder", str(tmp_path / "absent")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert main(["bench", "store", "--traces", "5"]) == 2
    assert "at least --traces 100" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
