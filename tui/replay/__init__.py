"""Runs that have ended, played back as if they were live."""
