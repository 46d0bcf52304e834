"""Files from outside that are damaged, endless or larger than memory: every reader says so in one line.

`fuzzed` makes small damage to sound files, by a seed; what readers may raise is `UserError` and nothing else.
"""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnsmith.arrays import read_npz
from turnsmith.eeg import files as eeg_files
from turnsmith.engine.openai_reply import TryAgain, completion, decode
from turnsmith.envs.tools.database import Base
from turnsmith.errors import InfraError, ParseError, UserError
from turnsmith.evaluate.claims import read_claims
from turnsmith.jsonl import DEEPEST, parse_json, read_json, read_jsonl
from turnsmith.judges.webarena.verify import read_questions
from turnsmith.robot.kalie_files import read_json_data, read_text
from turnsmith.tasks.files import load_tasks
from turnsmith.trace.messages_import import import_messages

HOSTILE = {
    "nested lists": "[" * 100_000,
    "nested objects": '{"a":' * 50_000,
    "deep and closed": "[" * 5000 + "]" * 5000,
    "deep between closed ones": '{"a": [1], "b":' * 300 + "1" + "}" * 300,
    "5,000 digits": '{"task_id": ' + "7" * 5000 + "}",
    "500 digits": '[{"id": "x", "value": ' + "7" * 500 + "}]",
    "1e400": '[{"id": "x", "value": 1e400}]',
    "-1e999": '{"a": [-1e999]}',
    "half": '{"id": "x", "ta',
    "nothing": "",
    "no UTF-8": b"\xff\xfe{\x00",
    "another kind": "3",
}


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


READERS: dict[str, Callable[[Path], object]] = {
    "json": read_json,
    "jsonl": read_jsonl,
    "tasks": load_tasks,
    "claims": read_claims,
    "webarena": read_questions,
    "kalie": read_json_data,
    "database": lambda path: Base.load(path.parent, (path.stem,)),
    "messages": lambda path: import_messages(path, path.with_name("run.db")),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("reader", READERS)
def test_a_hostile_file_is_one_line(reader, name, tmp_path):
    path = tmp_path / "given.json"
    path.write_bytes(as_bytes(HOSTILE[name]))
    if (reader, name) in {
        ("json", "another kind"),
        ("jsonl", "nothing"),
        ("messages", "nothing"),
        ("tasks", "nothing"),
    }:
        READERS[reader](path)
        return
    with pytest.raises(UserError, match=r"given\.json") as caught:
        READERS[reader](path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_reply_is_no_reply_and_a_hostile_answer_is_no_action(name):
    body = as_bytes(HOSTILE[name])
    with pytest.raises((TryAgain, InfraError, UserError)):
        completion(decode(body))
    with pytest.raises(ParseError):
        read_text(body.decode(errors="replace"), 10, 10)


def test_json_at_the_bounds_is_read():
    deep = "[" * DEEPEST + "]" * DEEPEST
    assert parse_json(deep) == json.loads(deep)
    assert parse_json("9" * 300) == int("9" * 300)
    assert parse_json('[1e308, -0.0, 1e-400, "1e400"]') == [1e308, -0.0, 0.0, "1e400"]
    assert parse_json('\ufeff{"a": 1}'.encode()) == {"a": 1}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(json_values)
def test_what_json_writes_is_read_back(value):
    assert parse_json(json.dumps(value)) == value


@settings(max_examples=40, deadline=None)
@given(json_values, st.data())
def test_damaged_json_is_a_value_or_a_value_error(value, data):
    text = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text)))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        parse_json(bytes(text))
    except ValueError:
        pass


# -- arrays


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def bomb(name: str) -> bytes:
    """Less than a hundred kilobytes that say of themselves that they become 80 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        np.lib.format.write_array_header_1_0(
            member,
            {"descr": "<f8", "fortran_order": False, "shape": (20_000, 500)},  # type: ignore[arg-type]
        )
        for _ in range(80):
            member.write(bytes(1_000_000))
    return buffer.getvalue()


@pytest.mark.parametrize("read", [read_npz, eeg_files.read])
def test_what_unpacks_without_measure_is_not_unpacked(read, tmp_path):
    path = tmp_path / NAME
    buffer = io.BytesIO(bomb("EEG.npy"))
    with zipfile.ZipFile(buffer, "a") as archive, archive.open("labels.npy", "w") as member:
        np.lib.format.write_array(member, np.zeros((1, 3)))
    path.write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match="would unpack"):
        read(path)


NAME = "Position_task_with_dots_synchronised_min.npz"


def fuzzed(sound: bytes, seed: int) -> bytes:
    """The bytes with one to four small damages: changed, lost, doubled or cut off."""
    rng, data = random.Random(seed), bytearray(sound)
    for _ in range(rng.randint(1, 4)):
        place, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 30))
        how = rng.randrange(4)
        if how == 0:
            data[place : place + length] = rng.randbytes(length)
        elif how == 1:
            del data[place : place + length]
        elif how == 2:
            data[place:place] = data[place : place + length]
        elif len(data) > 8:
            del data[max(8, place) :]
    return bytes(data)


def test_damaged_arrays_are_arrays_or_one_line(tmp_path):
    rng = np.random.default_rng(0)
    path, refused = tmp_path / NAME, 0
    small = npz(EEG=rng.normal(size=(1, 4)), labels=np.ones((2, 3)))
    for seed in range(150):
        path.write_bytes(fuzzed(small, seed))
        for read in (read_npz, eeg_files.read):
            try:
                read(path)
            except UserError as error:
                refused += "\n" not in str(error)
    assert refused > 150


def test_gzip_that_is_no_array_is_one_line(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(gzip.compress(b"0" * 1000))
    with pytest.raises(UserError, match="cannot be read as an npz file"):
        read_npz(path)
