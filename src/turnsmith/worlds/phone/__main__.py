"""Use the phone in your own browser: python -m turnsmith.worlds.phone --day 40 --rough --port 8001

Whoever comes without a cookie gets a phone of their own. Only this command lets people walk in like that; the server of
an episode knows its phones beforehand. A mouse can tap, type and scroll; swipes need your browser's touch emulation.
"""

import argparse
import secrets

from starlette.types import Message, Receive, Scope, Send

from turnsmith.errors import UserError
from turnsmith.worlds.phone.chance import CALM, ROUGH
from turnsmith.worlds.phone.handset import Handset
from turnsmith.worlds.phone.layout import LAST
from turnsmith.worlds.phone.server import PhoneApp
from turnsmith.worlds.sites.server import COOKIE, listen, token_of


class OpenDoor:
    """The phones' application, with a phone made for every newcomer."""

    def __init__(self, seed: int, day: int, world: int, rough: bool) -> None:
        self.setup = (seed, day, world, ROUGH if rough else CALM)
        self.handsets: dict[str, Handset] = {}
        self.app = PhoneApp(self.handsets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a newcomer gets the cookie with it."""
        if scope["type"] != "http" or token_of(dict(scope["headers"])) in self.handsets or scope["path"] != "/":
            return await self.app(scope, receive, send)
        token = secrets.token_urlsafe(18)
        self.handsets[token] = Handset.start(*self.setup)
        cookie = f"{COOKIE}={token}".encode()

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                head = (b"set-cookie", cookie + b"; Path=/; HttpOnly; SameSite=Lax")
                message["headers"] = [*message["headers"], head]
            await send(message)

        kept = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
        scope["headers"] = [*kept, (b"cookie", cookie)]
        return await self.app(scope, receive, send_with_cookie)


def main() -> None:
    """Serve until Ctrl-C."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="python -m turnsmith.worlds.phone", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--day", type=int, default=0, choices=range(LAST + 1), metavar=f"0..{LAST}")
    parser.add_argument("--world", type=int, default=0)
    parser.add_argument("--rough", action="store_true", help="pop-ups, banners, slow and failed loads")
    parser.add_argument("--port", type=int, default=8001)
    options = parser.parse_args()
    try:
        listener = listen("127.0.0.1", options.port)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    print(f"http://phone.localhost:{listener.getsockname()[1]}/")
    door = OpenDoor(options.seed, options.day, options.world, options.rough)
    try:
        uvicorn.Server(uvicorn.Config(door, log_level="error", lifespan="off")).run(sockets=[listener])
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
