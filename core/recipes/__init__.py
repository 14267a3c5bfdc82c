"""Training recipes that come with the program, and those of a person's own."""

from core.recipes.load import Recipe, list_recipes, load_recipe

__all__ = ["Recipe", "list_recipes", "load_recipe"]
