"""The pages of the `miniwob` wheel: where they are, what they are called, and a loopback server for them.

The wheel is found without importing it: its Python side drives Selenium and is not used here. A page is named as the
benchmark names it: "click-test", and "flight.AA" for the pages that wrap a whole airline site.
"""

import importlib.util
import mimetypes
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from turnsmith.errors import UserError, require


@cache
def html_folder() -> Path:
    """The wheel's folder of pages.

    Raises:
        UserError: if the wheel is not installed, or carries no pages.
    """
    require("miniwob", "browser")
    spec = importlib.util.find_spec("miniwob")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "html"
        if (folder / "core" / "core.js").is_file():
            return folder
    raise UserError("the installed miniwob has no html folder. Type: pip install 'miniwob>=1.1,<2'")


@cache
def list_pages() -> tuple[str, ...]:
    """Every page of the wheel, by name and sorted: the small ones first, then "flight.*"."""
    folder = html_folder()
    small = sorted(path.stem for path in folder.glob("miniwob/*.html"))
    flights = sorted(f"flight.{path.parent.name}" for path in folder.glob("flight/*/wrapper.html"))
    return (*small, *flights)


def page_path(page: str) -> str:
    """The path of a page on the server."""
    if page.startswith("flight."):
        return f"/flight/{page.removeprefix('flight.')}/wrapper.html"
    return f"/miniwob/{page}.html"


class PageServer:
    """Serves the wheel's files on a free port of 127.0.0.1 from a thread; reads each file once."""

    def __init__(self) -> None:
        folder = html_folder().resolve()  # an environment behind a symbolic link is served too
        files: dict[str, bytes] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept: a page has up to ten files
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                if path not in files:
                    file = (folder / path.lstrip("/")).resolve()
                    if not file.is_relative_to(folder) or not file.is_file():
                        self.send_error(404)
                        return
                    files[path] = file.read_bytes()
                body = files[path]
                self.send_response(200)
                self.send_header("Content-Type", mimetypes.guess_type(path)[0] or "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "max-age=3600")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing: every page load would be a line."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
