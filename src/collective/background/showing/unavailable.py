"""How a request is answered whose transaction is refused: 503, and when to try again.

The publisher knows the status of an exception only by the name of its class.
"""

from Products.statusmessages.interfaces import IStatusMessage


# What the answer had that is not given now.
WITHDRAWN = ("location", "preference-applied")


def answer_unavailable(request, error):
    """Give the response its status and headers, and withdraw what it has promised.

    ``error``: the Unavailable with which the request ends.
    """
    response = request.response
    response.setStatus(503, lock=True)
    response.setHeader("Retry-After", str(error.retry_after))
    for name in WITHDRAWN:
        response.headers.pop(name, None)
    IStatusMessage(request).show()  # they would tell of what was not done
