"""Engines: what starts the workers of queued runs, on this machine or elsewhere. A run's status names its engine.

`base` has the contract, and `registry` the engines by name. All else of a run is in its directory, for any engine.
"""
