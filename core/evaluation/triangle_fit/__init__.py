"""Least-squares fits of filled triangles to images."""
