"""Runs that were judged, side by side: pooled over seeds, and which differences are more than noise.

Without torch and scipy, so that the command line, the figures and the dashboard follow one rule.
"""
