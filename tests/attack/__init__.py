"""An attack: one member does all that he may to a site, as often as he can.

``attack(server, …)`` makes it on an instance, while another member goes on with his
work, and returns what is wrong afterwards. A small one is part of ``make test``; ``make
attack`` makes it in full.
"""
