"""The shop: search, categories, filters, sorting, variants, a cart and a checkout in steps."""

from turnwise.envs.browser.sites.kit import Site
from turnwise.envs.browser.sites.shop.pages import ROUTES
from turnwise.envs.browser.sites.shop.tasks import TEMPLATES
from turnwise.envs.browser.sites.shop.world import ShopState, build

SHOP = Site("shop", build, ShopState.arrive, ROUTES, TEMPLATES)
