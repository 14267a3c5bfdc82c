"""Tests on a real Slurm of two nodes, unpacked by `install.sh`; ``python -m tests.slurm`` runs the long ones."""
