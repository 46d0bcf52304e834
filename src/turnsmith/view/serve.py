"""Running the viewer's server on a socket, and printing its link."""

import socket
from pathlib import Path

import uvicorn

from turnsmith.view.runs import Runs
from turnsmith.view.server import make_app


def serve(runs: Runs, listener: socket.socket, results: Path = Path("results")) -> None:
    """Print the link and serve until interrupted. The link's token is new with every start."""
    app = make_app(runs, results=results)
    host, port = listener.getsockname()[:2]
    print(f"http://{host}:{port}/#token={app.state.token}\n(Ctrl-C ends the viewer.)", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])
