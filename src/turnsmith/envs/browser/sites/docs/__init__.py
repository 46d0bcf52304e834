"""The documentation of a library: pages with tables of options, versions, cross-links, bookmarks."""

from turnsmith.envs.browser.sites.docs.pages import ROUTES
from turnsmith.envs.browser.sites.docs.tasks import TEMPLATES
from turnsmith.envs.browser.sites.docs.world import DocsState, build
from turnsmith.envs.browser.sites.kit import Site

DOCS = Site("docs", build, DocsState.arrive, ROUTES, TEMPLATES)
