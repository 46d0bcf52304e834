"""MCP both ways: a server's tools as a toolbox here, and a toolbox's tools served to any MCP client.

A server that is started by a command is started afresh for every toolbox, so its world is fresh as well. A server at a
URL keeps its world: every toolbox is a new session, and whether that is a fresh world is the server's business.

Needs `pip install 'turnsmith[mcp]'`.
"""

import asyncio
import json
import os
import shlex
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AsyncExitStack
from typing import Any

from mcp import Client, MCPError, StdioServerParameters
from mcp.server.lowlevel import Server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations

from turnsmith.envs.tools.base import Toolbox, Toolboxes, ToolSpec
from turnsmith.errors import InfraError, UserError

_SECONDS = 60.0


class McpToolbox:
    """A session with a server, from a thread of its own, so that callers need not be asynchronous.

    Attributes:
        specs: the server's tools. One without the annotation `readOnlyHint` counts as writing.
    """

    def __init__(self, server: "str | StdioServerParameters | Server[Any]") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mcp", daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._client: Client | None = None
        self._leave = asyncio.Event()
        ready: asyncio.Future[None] | Any = asyncio.run_coroutine_threadsafe(self._ready(), self._loop).result()
        self._session = asyncio.run_coroutine_threadsafe(self._hold(server, ready), self._loop)
        try:
            self._wait(self._until(ready))
            self.specs: Sequence[ToolSpec] = self._wait(self._list())
        except InfraError:
            self.close()
            raise

    async def _ready(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()

    async def _until(self, ready: "asyncio.Future[None]") -> None:
        await ready

    async def _hold(self, server: "str | StdioServerParameters | Server[Any]", ready: "asyncio.Future[None]") -> None:
        """The session is entered and left by one task, as its cancel scopes want it."""
        try:
            async with Client(server) as client:
                self._client = client
                ready.set_result(None)
                await self._leave.wait()
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)

    def _wait(self, work: Any) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)
        except MCPError as error:
            raise InfraError("mcp_server", str(error)) from error
        except FutureTimeout as error:
            raise InfraError("mcp_server", f"no answer within {_SECONDS:g} s") from error
        except Exception as error:
            first: BaseException = error
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise InfraError("mcp_server", f"{type(first).__name__}: {first}") from error

    async def _list(self) -> list[ToolSpec]:
        assert self._client is not None
        found, cursor = [], None
        while True:
            page = await self._client.list_tools(cursor=cursor)
            found += [_spec(tool) for tool in page.tools]
            cursor = page.next_cursor
            if not cursor:
                return found

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool; its text, which begins with "Error" where the tool says that it failed."""
        return self._wait(self._call(name, dict(arguments)))

    async def _call(self, name: str, arguments: dict[str, Any]) -> str:
        assert self._client is not None
        try:
            result = await self._client.call_tool(name, arguments)
        except MCPError as error:
            return f"Error: {error}"
        text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))
        if not text and result.structured_content is not None:
            text = json.dumps(result.structured_content)
        return f"Error: {text}" if result.is_error and not text.startswith("Error") else text

    def state(self) -> None:
        """A server's world cannot be seen."""
        return

    def close(self) -> None:
        """Leave the session; a server that was started for it ends."""
        if not self._loop.is_running():
            return
        self._loop.call_soon_threadsafe(self._leave.set)
        try:
            self._session.result(10)
        except Exception:  # it is given up in any case
            pass
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


def _spec(tool: Tool) -> ToolSpec:
    reads = tool.annotations is not None and bool(tool.annotations.read_only_hint)
    return ToolSpec(tool.name, tool.description or "", tool.input_schema, writes=not reads)


class McpToolboxes:
    """The tools of one server.

    Args:
        server: a URL of streamable HTTP, or a command to start ("python my_server.py"), or a server in this process.
        name: of the world.

    Attributes:
        specs: the tools, asked for once.
        policy: "".
    """

    def __init__(self, server: "str | Server[Any]", name: str = "mcp") -> None:
        self.name, self.policy = name, ""
        self._server = _command(server) if isinstance(server, str) and "://" not in server else server
        toolbox = self.fresh()
        self.specs: Sequence[ToolSpec] = toolbox.specs
        toolbox.close()

    def fresh(self) -> McpToolbox:
        """A new session; a started server is started anew."""
        return McpToolbox(self._server)


def _command(text: str) -> StdioServerParameters:
    words = shlex.split(text)
    if not words:
        raise UserError("an MCP server is a URL or a command, such as 'python my_server.py'.")
    return StdioServerParameters(command=words[0], args=words[1:], env=dict(os.environ))


def server_of(toolboxes: Toolboxes) -> "Server[Any]":
    """An MCP server of a fresh toolbox: `await`able transports are the `mcp` package's (`turnsmith.envs.tools.mcp`).

    The one toolbox lives as long as the server: connect a client a world, or start the server anew.
    """
    toolbox: Toolbox = toolboxes.fresh()

    async def list_tools(_context: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=[_tool(spec) for spec in toolbox.specs])

    async def call_tool(_context: Any, params: Any) -> CallToolResult:
        spec = next((known for known in toolbox.specs if known.name == params.name), None)
        arguments = params.arguments or {}
        problem = f"there is no tool {params.name!r}" if spec is None else spec.problem(arguments)
        text = f"Error: {problem}" if problem else await asyncio.to_thread(toolbox.call, params.name, arguments)
        return CallToolResult(content=[TextContent(type="text", text=text)], is_error=text.startswith("Error"))

    return Server(
        toolboxes.name, instructions=toolboxes.policy or None, on_list_tools=list_tools, on_call_tool=call_tool
    )


def _tool(spec: ToolSpec) -> Tool:
    hints = ToolAnnotations(read_only_hint=not spec.writes)
    schema = {"type": "object", **spec.parameters}
    return Tool(name=spec.name, description=spec.description, input_schema=schema, annotations=hints)


async def serve_stdio(toolboxes: Toolboxes) -> None:
    """Serve a fresh toolbox over standard input and output until the client leaves."""
    from mcp.server.stdio import stdio_server

    server = server_of(toolboxes)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())
