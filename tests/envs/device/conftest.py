"""One browser and one server of phones for each test module."""

import pytest_asyncio

from turnwise.envs.device.phone import LocalPhones


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phones():
    phones = LocalPhones()
    await phones.start()
    yield phones
    await phones.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def phone(phones):
    phone = await phones.borrow()
    yield phone
    await phone.close()
