"""Tasks in the database that workers of Celery execute."""
