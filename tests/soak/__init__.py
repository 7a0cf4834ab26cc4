"""The soak test: what can be trusted beyond one process.

Instances that execute are killed, frozen and stopped, their database is restarted and
taken away, at random; meanwhile tasks of all kinds are scheduled. Then everything is
ended, and it is checked what is there, and what must not be. ``make soak`` runs it.

- ``plan``: which tasks there are; ``stories``: how they are scheduled
- ``faults``: what is done to instances and database
- ``evidence``: what is found afterwards; ``checks``: what that has to be like
- ``run``: all of it, in order
"""
