"""Training data: triangles drawn in three ways, and folders of the user's images."""

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
