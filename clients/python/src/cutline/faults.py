"""What can go wrong with an engine, as values of the exchange: faults of one call, and a refusal at start."""

ENGINE_FAILURE = 1
OUTPUT_INVALID = 4
STATE_FAILURE = 5

#: Longest detail of a fault, bytes of UTF-8; Cutline cuts at the same length.
DETAIL_MAX_BYTES = 256


class Fault(Exception):
    """A call that failed. `status` is one of the numbers above."""

    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status

    def detail(self):
        """The detail as the exchange carries it: UTF-8, cut at a character."""
        return str(self).encode("utf-8", "backslashreplace")[:DETAIL_MAX_BYTES].decode("utf-8", "ignore").encode()


class Refused(Exception):
    """An engine that cannot be started. The text says what, where, and what to do."""


def text_of(error):
    """What an exception of an engine says of itself; its type if that is nothing."""
    if isinstance(error, SystemExit):
        return f"the engine called sys.exit({error.code!r})"
    try:
        return str(error) or type(error).__name__
    except Exception:  # __str__ is the engine's code too
        return type(error).__name__
