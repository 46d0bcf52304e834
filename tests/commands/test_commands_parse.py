"""`turnsmith parse`: model responses in, calls or errors out, one line each; bad input is one line on stderr."""

import json
import subprocess
import sys

import pytest

from turnsmith.cli import main


def lines_of(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.split("\n") if line]


def test_each_row_gives_one_row(tmp_path, capsys):
    file = tmp_path / "responses.jsonl"
    texts = [
        "Thought: the cart. Action: Click [3]",
        "Action: Type [4]; [blue shoes]",
        "Action: Scroll [WINDOW]; [down]",
        "Action: GoBack",
        "Action: Google",
        "Action: ANSWER; [Click 3, then a[0]]",
        "Click [3]",
    ]
    file.write_text("\n\n".join(json.dumps({"text": text, "id": 7}) for text in texts))
    assert main(["parse", "webvoyager", str(file)]) == 0
    *calls, error = lines_of(capsys)
    assert calls == [
        {"action": "click", "arguments": {"mark": 3}},
        {"action": "type", "arguments": {"mark": 4, "text": "blue shoes"}},
        {"action": "scroll", "arguments": {"direction": "down", "target": "window"}},
        {"action": "go_back", "arguments": {}},
        {"action": "search_engine", "arguments": {}},
        {"action": "answer", "arguments": {"text": "Click 3, then a[0]"}},
    ]
    assert list(error) == ["error"]


def test_the_dialects_differ(tmp_path, capsys):
    file = tmp_path / "responses.jsonl"
    file.write_text(json.dumps({"text": "Action: ANSWER [Paris]"}))
    assert main(["parse", "tti", str(file)]) == 0
    assert main(["parse", "webvoyager", str(file)]) == 0
    first, second = lines_of(capsys)
    assert first == {"action": "answer", "arguments": {"text": "Paris"}}
    assert "ANSWER; [text]" in second["error"]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_standard_input_of_any_unicode(encoding):
    """A byte order mark, a raw line separator inside a string, a lone surrogate, and terminals that know only ASCII."""
    rows = '\ufeff{"text": "line\u2028one\\nAction: ANSWER; [Zürich \\ud83d]"}\n'
    done = subprocess.run(
        [sys.executable, "-m", "turnsmith.cli", "parse", "webvoyager"],
        input=rows.encode(),
        capture_output=True,
        env={"PYTHONIOENCODING": encoding},
        check=True,
    )
    assert json.loads(done.stdout) == {"action": "answer", "arguments": {"text": "Zürich \ud83d"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "Action: Wait"}\n{bad', "line 2: not JSON"),
        (b"[1]", "line 1: a JSON object is needed, not list"),
        (b'\n\n{"response": "Action: Wait"}', 'line 3: "text" is missing'),
        (b'{"text": 3}', 'line 1: "text" is missing'),
        (b'{"text": "\xff"}', "line 1: not UTF-8 text"),
        (b"[" * 100_000, "line 1: not JSON"),
    ],
)
def test_malformed_files_are_one_line_and_print_nothing(tmp_path, capsys, content, message):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(content)
    assert main(["parse", "webvoyager", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert str(file) in output.err
    assert message in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["klingon", "x"], "unknown grammar 'klingon'. Grammars: webvoyager, tti"),
        (["tti", "no-such-file"], "no-such-file: cannot be read"),
        (["tti", "one", "two"], "parse takes one FILE"),
    ],
)
def test_wrong_arguments_are_one_line(capsys, arguments, message):
    assert main(["parse", *arguments]) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1
    assert message in output.err


def test_help_names_the_grammars(capsys):
    assert main(["parse", "--help"]) == 0
    assert "webvoyager, tti" in capsys.readouterr().out
