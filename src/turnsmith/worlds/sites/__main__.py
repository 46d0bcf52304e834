"""Look at the local sites in your own browser: python -m turnsmith.worlds.sites --world 7 --port 8000

Whoever comes without a cookie becomes a new guest of that world. Only this command lets people walk in like that; the
server of an episode knows its guests beforehand.
"""

import argparse
import secrets

from starlette.types import Message, Receive, Scope, Send

from turnsmith.errors import UserError
from turnsmith.worlds.sites import SITES
from turnsmith.worlds.sites.kit import Guest
from turnsmith.worlds.sites.server import COOKIE, App, listen, site_name, token_of


class OpenDoor:
    """The sites' application, with a guest made for every newcomer."""

    def __init__(self, world: int) -> None:
        self.world = world
        self.guests: dict[str, Guest] = {}
        self.app = App(self.guests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a newcomer gets the cookie with it."""
        headers = dict(scope.get("headers", ()))
        site = SITES.get(site_name(headers))
        if scope["type"] != "http" or site is None or token_of(headers) in self.guests:
            return await self.app(scope, receive, send)
        token = secrets.token_urlsafe(18)
        world = site.world(self.world)
        self.guests[token] = Guest(site.name, world, site.arrive(world, {}))
        cookie = f"{COOKIE}={token}".encode()

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"set-cookie", cookie + b"; Path=/; HttpOnly; SameSite=Lax"),
                ]
            await send(message)

        kept = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
        scope["headers"] = [*kept, (b"cookie", cookie)]
        return await self.app(scope, receive, send_with_cookie)


def main() -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m turnsmith.worlds.sites", description=__doc__)
    parser.add_argument("--world", type=int, default=0, help="0 to 1599")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    try:
        SITES["shop"].world(options.world)
        listener = listen("127.0.0.1", options.port)
    except (UserError, ValueError) as error:
        parser.exit(2, f"{error}\n")
    for site in SITES:
        print(f"http://{site}.localhost:{listener.getsockname()[1]}/")
    server = uvicorn.Server(uvicorn.Config(OpenDoor(options.world), log_level="error", lifespan="off"))
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
