"""Who may talk to the viewer, and what its pages may do.

- The link that `turnsmith view` prints carries a random token behind the "#": browsers never send that part, so it is
  in no log, no referrer and no request line. The page keeps it for its own origin (host and port) and sends it as a
  bearer token with every request for data. A cookie would not do: cookies are shared by all ports of a host, and
  another person's server on another port would be sent it.
- The page itself (script and style) is the same for everybody and holds no data, so it needs no token.
- Requests under another host name are refused, so that a web site cannot reach the viewer by pointing its own name at
  127.0.0.1 (DNS rebinding). A foreign page cannot set the header without being asked to (CORS), and is never allowed.
- The content security policy lets nothing run but the viewer's own script, and nothing load but its own data; with
  trusted types, not even that script can turn text into HTML.
"""

import hmac
import ipaddress
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Middleware: checks the host name of every request and the token of every request for data."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Wrap `app`; `token` is the secret of the link."""
        self.app, self.token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 421 for a foreign host name and 401 without the token; else pass on, with the security headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        if not _is_own_name(headers.get("host", "")):
            answer = JSONResponse({"error": "The viewer answers under its own address only."}, status_code=421)
            await answer(scope, receive, with_headers)
        elif scope["path"].startswith("/api") and not self._has_token(headers.get("authorization", "")):
            answer = JSONResponse({"error": "Open the link that `turnsmith view` printed."}, status_code=401)
            await answer(scope, receive, with_headers)
        else:
            await self.app(scope, receive, with_headers)

    def _has_token(self, authorization: str) -> bool:
        kind, _, token = authorization.partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode("utf-8"), self.token)


def _is_own_name(host: str) -> bool:
    """Whether a Host header names this machine itself: localhost, or a loopback address, with or without a port."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:\d{1,5})?", host.strip())
    name = match[1].strip("[]").lower() if match else ""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
