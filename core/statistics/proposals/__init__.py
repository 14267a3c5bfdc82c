"""Rules that propose noise levels: each is one function beside its paper, and none needs a network or torch."""
