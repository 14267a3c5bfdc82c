"""Images in the terminal: walls, grids and galleries of half-block cells."""
