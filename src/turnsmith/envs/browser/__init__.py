"""Web pages in a real Chromium, driven through async Playwright: sites of our own, MiniWoB++, or anybody's site.

`environment` is the way in; `host` is the contract with whoever serves pages; `observe` says what is seen, `actions`
what can be done, `faults` what becomes of trouble. docs/browser.md tells the rules and the measurements.
"""

from turnsmith.envs.browser.environment import BrowserEnvironment
from turnsmith.envs.browser.faults import Limits
from turnsmith.envs.browser.host import OpenWeb, SiteHost, Visit
from turnsmith.envs.browser.observe import ObservationConfig

__all__ = ["BrowserEnvironment", "Limits", "ObservationConfig", "OpenWeb", "SiteHost", "Visit"]
