"""An example add-on: countries come from a SQL database and become content.

Where the work is scheduled: ``forms.py``. What then runs: ``importing.py``; and every
night: ``upkeep.py``.
"""

from zope.i18nmessageid import MessageFactory


_ = MessageFactory("countries_demo")
