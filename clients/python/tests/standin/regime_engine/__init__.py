"""A stand-in for the engine that Cutline is given: the same public names (CONTRACTS section 5), none of its logic. For tests only.

It knows nothing of Cutline. What it does is the scripted engine of the golden cases and hysteresis v1, written from the contract.
"""

__version__ = "1.0-standin"
