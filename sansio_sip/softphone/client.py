"""The client: the reference's API over a phone with one account.

Theory of operation
-------------------
`Client` wraps a `Softphone` and adds what the reference has and a phone has not: somebody who logs in by name and
password or by a token, *the* call, and *the* call that rings. Its commands return what the reference's return, at once.
They never raise: what cannot be done is told by the value, and by a `LogLine` that names state and remedy.

As a root machine it is driven like a softphone; the events are the softphone's, and those of `client_events`.
"""

import re
from typing import Any

import sansio_sip
from sansio_sip.trace import recorded

from .client_core import ClientOutput
from .client_events import WebrtcNotSupported
from .client_feedback import FeedbackCommands
from .log_book import ALL, ERROR, INFO, LEVELS
from .options import Options
from .peer_connection import PeerConnection

__all__ = ["Client", "ClientOutput"]

BROWSERS = "Chromium"

# What may name a client: it becomes the name of a logger, and stands in each line.
IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Client(FeedbackCommands):
    """One user's phone, with the reference's methods in snake_case.

    Args:
        media: the engine, as for `Softphone`.
        options: the server and what is asked of it.
    """

    # What works here

    @recorded
    def webrtc(self, *, now: float) -> bool:
        """Whether DTLS, SRTP and Opus work here, each tried (reference: webRTC). False gives WebrtcNotSupported."""
        fault = self._media.webrtc_fault()
        if fault:
            self._outbox.put(WebrtcNotSupported(fault))
            self._log(ERROR, f"onWebrtcNotSupported: {fault}", now)
        return not fault

    def supported_browsers(self) -> str:
        """The browsers that this package's own tests call (reference: supportedBrowsers)."""
        return BROWSERS

    def get_peer_connection(self) -> dict[str, Any]:
        """The media of the active call (reference: getPeerConnection): `status`, and `pc`, which tells its state."""
        if self._active is None:
            return {"status": "called in wrong state", "pc": None}
        return {"status": "success", "pc": PeerConnection(self._phone, self._active)}

    # Variables and settings

    @property
    def version(self) -> str:
        """Of this package (reference: version)."""
        return sansio_sip.__version__

    @recorded
    def set_debug(self, debug: str, *, now: float) -> bool:
        """Sets the level of the log (reference: setDebug): OFF, ERROR, WARN, INFO, DEBUG, or ALL, which has SIP too."""
        level = LEVELS.get(str(debug).upper())
        if level is None:
            return self._cannot("set_debug", f"{debug!r} is no level; give one of {', '.join(LEVELS)}", now)
        self._log_book.level = level
        self._phone.trace_sip(level <= ALL)
        return True

    @recorded
    def set_identifier(self, identifier: str, *, now: float) -> bool:
        """Names this client in each line of its log, and in each of its events as `identifier` (reference:
        setIdentifier); it has a random name until then."""
        if not isinstance(identifier, str) or IDENTIFIER.fullmatch(identifier) is None:
            return self._cannot(
                "set_identifier", f"{identifier!r} is no name; give up to 64 letters, digits, - and _", now
            )
        self._log_book.identifier = identifier
        self._log(INFO, f"this client is {identifier} from here on", now)
        return True

    @property
    def options(self) -> Options:
        """What this client was made with (reference: options)."""
        return self._options

    @property
    def audio(self) -> "Client":
        """Where the reference has its devices (`client.audio.microphoneDevices`): they are the client's own here."""
        return self

    @property
    def identifier(self) -> str:
        """The name of this client."""
        return self._log_book.identifier

    def log_lines(self) -> tuple[str, ...]:
        """The last 900 lines of the log, whatever its level, without secrets; oldest first."""
        return self._log_book.lines()

    @recorded
    def close(self, *, now: float) -> None:
        """Hangs up, un-registers, closes all flows. Gives Closed, within `SoftphoneOptions.close_timeout`."""
        self._stop_generating()
        self._closing = True
        self._phone.close(now=now)
        self._drain(now)
