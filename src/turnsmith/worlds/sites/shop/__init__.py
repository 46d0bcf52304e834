"""The shop: search, categories, filters, sorting, variants, a cart and a checkout in steps."""

from turnsmith.worlds.sites.kit import Site
from turnsmith.worlds.sites.shop.pages import ROUTES
from turnsmith.worlds.sites.shop.tasks import TEMPLATES
from turnsmith.worlds.sites.shop.world import ShopState, build

SHOP = Site("shop", build, ShopState.arrive, ROUTES, TEMPLATES)
