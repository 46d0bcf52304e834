"""A touch phone of ours: drawn by real Chromium, seen only as pixels, served from loopback.

`driver` is the way in. `handset` holds the state of an episode, `layout` how things look on a day, `chance` what gets
in the way, `server` the screens (templates in pages/), `goals` the oracle, `tasks` what one can be asked to do.
"""

from turnsmith.worlds.phone.chance import CALM, ROUGH, Chance
from turnsmith.worlds.phone.driver import ChromiumPhone, LocalPhones

__all__ = ["CALM", "ROUGH", "Chance", "ChromiumPhone", "LocalPhones"]
