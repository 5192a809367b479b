"""The exit statuses of the command: its contract with scripts."""

__all__ = ["BAD_USAGE", "DONE", "FAILED", "INTERRUPTED", "LOGIN_FAILED", "UNREACHABLE"]

DONE = 0
FAILED = 1
BAD_USAGE = 2
LOGIN_FAILED = 3
UNREACHABLE = 4
INTERRUPTED = 130
