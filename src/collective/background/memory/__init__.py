"""The scheduler that keeps tasks in the memory of its process."""
