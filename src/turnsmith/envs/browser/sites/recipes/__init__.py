"""The recipes: ingredients by servings, favourites, collections, ratings, a shopping list."""

from turnsmith.envs.browser.sites.kit import Site
from turnsmith.envs.browser.sites.recipes.pages import ROUTES
from turnsmith.envs.browser.sites.recipes.tasks import TEMPLATES
from turnsmith.envs.browser.sites.recipes.world import RecipesState, build

RECIPES = Site("recipes", build, RecipesState.arrive, ROUTES, TEMPLATES)
