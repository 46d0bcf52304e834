"""The recipes: ingredients by servings, favourites, collections, ratings, a shopping list."""

from turnsmith.worlds.sites.kit import Site
from turnsmith.worlds.sites.recipes.pages import ROUTES
from turnsmith.worlds.sites.recipes.tasks import TEMPLATES
from turnsmith.worlds.sites.recipes.world import RecipesState, build

RECIPES = Site("recipes", build, RecipesState.arrive, ROUTES, TEMPLATES)
