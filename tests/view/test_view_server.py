"""Who may ask the viewer, for what, and what it never gives away."""

import contextlib
import http.client
import json
import socket

import pytest
from starlette.testclient import TestClient
from view_site import TOKEN, edit, serving

from turnsmith.trace.store import Store
from turnsmith.trace.types import Label
from turnsmith.view import serve
from turnsmith.view.runs import Runs
from turnsmith.view.sample import write_sample_run
from turnsmith.view.server import make_app

DATA = (
    "pulse",
    "runs",
    "overview?run=run",
    "traces?run=run",
    "trace?run=run&id=trace-00000",
    "tasks?run=run",
    "labels?run=run",
    "compare?run=run&run=run",
    "results",
    "image?run=run&digest=x",
    "thumbs?run=run&digest=x",
)


@pytest.fixture
def root(tmp_path):
    write_sample_run(tmp_path / "runs" / "run", traces=6, turns=3, iterations=2, distinct=2)
    (tmp_path / "secret.json").write_text('{"password": "hunter2"}')
    return tmp_path / "runs"


@pytest.fixture
def client(root):
    with TestClient(make_app(Runs(root, []), TOKEN, root / "results"), base_url="http://127.0.0.1:8470") as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client


@pytest.mark.parametrize("path", DATA)
def test_no_data_without_the_token(client, path):
    for wrong in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \u00e9"):
        answer = client.get(f"/api/{path}", headers={"Authorization": wrong.encode("latin-1")})
        assert answer.status_code == 401
        assert "trace" not in answer.text
    assert client.post("/api/label?run=run", headers={"Authorization": ""}, json={}).status_code == 401
    assert client.get(f"/api/{path}&token={TOKEN}", headers={"Authorization": ""}).status_code == 401


def test_the_page_itself_needs_no_token_and_holds_no_data(client):
    page = client.get("/", headers={"Authorization": ""})
    assert page.status_code == 200
    assert TOKEN not in page.text
    assert "trace-0" not in page.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8470", "127.0.0.1.evil.example", "10.0.0.1", "", "[::1"]
)
def test_other_host_names_are_refused(client, host):
    assert client.get("/api/runs", headers={"Host": host}).status_code == 421
    assert client.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost:8470", "LOCALHOST", "[::1]:99"])
def test_the_machines_own_names_are_answered_through_any_port_so_that_a_forwarded_one_works(client, host):
    assert client.get("/api/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/viewer.js", "/viewer.css", "/api/runs", "/api/nothing", "/nothing"])
def test_every_answer_carries_the_security_headers_and_no_permission_for_other_origins(client, path):
    answer = client.get(path, headers={"Origin": "https://evil.example"})
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert not [name for name in answer.headers if name.startswith("access-control")]


ATTEMPTS = [
    "/../secret.json",
    "/../../secret.json",
    "/%2e%2e/secret.json",
    "/..%2fsecret.json",
    "/viewer.js/../../secret.json",
    "/viewer.css%00.json",
    "//etc/passwd",
    "/static/../secret.json",
    "/api/../../secret.json",
    "/viewer.js%2f..%2f..",
    "/api/overview?run=..",
    "/api/overview?run=../runs/run",
    "/api/overview?run=/etc",
    "/api/overview?run=run/..",
    "/api/overview?run=run%00",
    "/api/overview?run=",
    "/api/overview?run=./run",
    "/api/trace?run=run&id=../../secret.json",
    "/api/trace?run=run&id=%00",
    "/api/image?run=run&digest=../../secret.json",
    "/api/image?run=run&digest=",
    "/api/thumbs?run=..&digest=x",
    "/api/image?run=run&digest=%27%20OR%201=1%20--",
    "/api/trace?run=run&id=%27%20OR%20%271%27=%271",
    "/api/tasks?run=../../",
    "/api/labels?run=%2e%2e",
    "/api/compare?run=..&run=/etc",
]


def test_no_path_outside_the_runs_is_reachable(root):
    with serving(root) as site:
        for path in ATTEMPTS:
            connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
            connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})  # sent as it stands
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            assert answer.status in (400, 404), path
            assert b"hunter2" not in body
            assert b"root:" not in body


def test_results_are_read_from_their_own_folder_only(client, root):
    (root / "results").mkdir()
    (root / "results" / "good.json").write_text('[{"id": "x", "claim": "c", "value": 1, "holds": true}]')
    (root / "results" / "bad.json").write_text("{")
    files = client.get("/api/results").json()["files"]
    assert [(file["name"], len(file["claims"]), bool(file["problem"])) for file in files] == [
        ("bad", 0, True), ("good", 1, False)]  # fmt: skip


def test_an_image_is_served_as_an_image_for_ever_and_anything_else_as_bytes(client, root):
    trace = client.get("/api/trace?run=run&id=trace-00000").json()
    digest = trace["turns"][0]["observation"]["images"][0]
    answer = client.get("/api/image", params={"run": "run", "digest": digest})
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert "immutable" in answer.headers["Cache-Control"]
    assert "no-store" in client.get("/api/runs").headers["Cache-Control"]
    with Store(root / "run" / "run.db") as store:
        assert answer.content == store.image(digest).data
    edit(root / "run", "INSERT INTO images VALUES ('page', 'text/html', ?)", b"<script>1</script>")
    assert client.get("/api/image?run=run&digest=page").headers["Content-Type"] == "application/octet-stream"


def test_small_copies_come_many_at_once_and_are_kept_only_when_none_is_missing(client, root):
    trace = client.get("/api/trace?run=run&id=trace-00000").json()
    digests = sorted({turn["observation"]["images"][0] for turn in trace["turns"]})
    edit(root / "run", "INSERT INTO images VALUES ('page', 'text/html', ?)", b"<script>1</script>")
    whole = client.get("/api/thumbs", params={"run": "run", "digest": digests})
    assert sorted(whole.json()) == digests
    assert all(url.startswith("data:image/jpeg;base64,") for url in whole.json().values())
    assert "immutable" in whole.headers["Cache-Control"]
    partly = client.get("/api/thumbs", params={"run": "run", "digest": [*digests, "page", "none"]})
    assert sorted(partly.json()) == digests
    assert "no-store" in partly.headers["Cache-Control"]


def test_a_label_is_stored_with_the_run_and_read_back(client, root):
    label = {"trace_id": "trace-00001", "turn": 1, "correct": False, "note": "it clicked the wrong “lamp”"}
    assert client.post("/api/label?run=run", json=label).status_code == 200
    outcome = {"trace_id": "trace-00001", "turn": None, "correct": True, "note": ""}
    assert len(client.post("/api/label?run=run", json=outcome).json()) == 2
    with Store(root / "run" / "run.db", read_only=True) as store:
        first, second = store.labels("trace-00001")
    assert (first.turn, first.correct, first.note) == (1, False, label["note"])
    assert (second.turn, second.correct) == (None, True)
    assert isinstance(first, Label)
    assert client.get("/api/traces?run=run&labelled=yes").json()["total"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"trace_id": "trace-00001"}', 400),
        (b'{"trace_id": "trace-00001", "turn": -1, "correct": true, "note": ""}', 400),
        (b'{"trace_id": "trace-00001", "turn": true, "correct": true, "note": ""}', 400),
        (b'{"trace_id": "trace-00001", "turn": null, "correct": 1, "note": ""}', 400),
        (b'{"trace_id": 7, "turn": null, "correct": true, "note": ""}', 400),
        (b'{"trace_id": "nobody", "turn": null, "correct": true, "note": ""}', 409),
        (b'{"trace_id": "trace-00001", "turn": null, "correct": true, "note": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_what_is_not_a_label_is_refused_and_nothing_is_stored(client, root, body, status):
    answer = client.post("/api/label?run=run", content=body)
    assert answer.status_code == status
    assert answer.json()["error"]
    with Store(root / "run" / "run.db", read_only=True) as store:
        assert store.labels() == []


def test_a_label_is_never_written_through_a_link(client, root, tmp_path):
    outside = write_sample_run(tmp_path / "outside", traces=2, turns=2, iterations=1, distinct=1)
    linked = root / "linked"
    linked.mkdir()
    (linked / "config.json").write_text("{}")
    (linked / "run.db").symlink_to(outside / "run.db")
    label = {"trace_id": "trace-00000", "turn": None, "correct": True, "note": ""}
    assert client.post("/api/label?run=linked", json=label).status_code == 409
    with Store(outside / "run.db", read_only=True) as store:
        assert store.labels() == []


def test_numbers_that_json_does_not_have_become_null(client, root):
    config = root / "run" / "config.json"
    config.write_text('{"recipe": "x", "rate": NaN, "limit": [Infinity]}')
    text = client.get("/api/overview?run=run").text
    assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the answer"))["config"]["limit"] == [
        None
    ]


@pytest.mark.parametrize("turn", [3, 99, 2**31 - 1])
def test_a_label_for_a_turn_that_does_not_exist_is_refused(client, root, turn):
    label = {"trace_id": "trace-00001", "turn": turn, "correct": True, "note": ""}
    answer = client.post("/api/label?run=run", json=label)
    assert answer.status_code == 409
    assert f"2 turns, counted from 0: there is no turn {turn}" in answer.json()["error"]
    with Store(root / "run" / "run.db") as store:
        assert store.labels() == []


def test_a_slow_client_loses_its_connection_and_costs_others_nothing(root, monkeypatch):
    monkeypatch.setattr(serve, "ASK_SECONDS", 0.4)
    head = b"POST /api/label?run=run HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + TOKEN.encode()
    with serving(root) as site:
        slow = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(3)]
        slow[1].sendall(head)  # half of a head
        slow[2].sendall(head + b"\r\nContent-Length: 50\r\n\r\n{")  # the beginning of a body
        quick = http.client.HTTPConnection("127.0.0.1", site.port, timeout=5)
        quick.request("GET", "/")
        assert quick.getresponse().status == 200
        for connection in slow:
            connection.settimeout(10)
            with contextlib.suppress(ConnectionError):
                while connection.recv(4096):
                    pass
            connection.close()
