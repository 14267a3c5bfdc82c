"""What is on the screen as files: pictures, animations, tables."""
