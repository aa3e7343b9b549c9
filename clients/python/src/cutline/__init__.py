"""Cutline's side of a Python engine.

`python -m cutline.engine_host SPEC` is what Cutline starts; an engine itself needs nothing of this package. docs/engines.md tells how
to write one.
"""

__version__ = "0.1.0"


class HysteresisStateFailure(Exception):
    """For engines of one's own: the state and this snapshot do not go together, such as time that has not increased.

    The run then fails with `hysteresis_state_failure` in place of `engine_failure`.
    """
