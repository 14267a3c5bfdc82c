"""Quality of samples with intervals: shape, grey, distribution, novelty, likelihood, reconstruction."""
