"""How good samples are: shape, grey, distribution, novelty, likelihood, reconstruction; each with an interval."""
