"""Smaller parts: small copies of images, texts of tokens, tasks, other environments' panels, the command."""

import io
import json
import socket
import struct
import zlib

import pytest
from view_site import serving, until

from turnsmith import cli
from turnsmith.commands.view import _listen
from turnsmith.errors import UserError
from turnsmith.trace import codec
from turnsmith.trace.store import Store
from turnsmith.trace.types import Action, Call, ImageRef, Observation, Outcome, Task, Trace, Turn
from turnsmith.view.curves import curves, report_charts, telling
from turnsmith.view.run import Run
from turnsmith.view.sample import write_sample_run
from turnsmith.view.tasks import list_tasks
from turnsmith.view.thumbs import thumbnail
from turnsmith.view.tokens import token_texts


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    image = pytest.importorskip("PIL.Image").new("RGB", (width, height), (200, 30, 30))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_small_copy_keeps_the_proportions_and_the_colours(kind):
    from PIL import Image

    media_type, data = thumbnail(f"image/{kind.lower()}", picture(1280, 720, kind))
    small = Image.open(io.BytesIO(data))
    assert (media_type, small.size) == ("image/jpeg", (256, 144))
    red, green, blue = small.convert("RGB").getpixel((128, 72))  # type: ignore[misc]
    assert red > 180
    assert green < 60 > blue


def test_images_that_are_small_damaged_or_bombs_are_passed_on_as_they_are():
    tiny = picture(100, 50)
    assert thumbnail("image/png", tiny) == ("image/png", tiny)
    for damaged in (b"", b"no image", picture(1280, 720)[:400], b"<svg onload='1'/>"):
        assert thumbnail("image/png", damaged) == ("image/png", damaged)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    assert thumbnail("image/png", bomb) == ("image/png", bomb)


def test_token_texts_are_the_pieces_of_the_decoded_text(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["click the kettle, click the lamp"] * 4, trainer)
    assert token_texts(tmp_path)((1, 2)) is None  # no tokenizer yet
    (tmp_path / "checkpoints" / "step-40").mkdir(parents=True)
    tokenizer.save(str(tmp_path / "checkpoints" / "step-40" / "tokenizer.json"))
    text = "click the kéttle → lamp"
    ids = tuple(tokenizer.encode(text).ids)
    pieces = token_texts(tmp_path)(ids)
    assert pieces is not None
    assert len(pieces) == len(ids)
    assert "".join(pieces).replace("�", "") == text


def test_charts_of_a_report_become_series_with_an_axis_and_what_is_malformed_is_left_out():
    points = [{"x": 64, "value": 0.2, "low": 0.1, "high": 0.3}, {"x": 128, "value": 0.7}, {"x": "wide", "value": 1}, 3]
    chart = {"title": "accuracy", "x": "tokens", "series": [{"name": "apr", "points": points}, {"points": 7}, None]}
    found = report_charts([chart, {"title": "no series"}, "x"])
    assert [(series["metric"], series["phase"], series["axis"]) for series in found] == [("accuracy", "apr", "tokens")]
    assert [(point["step"], point["value"], point["low"]) for point in found[0]["points"]] == [
        (64, 0.2, 0.1),
        (128, 0.7, None),
    ]
    assert report_charts(None) == report_charts({}) == []


def test_curves_that_say_nothing_are_left_out():
    """The number of episodes and errors that never happen; but a success rate that stays where it is says something."""
    rows = [
        {
            "phase": phase, "iteration": i, "success": 0.5, "success_low": 0.4, "success_high": 0.6, "episodes": count,
            "infra_errors": 0, "lost": i, "steps": 7.0 if phase == "eval" else 7.0 + i,
        }
        for phase, count in (("train", 128), ("eval", 116)) for i in range(3)
    ]  # fmt: skip
    assert {one["metric"] for one in telling(curves(rows))} == {"success", "lost", "steps"}
    assert {one["metric"] for one in telling(curves(rows[:1]))} == {"success"}  # a run that has just begun


def test_arms_one_after_the_other_are_no_curve_over_the_clock():
    arms = [{"time": 10.0 * n, "phase": f"eval-{arm}", "success": n / 10} for n, arm in enumerate(("a", "b", "b"))]
    by_n = [{"time": 50.0 + n, "phase": "best-of-n", "n": n, "success": n / 9} for n in (1, 4)]
    assert telling(curves(arms + by_n)) == []
    assert telling(curves(by_n))[0]["metric"] == "success"  # one phase, by the clock: a log of somebody's own
    assert len(telling(curves([{**row, "iteration": 1} for row in arms[:2]] + arms))) == 2


def test_curves_keep_intervals_with_their_metric_and_put_success_first():
    rows = [
        {"time": 1.0, "step": 5, "phase": "train", "loss": 2.0, "note": "text", "flag": True},
        {"time": 2.0, "iteration": 0, "phase": "eval", "success": 0.5, "success_low": 0.4, "success_high": 0.6},
        {"time": 3.0, "iteration": 1, "phase": "eval", "success": 0.7, "success_low": 0.6},
        {"time": 4.0, "bits_low": 3.0},
    ]
    found = curves(rows)
    assert [(curve["metric"], curve["phase"]) for curve in found] == [
        ("success", "eval"), ("loss", "train"), ("bits_low", "")]  # fmt: skip
    first, second = found[0]["points"]
    assert (first["value"], first["low"], first["high"]) == (0.5, 0.4, 0.6)
    assert (second["value"], second["low"]) == (0.7, None)


def test_tasks_that_were_rejected_stand_beside_those_that_were_tried(tmp_path):
    folder = write_sample_run(tmp_path / "run", traces=30, turns=2, iterations=3, distinct=1)
    rejected = Task(
        "bad",
        "Log in and pay",
        "browser",
        {"site": "shop"},
        provenance={"stage": "validated", "rejected": "needs a login"},
    )
    waiting = Task(
        "new", "Find the cheapest kettle", "browser", provenance={"proposer": "name-only", "stage": "accepted"}
    )
    lines = [json.dumps(codec.task_to_json(task)) for task in (rejected, waiting)]
    (folder / "tasks.jsonl").write_text("\n".join(lines) + "\n")
    run = Run(folder)
    page = list_tasks(run, {})
    tried = [row for row in run.rows.all() if row.outcome != "infra_error"]
    assert sum(task["attempts"] for task in page["rows"]) == 30
    assert sum(n for task in page["rows"] for _, _, n in task["history"]) == len(tried)
    assert sum(won for task in page["rows"] for _, won, _ in task["history"]) == sum(row.solved for row in tried)
    assert page["stages"] == {"validated": 1, "accepted": 1}
    assert page["rejections"] == {"needs a login": 1}
    assert [task["id"] for task in list_tasks(run, {"state": "rejected"})["rows"]] == ["bad"]
    assert {task["id"] for task in list_tasks(run, {"state": "untried"})["rows"]} == {"bad", "new"}
    hardest = [task["success"]["value"] for task in list_tasks(run, {"sort": "hardest"})["rows"] if task["success"]]
    assert hardest == sorted(hardest)
    assert all(task["provenance"] for task in page["rows"])


def test_a_swipe_on_a_phone_a_page_without_screenshots_and_a_scroll_are_drawn(page, tmp_path):
    def trace(name: str, environment: str, call: Call, info: dict, seen: Observation) -> Trace:
        turn = Turn(seen, Action("Action: x", call), info=info)
        return Trace(name, Task(name, name, environment), (turn,), Outcome.SUCCESS)

    screen = Observation(images=(ImageRef.of(picture(360, 640), "image/png"),), info={"viewport": [360, 640]})
    box = {"mark": 4, "tag": "button", "text": "Add to cart", "aria": "", "box": [10, 20, 100, 40]}
    boxes = Observation("list", info={"viewport": [800, 600], "elements": [box]})
    (tmp_path / "run").mkdir()
    with Store(tmp_path / "run" / "run.db") as store:
        store.append(trace("swipe", "device", Call("swipe"), {"point": [180, 500], "end": [180, 100]}, screen))
        store.append(trace("boxes", "browser", Call("click", {"mark": 4}), {}, boxes))
        store.append(trace("scroll", "browser", Call("scroll", {"direction": "down", "target": "window"}), {}, boxes))
    with serving(tmp_path) as site:
        page.goto(site.link)
        page.goto(f"{site.origin}/#/run/run/trace/swipe")
        page.locator(".device-stage .swipe").first.wait_for(state="attached")
        assert (page.locator(".device-stage .swipe").first.get_attribute("d") or "").startswith("M180 500 L180 100")
        page.goto(f"{site.origin}/#/run/run/trace/boxes")
        page.get_by_role("img", name="The page as boxes").get_by_text("Add to cart").wait_for()
        assert page.locator(".touch-box").get_attribute("x") == "10"
        page.goto(f"{site.origin}/#/run/run/trace/scroll")
        until(page, "document.querySelector('.swipe')?.getAttribute('d').startsWith('M768 210 L768 390')")


def test_a_taken_port_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} cannot be used \(Address already in use\)"):
            _listen(port)
    with pytest.raises(UserError, match="port 99999 cannot be used"):
        _listen(99999)


def test_the_command_writes_reports_and_names_the_runs_it_knows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_sample_run(tmp_path / "runs" / "one", traces=4, turns=2, iterations=2, distinct=1)
    assert cli.main(["view", "--report", "one"]) == 0
    assert capsys.readouterr().out.strip() == "runs/one/report.html"
    assert (tmp_path / "runs" / "one" / "report.html").exists()
    assert cli.main(["view", "two"]) == 2
    assert capsys.readouterr().err == "turnsmith: two: there is no run of this name. Runs here: one.\n"
