"""Pictures to learn: triangles made in three ways, and folders of a person's own."""

from core.data.recipe import DataRecipe, default_data_dir, find_data_recipe, list_data_recipes
from core.data.sets import ImageSet, load_dataset

__all__ = [
    "DataRecipe",
    "ImageSet",
    "default_data_dir",
    "find_data_recipe",
    "list_data_recipes",
    "load_dataset",
]
