"""What the schedulers share, and nothing else."""
