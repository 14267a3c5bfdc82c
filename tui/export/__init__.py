"""Export of screens as files: images, animations and tables."""
