"""Parts of the dashboard's benchmark: fake runs, a pseudo-terminal, probes and targets."""
