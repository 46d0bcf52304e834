"""The documentation of a library: pages with tables of options, versions, cross-links, bookmarks."""

from turnsmith.worlds.sites.docs.pages import ROUTES
from turnsmith.worlds.sites.docs.tasks import TEMPLATES
from turnsmith.worlds.sites.docs.world import DocsState, build
from turnsmith.worlds.sites.kit import Site

DOCS = Site("docs", build, DocsState.arrive, ROUTES, TEMPLATES)
