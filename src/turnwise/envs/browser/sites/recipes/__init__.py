"""The recipes: ingredients by servings, favourites, collections, ratings, a shopping list."""

from turnwise.envs.browser.sites.kit import Site
from turnwise.envs.browser.sites.recipes.pages import ROUTES
from turnwise.envs.browser.sites.recipes.tasks import TEMPLATES
from turnwise.envs.browser.sites.recipes.world import RecipesState, build

RECIPES = Site("recipes", build, RecipesState.arrive, ROUTES, TEMPLATES)
