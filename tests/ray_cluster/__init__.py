"""Tests of a real Ray cluster."""
