"""DNS, transport, TLS, WebSocket and registration: what a phone does to log in, looked at from outside.

`WatchedPhone` is a phone like any other; what it asks of the driver, and what it is told, says how far it came.
"""

from typing import Any

from sansio_sip.effects import Address, FlowId, OpenDatagram, OpenStream, Record, RecordType, Resolve, TlsPeer
from sansio_sip.server_url import ServerUrl, is_ip_address
from sansio_sip.softphone import events
from sansio_sip_cli.account_plan import advice as login_advice
from sansio_sip_cli.scripted_phone import Output, Plan, ScriptedPhone

from .stages import Outcome, Stage, Stages

__all__ = ["Signalling", "WatchedPhone"]

# How the drivers word what TLS says (sansio_sip_sockets.describe), and the connection what it makes of a certificate.
OF_TLS = ("certificate", "ssl", "tls")


class Signalling:
    """Makes verdicts of what passes between a phone and its driver until it is logged in."""

    def __init__(self, server: str, stages: Stages, *, registers: bool) -> None:
        self.local: Address | None = None
        """Where we are for the server."""
        self._server = server
        self._url = ServerUrl.parse(server)
        self._stages = stages
        self._registers = registers
        self._over = False
        self._began: float | None = None
        self._queries: dict[int, Resolve] = {}
        self._found: list[str] = []
        self._opening: dict[FlowId, tuple[OpenStream, float]] = {}
        self._tried: OpenStream | None = None
        self._opened = 0.0
        self._last_loss = ""
        if is_ip_address(self._url.host):
            stages.skip(Stage.DNS, f"{self._url.host} is an address: nothing to look up")

    def asked(self, output: Output, now: float) -> None:
        """The phone wants something, or says something."""
        if self._over:
            return
        self._began = now if self._began is None else self._began
        match output:
            case Resolve():
                self._queries[output.query] = output
            case OpenStream():
                self._tried = output
                self._opening[output.flow] = (output, now)
                self._looked_up(now)
            case OpenDatagram():
                self._opened = now
                self._looked_up(now)
            case events.WebSocketConnected():
                self._stages.ok(Stage.WEB_SOCKET, f"open at {self._url.target}", now - self._opened)
                self._opened = now
            case events.ConnectionChange(state="connected") if not self._registers:
                self._over = True
                self._stages.skip(Stage.REGISTRATION, "--no-register was given")
            case events.Login():
                self._over = True
                self._answered()
                self._stages.ok(Stage.REGISTRATION, "registered", now - self._opened)
            case events.LoginFailed() if output.status:
                self._over = True
                self._answered()
                self._stages.fail(Stage.REGISTRATION, f"{output.cause} ({output.status})", login_advice(output))
            case events.LoginFailed():
                self._unreachable(output.detail or self._last_loss or output.cause)
            case events.Closed():
                self._unreachable(self._last_loss or "no answer in time")
            case _:
                pass

    def resolved(self, query: int, records: tuple[Record, ...]) -> None:
        asked = self._queries.pop(query, None)
        if asked is not None and records:
            words = [record.host if isinstance(record, Address) else asked.kind.value for record in records]
            self._found.append(
                f"{asked.name} is {', '.join(dict.fromkeys(words))}"
                if asked.kind is RecordType.ADDRESS
                else f"{asked.kind.value} of {asked.name}"
            )

    def flow_opened(self, flow: FlowId, local: Address, now: float) -> None:
        if self._over:
            return
        self.local = local
        opened = self._opening.pop(flow, None)
        if opened is None:
            return
        effect, since = opened
        where = f"{effect.host}:{effect.port}"
        if effect.tls is None:
            self._stages.ok(Stage.TCP, f"connected to {where}", now - since)
        else:
            self._stages.ok(Stage.TCP, f"connected to {where}")
            self._stages.ok(
                Stage.TLS,
                "handshake done, certificate trusted"
                if effect.tls.verify
                else "handshake done, certificate not checked (--insecure)",
                now - since,
            )
        self._opened = now

    def flow_lost(self, flow: FlowId, reason: str) -> None:
        if not self._over:
            self._last_loss = reason
            self._opening.pop(flow, None)

    def _looked_up(self, now: float) -> None:
        if self._began is not None and self._found:
            self._stages.ok(Stage.DNS, "; ".join(self._found), now - self._began)

    def _answered(self) -> None:
        if self._tried is None:
            self._stages.ok(Stage.UDP, "the server answers")

    def _unreachable(self, reason: str) -> None:
        """Nobody answered: the first stage that was not passed has failed, those after it were never reached."""
        self._over = True
        reason = reason.removeprefix(f"{self._server}: ")
        failing = self._failing(reason)
        self._stages.put(failing, Outcome.FAILED, reason, self._advice(failing))
        for stage in (Stage.TCP, Stage.TLS, Stage.WEB_SOCKET, Stage.REGISTRATION):
            if stage is not failing and self._needs(stage) and stage not in self._stages:
                self._stages.skip(stage, f"not reached: {failing.value} failed")

    def _failing(self, reason: str) -> Stage:
        if self._tried is None:
            looked_up = Stage.DNS in self._stages
            return Stage.UDP if looked_up and self._url.scheme in ("udp", "sip") else Stage.DNS
        if self._tried.tls is not None and any(word in reason.lower() for word in OF_TLS):
            self._stages.ok(Stage.TCP, f"connected to {self._tried.host}:{self._tried.port}")
            # A certificate may be good and yet another's: that is found after the handshake.
            return Stage.TLS
        if not self._stages.is_ok(Stage.TCP):
            return Stage.TCP
        if self._needs(Stage.WEB_SOCKET) and not self._stages.is_ok(Stage.WEB_SOCKET):
            return Stage.WEB_SOCKET
        return Stage.REGISTRATION

    def _needs(self, stage: Stage) -> bool:
        if stage is Stage.WEB_SOCKET:
            return self._url.scheme in ("ws", "wss")
        if stage is Stage.TLS:
            return self._url.scheme in ("wss", "tls", "sips")
        if stage is Stage.TCP:
            return self._url.scheme not in ("udp", "sip")
        return True

    def _advice(self, stage: Stage) -> str:
        url, host, port = self._url, self._url.host, self._url.port
        match stage:
            case Stage.DNS:
                return f"check the name in --server, and that this host's resolver knows {host}"
            case Stage.TCP:
                return f"check that the server is up, that its port is {port}, and that no firewall is between"
            case Stage.TLS:
                return (
                    f"the certificate must be for {host} and of a known authority: give --ca FILE for one of your own"
                )
            case Stage.WEB_SOCKET:
                return f"something else listens at port {port}, or the path {url.target} is wrong: ask the operator"
            case Stage.UDP:
                return f"no answer by UDP: check address and port, and that UDP port {port} is open both ways"
            case _:
                return "the connection stands, but nobody answers REGISTER: ask the operator"


class WatchedPhone(ScriptedPhone):
    """A scripted phone whose signalling is watched."""

    def __init__(self, phone: Any, plan: Plan, watch: Signalling) -> None:
        super().__init__(phone, plan)
        self._watch = watch
        self._now = 0.0

    def flow_opened(
        self, flow: FlowId, local: Address, remote: Address | None = None, peer: TlsPeer | None = None, *, now: float
    ) -> None:
        self._watch.flow_opened(flow, local, now)
        super().flow_opened(flow, local, remote, peer, now=now)

    def flow_lost(self, flow: FlowId, reason: str, *, now: float) -> None:
        self._watch.flow_lost(flow, reason)
        super().flow_lost(flow, reason, now=now)

    def resolved(self, query: int, records: tuple[Record, ...], *, now: float) -> None:
        self._watch.resolved(query, records)
        super().resolved(query, records, now=now)

    def emit(self, output: Output, now: float) -> None:
        self._watch.asked(output, now)
        super().emit(output, now)
