"""Phones over adb: what reaches the device is whole pixels and ASCII; what fails is told apart."""

import io

import pytest
from fake_adb import FakeAdb, FakeDevice
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from turnsmith.agents.aitw import render_aitw
from turnsmith.commands.doctor import android
from turnsmith.envs.browser.faults import StepError
from turnsmith.envs.device import DeviceEnvironment
from turnsmith.envs.device.adb import AdbPhones, attached, typable
from turnsmith.envs.device.environment import execute
from turnsmith.errors import InfraError, UserError
from turnsmith.trace.types import Action, Call, Task

pytest.importorskip("adbutils")

TASK = Task("t", "Go to ebay.com", "device", {"clear": ["com.android.chrome"]})


@pytest.fixture
def fake():
    with FakeAdb(FakeDevice("emulator-5554"), FakeDevice("R58M12", state="unauthorized")) as fake:
        yield fake


def phones_of(fake: FakeAdb, **options) -> AdbPhones:
    return AdbPhones(port=fake.port, settle=0, timeout=2, **options)


def act(name: str, **arguments) -> Action:
    call = Call(name, arguments)
    return Action(render_aitw(call), call)


async def test_an_episode_on_a_phone(fake):
    device = fake.devices["emulator-5554"]
    async with DeviceEnvironment(phones_of(fake), 2).session() as session:
        await session._phones.start()
        first = await session.reset(TASK, 0)
        image = Image.open(io.BytesIO(first.images[0].data or b""))
        assert (image.format, image.size) == ("JPEG", (540, 1140))
        step = await session.step(act("tap", y=0.5, x=1.0))
        assert step.observation.images != first.images
        assert dict(step.info) == {"gesture": {"tap": [1079, 1140]}}
        await session.step(act("swipe", y=0.8, x=0.5, to_y=0.2, to_x=0.5))
        await session.step(act("type", text='say "hi", $HOME; it\'s 100 %sure'))
        assert device.typed == 'say "hi", $HOME; it\'s 100 %sure'
        await session.step(act("press", key="enter"))
        strange = await session.step(act("type", text="東京"))
        assert "ASCII" in strange.observation.error
        assert await session.grade() is None
        assert (await session.step(act("status", state="impossible"))).done
    assert device.log[:3] == [
        ["input", "keyevent", "224"],
        ["pm", "clear", "com.android.chrome"],
        ["input", "keyevent", "3"],
    ]
    assert ["input", "tap", "1079", "1140"] in device.log
    assert ["input", "swipe", "540", "1824", "540", "456", "500"] in device.log
    assert device.log[-1] == ["input", "keyevent", "66"]


async def test_the_corner_is_a_pixel_and_not_a_part_of_the_screen(fake):
    phones = phones_of(fake)
    await phones.start()
    phone = await phones.borrow()
    await phone.reset(0)
    await phone.tap(0, 1)
    assert fake.devices["emulator-5554"].log[-1] == ["input", "tap", "0", "1"]


async def test_a_turned_phone_and_an_old_server():
    with FakeAdb(FakeDevice("a", rotation=1), version=40) as fake:
        phones = phones_of(fake, width=None)
        await phones.start()
        phone = await phones.borrow()
        await phone.reset(0)
        assert phone.size == (2280, 1080)
        assert await phone.health() == ""


async def test_each_device_is_lent_to_one_at_a_time_and_restored(fake):
    fake.devices["R58M12"].state = "device"
    restored = []

    async def restore(serial: str, seed: int) -> None:
        restored.append((serial, seed))

    phones = phones_of(fake, restore=restore)
    await phones.start()
    first, second = await phones.borrow(), await phones.borrow()
    assert {first.serial, second.serial} == {"emulator-5554", "R58M12"}
    await first.reset(4)
    assert restored == [(first.serial, 4)]
    await phones.give_back(first)
    assert (await phones.borrow()).serial == first.serial


async def test_what_is_lost_is_an_infra_error(fake):
    phones = phones_of(fake)
    await phones.start()
    phone = await phones.borrow()
    await phone.reset(0)
    fake.broken = True
    with pytest.raises(InfraError) as caught:
        await phone.screenshot()
    assert caught.value.kind == "no_screenshot"
    fake.broken = False
    fake.devices["emulator-5554"].state = "offline"
    with pytest.raises(InfraError) as caught:
        await phone.tap(1, 1)
    assert caught.value.kind == "device_offline"
    assert "offline" in await phone.health()


async def test_what_the_user_can_mend():
    with FakeAdb() as fake, pytest.raises(UserError, match="no Android device is ready"):
        await phones_of(fake).start()
    with FakeAdb(FakeDevice("a", state="unauthorized")) as fake:
        with pytest.raises(UserError, match="a is unauthorized"):
            await phones_of(fake, serials=["a"]).start()
        with pytest.raises(UserError, match="b is not attached"):
            await phones_of(fake, serials=["b"]).start()


def test_doctor_lists_what_is_attached(fake):
    assert attached(port=fake.port) == [("emulator-5554", "device"), ("R58M12", "unauthorized")]
    check = android(fake.port)
    assert (check.state, check.found) == ("ok", "emulator-5554 (device), R58M12 (unauthorized)")
    with FakeAdb() as empty:
        assert android(empty.port).found == "no device is attached"
    assert "no adb server" in android(empty.port).found


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300))
def test_ascii_is_typed_as_it_is(text):
    pieces = typable(text)
    assert "".join(piece.replace("%s", " ") for piece in pieces) == text
    assert all(piece and " " not in piece for piece in pieces)


def test_what_is_made_plain_and_what_cannot_be_typed():
    assert typable("Café “Zürich” – à bientôt…\tok") == ['Cafe%s"Zurich"%s-%sa%sbientot.%sok']
    assert typable("") == []
    assert typable("100%s") == ["100%", "s"]
    for text in ("東京", "a\x00b", "🙂"):
        with pytest.raises(StepError, match="ASCII"):
            typable(text)


async def test_a_phone_that_is_turned_after_the_reset_is_touched_where_it_is_now(fake):
    device = fake.devices["emulator-5554"]
    phones = phones_of(fake)
    await phones.start()
    phone = await phones.borrow()
    await phone.reset(0)
    assert phone.size == (1080, 2280)
    device.rotation = 1
    assert await execute(phone, Call("tap", {"y": 0.9, "x": 0.9})) == {"tap": [2052, 972]}
    assert await execute(phone, Call("swipe", {"y": 0, "x": 0, "to_y": 1, "to_x": 1})) == {"swipe": [0, 0, 2279, 1079]}
    assert phone.size == (2280, 1080)


class Foldable(FakeDevice):
    """Warns before the picture, as phones with two screens do; `says` comes instead of a picture."""

    says: bytes | None = None

    def shell(self, line: str) -> bytes:
        if line != "screencap -p":
            return super().shell(line)
        warning = b"[Warning] Multiple displays were found, but no display id was specified! Defaulting to the first.\n"
        return warning + (self.picture() if self.says is None else self.says)


async def test_a_warning_before_the_picture_is_no_part_of_it():
    device = Foldable("fold")
    with FakeAdb(device) as fake:
        phones = phones_of(fake)
        await phones.start()
        phone = await phones.borrow()
        await phone.reset(0)
        assert Image.open(io.BytesIO((await phone.screenshot()).data or b"")).size == (540, 1140)
        device.says = b"screencap failed"
        with pytest.raises(InfraError, match=r"no_screenshot: fold: \[Warning\] Multiple displays"):
            await phone.screenshot()


async def test_a_device_that_is_named_twice_is_refused(fake):
    with pytest.raises(UserError, match="named twice"):
        await phones_of(fake, serials=["emulator-5554", "emulator-5554"]).start()
