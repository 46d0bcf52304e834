"""The shop: search, categories, filters, sorting, variants, a cart and a checkout in steps."""

from turnsmith.envs.browser.sites.kit import Site
from turnsmith.envs.browser.sites.shop.pages import ROUTES
from turnsmith.envs.browser.sites.shop.tasks import TEMPLATES
from turnsmith.envs.browser.sites.shop.world import ShopState, build

SHOP = Site("shop", build, ShopState.arrive, ROUTES, TEMPLATES)
