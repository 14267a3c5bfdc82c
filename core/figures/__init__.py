"""The thesis's figures, and more, drawn with matplotlib from any set of runs."""
