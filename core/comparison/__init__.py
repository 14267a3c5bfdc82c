"""Comparison of evaluated runs: pooling over seeds, and tests of differences against noise.

Without torch and scipy, so the command line, the figures and the dashboard can share one rule.
"""
