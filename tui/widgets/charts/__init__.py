"""Braille charts of losses and noise schedules, drawn from decimated series."""
