"""What users see of their own tasks, whatever page of the site they look at.

``viewlet`` shows the tasks, ``polling`` tells the script of the page what has changed,
``actions`` cancels, retries and dismisses, ``result`` gives out files. ``items`` is
what the first three of them say about a task.
"""
