"""Tools over MCP, with the official package on both sides."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason="mcp is not installed (turnsmith[mcp])")

from turnsmith.envs.tools.functions import load_toolboxes
from turnsmith.envs.tools.mcp import McpToolboxes, server_of
from turnsmith.errors import InfraError, UserError
from turnsmith.worlds import retail

LAMP = Path(__file__).with_name("lamp_tools.py")


def test_tools_served_over_mcp_say_what_they_say_here():
    world = retail.synthetic_world()
    order_id = next(key for key, order in world.base.tables["orders"].items() if order["status"] == "pending")
    here = world.fresh()
    there = McpToolboxes(server_of(world)).fresh()
    assert {spec.name: spec.writes for spec in there.specs} == {spec.name: spec.writes for spec in world.specs}
    for name, arguments in [
        ("get_order_details", {"order_id": order_id}),
        ("cancel_pending_order", {"order_id": order_id, "reason": "no longer needed"}),
        ("get_order_details", {"order_id": order_id}),
        ("get_order_details", {"order_id": "#W0"}),
    ]:
        assert there.call(name, arguments) == here.call(name, arguments)
    assert there.call("get_order_details", {}).startswith("Error: ")
    assert there.call("no_such_tool", {}).startswith("Error: ")
    there.close()


def test_a_server_that_is_started_has_a_fresh_world_each_time():
    toolboxes = load_toolboxes(f"mcp:{sys.executable} {LAMP}")
    for _ in range(2):
        toolbox = toolboxes.fresh()
        assert '"lamp": "off"' in toolbox.call("get_lamp", {})
        assert toolbox.call("switch", {"to": "on"}) == "ok"
        assert '"lamp": "on"' in toolbox.call("get_lamp", {})
        assert toolbox.call("switch", {"to": "blue"}).startswith("Error")
        toolbox.close()


def test_a_server_that_is_not_there_is_a_failure_of_the_machinery():
    with pytest.raises(InfraError, match="mcp_server"):
        McpToolboxes("/no/such/program")
    with pytest.raises(UserError, match="URL or a command"):
        McpToolboxes("")
