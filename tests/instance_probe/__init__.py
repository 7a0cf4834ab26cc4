"""An add-on for the tests of whole instances: tasks, views to start them, faults."""
