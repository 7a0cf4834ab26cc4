"""What users see of their own tasks, whatever page of the site they look at.

``tray`` is a line and the list behind it, made of ``wholes`` (tasks, and groups as one)
and ``items`` (what is said of each). ``viewlet`` shows the line; ``polling`` is a page
with the list, which the script of the line asks for, and ``news`` tells it when to.
``actions`` cancels, retries and dismisses, ``result`` gives out files, ``failures``
what failed of a batch. ``forms`` is for those of add-ons.
"""
