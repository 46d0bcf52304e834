"""Phones: a touch phone of ours that real Chromium draws, and emulators or real phones over adb.

`environment` is the way in; `base` holds the contract. Pixels are the only observation. docs/device.md tells the rest.
"""

from turnsmith.envs.device.base import Device
from turnsmith.envs.device.environment import DeviceEnvironment

__all__ = ["Device", "DeviceEnvironment"]
