"""What is told of each transition of a task: a line, numbers, events."""
