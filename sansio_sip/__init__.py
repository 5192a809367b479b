"""A softphone as pure sans-IO state machines."""

__version__ = "0.1.0"
