"""Training recipes: packaged ones, and the user's own."""

from core.recipes.load import Recipe, list_recipes, load_recipe

__all__ = ["Recipe", "list_recipes", "load_recipe"]
