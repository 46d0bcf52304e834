"""A lamp with a dimmer: a module of tools as a user would write one. `python lamp_tools.py` serves it over MCP."""


def fresh() -> dict:
    """A lamp that is off."""
    return {"lamp": "off", "level": 0}


def get_lamp(world: dict) -> dict:
    """Say whether the lamp is on, and how bright."""
    return dict(world)


def switch(world: dict, to: str) -> str:
    """Switch the lamp on or off."""
    if to not in ("on", "off"):
        raise ValueError("on or off")
    world["lamp"] = to
    return "ok"


def dim(world: dict, level: int) -> str:
    """Set the brightness, 0 to 10."""
    world["level"] = level
    return "ok"


TOOLS = [get_lamp, switch, dim]
READS = {"get_lamp"}

if __name__ == "__main__":
    import asyncio
    import sys

    from turnsmith.envs.tools.functions import FunctionWorld
    from turnsmith.envs.tools.mcp import serve_stdio

    asyncio.run(serve_stdio(FunctionWorld(sys.modules["__main__"])))
