"""Emulators and real phones over adb, through `adbutils`. docs/device.md says how to attach one.

Notable: everything that is sent is whole pixels (adbutils takes a float up to 1 for a part of the screen); `input text`
knows ASCII only and writes spaces as `%s`, so accents are taken off and a text that has other letters is a step error;
adb calls block, so each runs in a thread, one at a time for a device, and any failure of adb is an `InfraError`.
"""

import asyncio
import io
import socket
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from turnsmith.envs.browser.faults import StepError
from turnsmith.envs.device.base import Device, Key
from turnsmith.errors import InfraError, UserError, require
from turnsmith.trace.types import ImageRef, Task

if TYPE_CHECKING:
    from adbutils import AdbClient, AdbDevice

T = TypeVar("T")
Restore = Callable[[str, int], Awaitable[None]]

KEYS: dict[Key, int] = {"back": 4, "home": 3, "enter": 66}
_WAKE = 224
_PNG = b"\x89PNG\r\n\x1a\n"
_PIECE = 120  # characters of one `input text`


def attached(host: str = "127.0.0.1", port: int = 5037, patience: float = 1.0) -> list[tuple[str, str]]:
    """(serial, state) of every device that a running adb server knows; the state is "device" when it is ready.

    Raises:
        UserError: if adbutils is not installed.
        ConnectionError: if no adb server listens there (none is started).
    """
    require("adbutils", "device")
    from adbutils import AdbClient

    socket.create_connection((host, port), patience).close()  # adbutils would start a server
    with AdbClient(host, port, socket_timeout=patience).make_connection() as connection:
        connection.send_command("host:devices")
        connection.check_okay()
        lines = connection.read_string_block().splitlines()
    return [(serial, state) for serial, _, state in (line.partition("\t") for line in lines) if serial]


class AdbPhones:
    """Attached devices as a pool. `environment.Phones` is the contract; nobody knows the truth about their tasks.

    Args:
        serials: which devices; None for all that are ready.
        host, port: of the adb server, which is started on this machine if it does not run.
        settle: seconds between an action and the picture of what it led to.
        width: pictures are scaled down to this many pixels; None leaves them as they are.
        quality: of the JPEG pictures.
        restore: called with (serial, seed) at each reset before anything else: the place to load a snapshot of an
            emulator, so that episodes start from the same state.
        timeout: seconds for one adb call.
    """

    def __init__(
        self,
        serials: Sequence[str] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 5037,
        settle: float = 2.0,
        width: int | None = 540,
        quality: int = 75,
        restore: Restore | None = None,
        timeout: float = 20.0,
    ) -> None:
        self.serials = serials
        self.host, self.port = host, port
        self.settle, self.width, self.quality = settle, width, quality
        self.restore = restore
        self.timeout = timeout
        self._client: AdbClient | None = None
        self._free: asyncio.Queue[str] = asyncio.Queue()

    async def start(self) -> None:
        """Find the devices.

        Raises:
            UserError: if adbutils is missing, no device is ready, or a named one is not.
            InfraError: `adb_down` if there is no adb server and none could be started.
        """
        require("adbutils", "device")
        from adbutils import AdbClient

        self._client = client = AdbClient(self.host, self.port, socket_timeout=self.timeout)
        await _adb(client.server_version)  # starts a server where none runs
        if len(set(self.serials or ())) < len(self.serials or ()):
            raise UserError(f"a device is named twice in {', '.join(self.serials or ())}: each is lent to one session.")
        known = dict(await _adb(lambda: attached(self.host, self.port, self.timeout)))
        ready = [serial for serial, state in known.items() if state == "device"]
        for serial in self.serials or ():
            if serial not in ready:
                raise UserError(f"the device {serial} is {known.get(serial, 'not attached')}. See: adb devices")
        if not ready:
            raise UserError("no Android device is ready. Attach a phone or start an emulator, then see: adb devices")
        for serial in self.serials or ready:
            self._free.put_nowait(serial)

    async def stop(self) -> None:
        """Leave the devices and the adb server as they are."""
        self._client = None

    async def borrow(self) -> "AdbPhone":
        """A device that nobody else uses; waits while all are in use."""
        assert self._client is not None
        return AdbPhone(self, self._client.device(await self._free.get()))

    async def give_back(self, device: Device) -> None:
        """The device is free again."""
        await device.close()
        self._free.put_nowait(cast(AdbPhone, device).serial)

    async def truth(self, device: Device, task: Task) -> tuple[bool, str] | None:
        """Nobody knows: judge with a model."""
        return None


class AdbPhone:
    """One attached device. `base.Device` is the contract.

    `reset` takes as its setup "clear": packages whose data are wiped, such as ["com.android.chrome"].
    """

    def __init__(self, phones: AdbPhones, device: "AdbDevice") -> None:
        self._phones = phones
        self._device = device
        self._lock = asyncio.Lock()
        self._size = (0, 0)
        self.serial = str(device.serial)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, as last measured."""
        return self._size

    async def measure(self) -> tuple[int, int]:
        """(width, height) in pixels, as the phone is held now."""
        width, height = await self._do(lambda device: device.window_size())
        self._size = (int(width), int(height))
        return self._size

    async def reset(self, seed: int, setup: Mapping[str, Any] | None = None) -> None:
        """Restore the device's state as far as the pool says, wake it, wipe the named packages, go to the home screen.

        Raises:
            UserError: if "clear" is not a list of package names.
            InfraError: `adb_down`, `device_offline`.
        """
        packages = (setup or {}).get("clear", ())
        if isinstance(packages, str) or not all(isinstance(name, str) for name in packages):
            raise UserError('the device: "clear" must be a list of package names.')
        if self._phones.restore is not None:
            await self._phones.restore(self.serial, seed)
        await self.measure()
        await self._do(lambda device: device.keyevent(_WAKE))
        for package in packages:
            await self._do(lambda device, package=package: device.shell(["pm", "clear", package]))
        await self.press("home")

    async def screenshot(self) -> ImageRef:
        """JPEG of the screen, scaled down to the pool's width."""
        said = await self._do(lambda device: device.shell(["screencap", "-p"], encoding=None))
        before, signature, rest = bytes(said).partition(_PNG)  # a foldable warns first that it has several screens
        png = signature + rest
        try:
            if not png:
                raise OSError(before[:200].decode(errors="replace").partition("\n")[0] or "no picture came")
            return ImageRef.of(await asyncio.to_thread(_jpeg, png, self._phones.width, self._phones.quality))
        except OSError as error:
            raise InfraError("no_screenshot", f"{self.serial}: {error}") from error

    async def tap(self, x: int, y: int) -> None:
        """Touch and lift."""
        await self._act(lambda device: device.click(int(x), int(y)))

    async def swipe(self, x: int, y: int, to_x: int, to_y: int) -> None:
        """Half a second from one point to the other."""
        await self._act(lambda device: device.swipe(int(x), int(y), int(to_x), int(to_y), 0.5))

    async def type_text(self, text: str) -> None:
        """Type into the focused field.

        Raises:
            StepError: if the text has characters that adb cannot type; nothing is typed then.
        """
        for piece in typable(text):
            await self._do(lambda device, piece=piece: device.send_keys(piece))
        await asyncio.sleep(self._phones.settle)

    async def press(self, key: Key) -> None:
        """Back, home or enter."""
        if key not in KEYS:
            raise UserError(f"the device has no key {key!r}: it has {', '.join(KEYS)}.")
        await self._act(lambda device: device.keyevent(KEYS[key]))

    async def health(self) -> str:
        """What is wrong with the device; "" when it is fine."""
        try:
            state = await self._do(lambda device: device.get_state())
        except InfraError as error:
            return str(error)
        return "" if state == "device" else f"{self.serial} is {state}"

    async def close(self) -> None:
        """The device stays as it is."""

    async def _act(self, work: Callable[["AdbDevice"], Any]) -> None:
        await self._do(work)
        await asyncio.sleep(self._phones.settle)

    async def _do(self, work: Callable[["AdbDevice"], T]) -> T:
        async with self._lock:
            return await _adb(lambda: work(self._device), self.serial)


async def _adb(work: Callable[[], T], serial: str = "") -> T:
    """Run a blocking adb call in a thread; its failures become `InfraError`."""
    from adbutils import AdbError

    try:
        return await asyncio.to_thread(work)
    except (AdbError, OSError, EOFError, ValueError) as error:
        text = (str(error) or repr(error)).partition("\n")[0]
        offline = "offline" in text or "not found" in text or "unauthorized" in text
        raise InfraError("device_offline" if offline else "adb_down", f"{serial} {text}".strip()) from error


def typable(text: str) -> list[str]:
    """A text in pieces for `input text`: ASCII, spaces as `%s`, never a `%s` that stood in the text itself.

    Accents are taken off, typographic quotation marks and dashes made plain, line breaks and tabs made spaces.

    Raises:
        StepError: if something is left that is not ASCII.
    """
    plain = text.translate(str.maketrans("“”„‘’‚–—…\n\r\t", "\"\"\"'''--.   "))
    plain = "".join(
        character for character in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(character)
    )
    if strange := sorted({character for character in plain if not " " <= character <= "~"}):
        raise StepError(f"adb types ASCII only; it cannot type {' '.join(map(ascii, strange[:5]))}.")
    pieces = [""]
    for character in plain:
        if len(pieces[-1]) >= _PIECE or (character == "s" and pieces[-1].endswith("%")):
            pieces.append("")
        pieces[-1] += character
    return [piece.replace(" ", "%s") for piece in pieces if piece]


def _jpeg(png: bytes, width: int | None, quality: int) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        picture = image.convert("RGB")
    if width is not None and picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()
