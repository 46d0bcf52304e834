"""One browser and one server of phones for all tests of the phone."""

import pytest_asyncio

from turnsmith.envs.device.phone import LocalPhones


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def phones():
    phones = LocalPhones()
    await phones.start()
    yield phones
    await phones.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def phone(phones):
    phone = await phones.borrow()
    yield phone
    await phone.close()
