"""What a person says of a target: its place, its address, its password, more messages; and the run that follows."""

import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sansio_sip.conformance import Case, ConformanceRun, Role, Target, cases_for
from sansio_sip.context import Context, Entropy, Secret
from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.server_url import ServerUrl
from sansio_sip.sip.uri import SipUri, parse_uri

__all__ = ["ANYWHERE", "BadSetting", "Setting", "listening_at"]

ANYWHERE = Address("0.0.0.0", 0)

_SHORT = re.compile(r"^(udp|tcp|tls|ws|wss):(?!//)", re.IGNORECASE)

# Beside the messages of a corpus lie its notes.
_NO_MESSAGES = (".md", ".json", ".csv", ".py", ".yaml", ".yml")
MAX_MESSAGE = 65_535  # octets: of what fits into a datagram


class BadSetting(ValueError):
    """What was wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A target, and the cases for it."""

    target: Target
    server: ServerUrl | None
    bind: Address
    cases: tuple[Case, ...]
    ca_file: str | None = None
    tls_verify: bool = True

    @classmethod
    def of(
        cls,
        *,
        target: str | None,
        role: Role,
        uri: str | None = None,
        password: str = "",
        timeout: float = 2.0,
        bind: Address = ANYWHERE,
        corpus: Path | None = None,
        only: Sequence[str] = (),
        ca_file: str | None = None,
        tls_verify: bool = True,
    ) -> "Setting":
        """Reads what was given. Raises BadSetting."""
        server = None
        if target is not None:
            try:
                server = ServerUrl.parse(_SHORT.sub(r"\1://", target))
            except ParseError as error:
                raise BadSetting(f"target {target!r}: {error.reason}; give udp:HOST:PORT or ws://HOST:PORT") from None
        if server is None and role is not Role.UAC:
            raise BadSetting(f"a target that is a {role.value} has to be reached: say where it is (udp:HOST:PORT)")
        if server is not None and role is Role.UAC:
            raise BadSetting("a target that calls is waited for: leave its place out, and say where we listen")
        address = _address(uri, server, role)
        messages = list(_messages(corpus)) if corpus is not None else []
        datagram = server is None or server.scheme == "udp"
        cases = cases_for(role, datagram=datagram, messages=messages)
        if only:
            cases = [case for case in cases if any(word.lower() in case.name.lower() for word in only)]
        if not cases:
            raise BadSetting("no case has that in its name; leave it out to try all")
        made = Target(role, address, Secret(password), timeout)
        return cls(made, server, bind, tuple(cases), ca_file, tls_verify)

    @property
    def name(self) -> str:
        """The target, for reports."""
        place = (
            f"{self.server.scheme}:{self.server.host}:{self.server.port}" if self.server is not None else str(self.bind)
        )
        return f"{self.target.role.value} at {place}"

    def run(self, cases: Sequence[Case] | None = None, *, lively: bool | None = None) -> ConformanceRun:
        """The machine that tries these cases, or all."""
        context = Context(Entropy(random.SystemRandom()), unix_offset=time.time() - time.monotonic())
        return ConformanceRun(
            context,
            self.target,
            self.cases if cases is None else cases,
            server=self.server,
            bind=self.bind,
            ca_file=self.ca_file,
            tls_verify=self.tls_verify,
            lively=lively,
        )


def listening_at(text: str) -> Address:
    """`HOST:PORT`. Raises BadSetting."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise BadSetting(f"{text!r} is nowhere to listen: give HOST:PORT, as in 127.0.0.1:5060")
    return Address(host.strip("[]"), int(port))


def _address(uri: str | None, server: ServerUrl | None, role: Role) -> SipUri:
    if uri is None:
        if role is Role.UAC or server is None:
            return SipUri("invalid", "caller")  # a caller is not addressed
        if role is Role.REGISTRAR:
            return SipUri(server.host, "kit")
        return SipUri(server.host, "kit", port=server.port)
    try:
        parsed = parse_uri(uri)
    except ParseError as error:
        raise BadSetting(f"address {uri!r}: {error.reason}; give a SIP address, as sip:alice@example.com") from None
    if not isinstance(parsed, SipUri):
        raise BadSetting(f"address {uri!r} is no SIP address; give one, as sip:alice@example.com")
    return parsed


def _messages(corpus: Path) -> list[tuple[str, bytes]]:
    try:
        paths = sorted(corpus.rglob("*")) if corpus.is_dir() else [corpus]
        files = [path for path in paths if path.is_file() and path.suffix not in _NO_MESSAGES]
        found = [(path.name if path == corpus else str(path.relative_to(corpus)), path.read_bytes()) for path in files]
    except OSError as error:
        raise BadSetting(f"cannot read {corpus}: {error.strerror}; give a folder of messages, or one") from None
    found = [(name, data) for name, data in found if len(data) <= MAX_MESSAGE]
    if not found:
        raise BadSetting(f"{corpus} holds no messages; give a folder of them, or one")
    return found
