"""tau-bench's worlds, held to recorded calls of the official tools, to the last character and the last hash."""

import hashlib
import json
from pathlib import Path

import pytest

from turnsmith.commands import verify
from turnsmith.data import data_file
from turnsmith.envs.tools.database import Database
from turnsmith.envs.tools.replay import play, replay_row
from turnsmith.errors import UserError
from turnsmith.worlds import airline, retail

WORLDS = {"retail": retail, "airline": airline}


def rows(world: str, name: str) -> list[dict]:
    path = data_file(f"tools/tau_{world}/{name}.jsonl")
    if path is None:
        pytest.skip(f"tools/tau_{world}/{name}.jsonl is not on this machine (TURNSMITH_DATA)")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("name", "count"), [("retail", 802), ("airline", 652)])
def test_every_recorded_call_gives_the_same_text_and_the_same_database(name, count):
    recorded = rows(name, "tool_conformance")
    world = WORLDS[name].official_world()
    hashes: dict[frozenset, str] = {}  # hashing is slow: equal changes have equal hashes (a property that is tested)
    for row in recorded:
        toolbox, outputs = play(world, [])
        outputs = [toolbox.call(row["name"], row["kwargs"])]
        state = frozenset(toolbox.state().items())
        if state not in hashes:
            hashes[state] = toolbox.database.sha256()
        assert (outputs, hashes[state]) == ([row["output"]], row["final_db_sha256"]), row["name"]
    assert len(recorded) == count


@pytest.mark.parametrize(("split", "count"), [("train", 500), ("dev", 20)])
def test_every_gold_sequence_gives_the_golden_database(split, count):
    golden, tasks = rows("retail", f"golden_{split}"), rows("retail", f"tasks_{split}")
    assert len(golden) == count
    for row in golden:
        found = replay_row(retail.official_world(), {"actions": tasks[row["task"]]["actions"]})
        assert found["final_db_sha256"] == row["final_db_sha256"]
        texts = [hashlib.sha256(output.encode()).hexdigest()[:16] for output in found["outputs"]]
        assert texts == row["output_sha256_16"]


@pytest.mark.parametrize("name", ["retail", "airline"])
def test_synthetic_databases_have_the_official_shape(name):
    if data_file(f"tools/tau_{name}") is None:
        pytest.skip(f"tools/tau_{name} is not on this machine (TURNSMITH_DATA)")
    official, made = WORLDS[name].official_world().base, WORLDS[name].synthetic_world().base
    assert set(made.tables) == set(official.tables)
    for table, records in made.tables.items():
        fields = set().union(*(set(record) for record in official.tables[table].values()))
        assert records
        for record in records.values():
            assert set(record) <= fields
            assert {type(record[field]) for field in record} <= {str, int, float, list, dict, bool}


def test_synthetic_worlds_are_the_same_for_the_same_seed_and_all_tools_work_on_them():
    assert retail.synthetic_base(3, 9).texts() == retail.synthetic_base(3, 9).texts()
    assert retail.synthetic_base(3, 9).texts() != retail.synthetic_base(4, 9).texts()
    world = retail.synthetic_world()
    orders = [order for order in world.base.tables["orders"].values() if order["status"] == "pending"]
    toolbox = world.fresh()
    said = toolbox.call("cancel_pending_order", {"order_id": orders[0]["order_id"], "reason": "no longer needed"})
    assert json.loads(said)["status"] == "cancelled"
    assert set(toolbox.state()) >= {("orders", orders[0]["order_id"])}


def test_a_tool_that_refuses_changes_nothing():
    world = retail.synthetic_world()
    for order_id, order in world.base.tables["orders"].items():
        toolbox = world.fresh()
        wrong = {"order_id": order_id, "item_ids": ["1"], "new_item_ids": ["2"], "payment_method_id": "x"}
        for name in ("modify_pending_order_items", "exchange_delivered_order_items"):
            assert toolbox.call(name, wrong).startswith("Error: ")
        if order["status"] != "pending":
            answer = toolbox.call("cancel_pending_order", {"order_id": order_id, "reason": "no longer needed"})
            assert answer == "Error: non-pending order cannot be cancelled"
        assert toolbox.state() == {}
        assert toolbox.call("no_such_tool", {}) == "Unknown action no_such_tool"
        assert toolbox.call("get_order_details", {"nonsense": 1}).startswith("Error: ")


def test_blind_spots_of_the_recorded_calls():
    """What neither conformance rows nor goldens pin (written from the policy)."""
    world = retail.synthetic_world()
    for order_id, order in world.base.tables["orders"].items():
        user = world.base.tables["users"][order["user_id"]]
        paid = order["payment_history"][0]["payment_method_id"]
        toolbox = world.fresh()
        if order["status"] == "pending":
            same = toolbox.call("modify_pending_order_payment", {"order_id": order_id, "payment_method_id": paid})
            assert same == "Error: the new payment method should be different from the current one"
        if order["status"] == "delivered":
            others = [one for one in user["payment_methods"] if one != paid and "gift" not in one]
            for other in others:
                arguments = {"order_id": order_id, "item_ids": [], "payment_method_id": other}
                said = toolbox.call("return_delivered_order_items", arguments)
                assert said == "Error: payment method should be either the original payment method or a gift card"
            twice = [order["items"][0]["item_id"]] * 2
            arguments = {"order_id": order_id, "item_ids": twice, "payment_method_id": paid}
            assert toolbox.call("return_delivered_order_items", arguments) == "Error: some item not found"
    assert world.fresh().call("cancel_pending_order", {"order_id": "#W0", "reason": "x"}) == "Error: order not found"
    assert world.fresh().call("modify_user_address", {"user_id": "nobody"}) == "Error: user not found"


def test_verify_prints_a_line_a_row(tmp_path: Path, capsys):
    tasks = rows("retail", "tasks_dev")[:2]
    golden = rows("retail", "golden_dev")[:2]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"actions": task["actions"]}) for task in tasks))
    assert verify.main(["tau_retail", str(file)]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["final_db_sha256"] for row in printed] == [row["final_db_sha256"] for row in golden]
    file.write_text('{"actions": [{"kwargs": {}}]}')
    with pytest.raises(UserError, match=r"line 1: action 1 has to be"):
        verify.main(["tau_retail", str(file)])


def test_without_the_data_an_error_says_where_to_put_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TURNSMITH_DATA", str(tmp_path))
    with pytest.raises(UserError, match="TURNSMITH_DATA"):
        retail.official_folder()


def test_a_hundred_gradings_take_less_than_thirty_milliseconds_each():
    import time

    world = retail.synthetic_world()
    world.base.texts()
    order_id = next(key for key, order in world.base.tables["orders"].items() if order["status"] == "pending")
    begin = time.process_time()
    for _ in range(100):
        toolbox = world.fresh()
        toolbox.call("cancel_pending_order", {"order_id": order_id, "reason": "no longer needed"})
        assert toolbox.state() != Database(world.base).changes()
    assert (time.process_time() - begin) / 100 < 0.03
