"""Widgets shared by several screens: header, key bar, sliders, charts and images."""
