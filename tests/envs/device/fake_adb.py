"""An adb server that speaks the host protocol over a real socket, with Android devices behind it that keep score.

Each device has a screen of 1080 by 2280 on which every touch leaves a mark, a focused field, and a log of commands.
"""

import io
import shlex
import socket
import socketserver
import threading
from dataclasses import dataclass, field

from PIL import Image, ImageDraw


@dataclass
class FakeDevice:
    """One device: what was done to it, and what its screen shows."""

    serial: str
    state: str = "device"
    rotation: int = 0
    log: list[list[str]] = field(default_factory=list)
    typed: str = ""
    marks: list[tuple[int, int]] = field(default_factory=list)

    def shell(self, line: str) -> bytes:
        """What a shell command prints, and its effect."""
        words = shlex.split(line)
        match words:
            case ["wm", "size"]:
                return b"Physical size: 1080x2280\n"
            case ["dumpsys", "display"]:
                return f"  mCurrentLayerStackRect orientation={self.rotation}\n".encode()
            case ["screencap", "-p"]:
                return self.picture()
            case ["input", "tap", x, y]:
                self.marks.append((int(x), int(y)))
            case ["input", "swipe", x, y, to_x, to_y, _]:
                self.marks += [(int(x), int(y)), (int(to_x), int(to_y))]
            case ["input", "text", text]:
                self.typed += text.replace("%s", " ")
            case ["input", "keyevent", "3"]:
                self.typed = ""
        self.log.append(words)
        return b""

    def picture(self) -> bytes:
        """The screen as PNG."""
        image = Image.new("RGB", (1080, 2280), "#eef")
        draw = ImageDraw.Draw(image)
        for x, y in self.marks:
            draw.ellipse((x - 60, y - 60, x + 60, y + 60), fill="#c33")
        draw.text((100, 100), self.typed, fill="#000")
        out = io.BytesIO()
        image.save(out, "PNG", compress_level=1)
        return out.getvalue()


class FakeAdb:
    """The server. `port` is where it listens; `broken` makes it drop connections in the middle of an answer."""

    def __init__(self, *devices: FakeDevice, version: int = 41) -> None:
        self.devices = {device.serial: device for device in devices}
        self.version = version
        self.broken = False
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    owner.serve(self.request)
                except (OSError, EOFError):
                    pass

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "FakeAdb":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, link: socket.socket) -> None:
        """One connection: host commands, then perhaps a device's service."""
        device: FakeDevice | None = None
        while True:
            command = _read(link, int(_read(link, 4), 16)).decode()
            if device is not None:
                service, _, line = command.partition(":")
                link.sendall(b"OKAY" if service == "shell" else _fail("unknown service"))
                answer = device.shell(line)
                link.sendall(answer[: len(answer) // 2] if self.broken else answer)
                return
            match command.split(":"):
                case ["host", "version"]:
                    link.sendall(b"OKAY" + _block(f"{self.version:04x}"))
                    return
                case ["host", "devices"]:
                    lines = "".join(f"{one.serial}\t{one.state}\n" for one in self.devices.values())
                    link.sendall(b"OKAY" + _block(lines))
                    return
                case ["host-serial", serial, "get-state"]:
                    known = self.devices.get(serial)
                    ready = known is not None and known.state == "device"
                    link.sendall(b"OKAY" + _block("device") if ready else self._missing(serial))
                    return
                case ["host", "tport", "serial", serial] | ["host", "transport", serial]:
                    device = self.devices.get(serial)
                    if device is None or device.state != "device":
                        link.sendall(self._missing(serial))
                        return
                    link.sendall(b"OKAY" + ((7).to_bytes(8, "little") if "tport" in command else b""))
                case _:
                    link.sendall(_fail(f"unknown host service '{command}'"))
                    return

    def _missing(self, serial: str) -> bytes:
        known = self.devices.get(serial)
        return _fail(f"device '{serial}' not found" if known is None else f"device {known.state}")


def _read(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = link.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _block(text: str) -> bytes:
    return f"{len(text.encode()):04x}".encode() + text.encode()


def _fail(reason: str) -> bytes:
    return b"FAIL" + _block(reason)
