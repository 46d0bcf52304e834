"""The allow-list of an episode, enforced by the browser itself at no cost to what is allowed.

Each context gets a proxy setting: the allowed hosts are reached directly, everything else goes to a small proxy of ours
that refuses and counts. So nothing of an allowed request passes through Python (intercepting every request would cost a
round trip each), and nothing that the browser can send goes around it: navigations, redirects, subresources, fetch,
WebSockets, workers and prefetches all obey the proxy setting.

A refused navigation over http is answered with 204 (No Content), upon which a browser stays on the page that it shows;
anything else gets 403. Over https a refused tunnel would leave an error page, so `Tab` stops those navigations before
they are sent (they are counted here too).
"""

import asyncio
from collections.abc import Iterable
from fnmatch import fnmatch
from urllib.parse import urlsplit

_STAY = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
_REFUSE = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Wall:
    """Refuses and counts requests to hosts outside the allow-list of one context."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = frozenset(hosts)
        self.blocked: list[str] = []
        """The host of every refused request, in order."""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> dict[str, str]:
        """Start listening on loopback; returns Playwright's `proxy` setting for the context."""
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        # <-loopback> takes away Chromium's built-in exception for localhost; a later entry of the list wins over it.
        bypass = ",".join(["<-loopback>", *sorted(self.hosts)])
        return {"server": f"http://127.0.0.1:{port}", "bypass": bypass}

    def allows(self, url: str) -> bool:
        """Whether a request to this URL is allowed. URLs without a host (data:, about:, blob:) are."""
        host = urlsplit(url).hostname
        return host is None or any(fnmatch(host, pattern.strip("[]")) for pattern in self.hosts)

    def count(self, url: str) -> None:
        """Count a request that was stopped elsewhere."""
        self.blocked.append(urlsplit(url).hostname or url)

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            self.count(f"//{target}" if method == "CONNECT" else target)
            navigation = method != "CONNECT" and b"accept: text/html" in head.lower()
            writer.write(_STAY if navigation else _REFUSE)
            await writer.drain()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the browser hung up or sent something else; nothing was let through
        finally:
            self._writers.discard(writer)
            writer.close()

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._writers):
                writer.close()
            self._server = None
