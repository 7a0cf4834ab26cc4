"""The control panel "Background tasks", for managers of a site.

``tasks``, ``task``, ``activity``, ``recurring`` and ``settings`` are its pages, on
the base of ``pages``; ``query`` is what the address of the list says, ``actions`` what
is done to tasks, ``charts`` how numbers become pictures.
"""
