"""The REST API: tasks, queues, and any other service as a task."""
