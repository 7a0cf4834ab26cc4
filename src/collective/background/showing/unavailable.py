"""How a request is answered whose transaction is refused: 503, and when to try again.

The publisher knows the status of an exception only by the name of its class.
"""

# What the answer had that is not given now.
WITHDRAWN = ("location", "preference-applied")


def answer_unavailable(response, error):
    """Give a response the status 503 and its headers; ``error``: an Unavailable."""
    response.setStatus(503, lock=True)
    response.setHeader("Retry-After", str(error.retry_after))
    for name in WITHDRAWN:
        response.headers.pop(name, None)
