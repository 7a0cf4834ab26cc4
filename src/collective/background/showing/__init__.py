"""Who may see what of tasks, and how that is put into words and addresses."""
