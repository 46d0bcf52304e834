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
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from turnsmith.errors import UserError

_STAY = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
_REFUSE = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")


def host_pattern(entry: str) -> str:
    """An entry of an allow-list in the form that the browser reads: "*", "*.NAME", a name in ASCII, or an address.

    Chromium's list would also take ranges of addresses, ports, "<local>" and several entries in one: none of them is a
    host, and an entry that meant more than it says would open the wall.

    Raises:
        UserError: if the entry is none of these.
    """
    text = entry.strip().lower()
    star, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    if text == "*":
        return text
    address = _address(name)
    if address and not star:
        return address
    try:
        ascii_name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError:
        ascii_name = ""
    if not _NAME.fullmatch(ascii_name) or re.fullmatch(r"[\d.]+", ascii_name):
        raise UserError(f'{entry!r} is no host: write a name, "*.NAME" for all below it, an address, or "*" for all.')
    return star + ascii_name


def _address(name: str) -> str:
    """An IP address as URLs spell it, [::1] in brackets; "" for anything else."""
    try:
        found = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return ""
    return f"[{found}]" if found.version == 6 else str(found)


def host_of(url: str) -> str | None:
    """The host of a URL as `host_pattern` spells it; None for URLs without one (data:, about:, blob:).

    Raises:
        ValueError: if this is no URL.
    """
    host = urlsplit(url).hostname
    if host is None:
        return None
    try:
        return host_pattern(host)
    except UserError as error:
        raise ValueError(str(error)) from error


class Wall:
    """Refuses and counts requests to hosts outside the allow-list of one context."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = frozenset(map(host_pattern, hosts))
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
        try:
            host = host_of(url)
        except ValueError:
            return False
        below = host is not None and any(host.endswith(name[1:]) for name in self.hosts if name.startswith("*."))
        return host is None or below or host in self.hosts or "*" in self.hosts

    def count(self, url: str) -> None:
        """Count a request that was stopped elsewhere."""
        try:
            self.blocked.append(host_of(url) or url)
        except ValueError:
            self.blocked.append(url)

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
