"""Restore screen: a mask is painted on an image, and a run fills it in."""
