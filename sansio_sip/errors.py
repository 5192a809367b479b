"""The two kinds of error, told apart by who is to blame.

`LocalProtocolError`: the caller asked for something that cannot be done; nothing has changed.
`RemoteProtocolError`: bytes from the network broke a rule. It never leaves a machine: parsers raise it, the machine
that called the parser turns it into an output (an answer, a counter, an event).
"""

__all__ = ["LocalProtocolError", "ParseError", "ProtocolError", "RemoteProtocolError"]


class ProtocolError(Exception):
    """Base of both kinds; never raised itself."""


class LocalProtocolError(ProtocolError):
    """A command cannot be carried out in this state. The message names the state and the remedy."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""


class ParseError(RemoteProtocolError):
    """Bytes that do not match a grammar.

    Attributes:
        reason: what is wrong, for a person.
        offset: octets (characters, for text) from the start of what was parsed.
        status: the SIP response that RFC 3261 asks a user agent to give, or 0 where the message must be dropped.
    """

    def __init__(self, reason: str, *, offset: int = 0, status: int = 0) -> None:
        super().__init__(f"{reason} (offset {offset})")
        self.reason = reason
        self.offset = offset
        self.status = status
