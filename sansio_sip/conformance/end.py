"""The kit's own end of a case: it makes requests, sends them again, hears answers, and keeps the calls it has begun.

It is written apart from the user agent, so that a fault of the one does not hide a fault of the other. Methods that
wait are scripts themselves: `response = yield from end.exchange(request)`.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sansio_sip.context import Context, Secret
from sansio_sip.errors import ParseError
from sansio_sip.sip.authorization import Answered, Authenticator
from sansio_sip.sip.message import Headers, Message, Request, Response
from sansio_sip.sip.status import reason_phrase
from sansio_sip.sip.transport import Hop
from sansio_sip.sip.uri import SipUri, parse_uri

from .script import Failed, Garbled, Heard, Role, Send, Silent, Step, Wait

__all__ = ["T1", "End", "Leg", "Target", "offer"]

# RFC 3261 section 17.1.1.1, in seconds.
T1: Final = 0.5
T2: Final = 4.0

PATIENCE: Final = 10.0  # seconds that a phone may ring before it answers
LINGER: Final = 1.0  # seconds for the answer to a BYE that clears up

# Nothing is said and nothing is heard: RFC 863, the port whose datagrams are thrown away.
DISCARD: Final = 9

Sub: TypeAlias = Generator[Step, Heard, Response | None]


@dataclass(frozen=True, slots=True)
class Target:
    """Who is tried.

    Attributes:
        uri: whom requests are for; of a registrar, the address that is registered.
        password: for challenges; the name is that of `uri`.
        timeout: seconds in which an answer is due.
    """

    role: Role
    uri: SipUri
    password: Secret = field(default_factory=lambda: Secret(""))
    timeout: float = 2.0


@dataclass(slots=True)
class Leg:
    """A call with the target. `local` and `remote` are From and To as we write them; `number`: of our last CSeq."""

    call_id: str
    local: str
    remote: str
    remote_target: str
    routes: tuple[str, ...]
    number: int
    invite: Request
    accepted: Response | None = None
    ended: bool = False


class End:
    """What a script works with.

    Attributes:
        hop: our flow to the target.
        now: the time, kept by the run.
        closed: the target has closed the flow.
        provisional: the provisional responses of the last exchange.
        uri: the Request-URI where none is given.
        lively: whether the target answers OPTIONS; None: not known yet.
    """

    def __init__(self, context: Context, target: Target, hop: Hop, *, now: float, lively: bool | None = None) -> None:
        self.target = target
        self.hop = hop
        self.now = now
        self.closed = False
        self.provisional: list[Response] = []
        self.lively = lively
        self.legs: list[Leg] = []
        self._context = context
        transport = hop.transport
        assert hop.local is not None
        # RFC 7118 section 5: a WebSocket client cannot be reached by an address.
        at = context.entropy.via_host() if transport in ("WS", "WSS") else str(hop.local)
        self.sent_by = f"SIP/2.0/{transport} {at}"
        # A server that is also a proxy would pass on what is for a user; itself it is at its domain.
        self.uri = str(
            target.uri if target.role is not Role.REGISTRAR else SipUri(target.uri.host, port=target.uri.port)
        )
        self.contact = f"sip:kit@{at}" + ("" if transport == "UDP" else f";transport={transport.lower()}")
        self.me = f"sip:kit@{hop.local.host if ':' not in hop.local.host else f'[{hop.local.host}]'}"
        self._host = self.hop.local.host if self.hop.local is not None else "127.0.0.1"

    # What requests are made of

    def via(self) -> str:
        """A Via of ours, with a branch of its own."""
        return f"{self.sent_by};rport;branch={self._context.entropy.branch()}"

    def tag(self) -> str:
        return self._context.entropy.tag()

    def call_id(self) -> str:
        return self._context.entropy.call_id()

    def offer(self, codecs: str = "0 8", *, direction: str = "sendrecv", version: int = 1) -> bytes:
        """A description of audio, as plain RTP."""
        return offer(self._host, codecs, direction=direction, version=version)

    def request(
        self,
        method: str,
        *more: tuple[str, str],
        uri: str = "",
        to: str = "",
        body: bytes = b"",
        content_type: str = "application/sdp",
        leg: Leg | None = None,
        cseq: int | None = None,
        cseq_method: str = "",
        call_id: str = "",
    ) -> Request:
        """A request of RFC 3261 section 8.1.1; with `leg` one of its dialog, whose CSeq goes up."""
        if leg is not None:
            leg.number = leg.number + 1 if cseq is None else leg.number
            number = leg.number if cseq is None else cseq
            target, sender, receiver = leg.remote_target, leg.local, leg.remote
            routes = [("Route", route) for route in leg.routes]
            call_id = leg.call_id
        else:
            target = uri or self.uri
            sender, receiver, routes = f"<{self.me}>;tag={self.tag()}", to or f"<{target}>", []
            number = 1 if cseq is None else cseq
        rows = [
            ("Via", self.via()),
            ("Max-Forwards", "70"),
            ("From", sender),
            ("To", receiver),
            ("Call-ID", call_id or self.call_id()),
            ("CSeq", f"{number} {cseq_method or method}"),
            ("Contact", f"<{self.contact}>"),
            *routes,
            *more,
            *([("Content-Type", content_type)] if body else []),
        ]
        named = {name for name, _ in more}
        first = [row for row in rows[:7] if row[0] not in named]
        return Request(method, parse_uri(target), Headers([*first, *rows[7:]]), body)

    def answer(
        self,
        request: Request,
        status: int,
        *more: tuple[str, str],
        tag: str = "kit",
        body: bytes = b"",
    ) -> Response:
        """A response of RFC 3261 section 8.2.6 to a request of the target."""
        to = request.headers.get("To") or ""
        rows = [("Via", row) for row in request.headers.get_all("Via")]
        rows += [("Record-Route", row) for row in request.headers.get_all("Record-Route")]
        rows += [
            ("From", request.headers.get("From") or ""),
            ("To", to if request.to.tag is not None or status == 100 else f"{to};tag={tag}"),
            ("Call-ID", request.call_id),
            ("CSeq", str(request.cseq)),
        ]
        if request.method == "INVITE" and status != 100:
            rows.append(("Contact", f"<{self.contact}>"))
        rows += [*more, *([("Content-Type", "application/sdp")] if body else [])]
        return Response(status, reason_phrase(status), Headers(rows), body)

    def say(self, message: Message | bytes) -> Generator[Step, Heard, None]:
        """Sends."""
        yield Send(bytes(message))

    # Hearing

    def hear(
        self, wanted: Callable[[Request | Response], bool], seconds: float
    ) -> Generator[Step, Heard, Message | None]:
        """The next message that is wanted; None where none came. What else the target asks is answered by the way."""
        deadline = self.now + seconds
        while not self.closed:
            message = yield Wait(deadline)
            if message is None:
                if self.now >= deadline:
                    return None
                continue
            if isinstance(message, Garbled):
                raise Failed(f"the target has sent what is no SIP: {message.reason}")
            if wanted(message):
                return message
            yield from self._by_the_way(message)
        return None

    def any_final(self, seconds: float) -> Generator[Step, Heard, Response | int | None]:
        """A final response, whatever it is to: each case has a flow of its own. The status alone where the rest cannot
        be read, as it may be in the answer to what could not be read either."""
        deadline = self.now + seconds
        while not self.closed:
            message = yield Wait(deadline)
            if message is None and self.now >= deadline:
                return None
            if isinstance(message, Garbled) and message.status >= 200:
                return message.status
            if isinstance(message, Response) and message.status >= 200:
                return message
            if isinstance(message, Response) and message.status > 100:
                deadline = max(deadline, self.now + PATIENCE)
            elif isinstance(message, Request):
                yield from self._by_the_way(message)
        return None

    def await_request(self, *methods: str, seconds: float | None = None) -> Generator[Step, Heard, Request]:
        """A request of the target; Failed where none comes."""
        limit = self.target.timeout if seconds is None else seconds
        message = yield from self.hear(lambda one: isinstance(one, Request) and one.method in methods, limit)
        if not isinstance(message, Request):
            raise Failed(f"no {' or '.join(methods)} within {limit:g} s")
        return message

    def quiet(
        self, wanted: Callable[[Request | Response], bool], seconds: float, what: str
    ) -> Generator[Step, Heard, None]:
        """Nothing of the kind comes for a while."""
        if (yield from self.hear(wanted, seconds)) is not None:
            raise Failed(what)

    def _by_the_way(self, message: Message) -> Generator[Step, Heard, None]:
        if not isinstance(message, Request) or message.method in ("ACK", "CANCEL"):
            return
        known = [leg for leg in self.legs if leg.call_id == message.call_id]
        if message.method == "BYE":
            for leg in known:
                leg.ended = True
        if message.method == "INVITE" and self.target.role is Role.UAC:
            return  # sent again, it is there when the next case wants a call
        status = 486 if message.method == "INVITE" else 481 if message.method == "BYE" and not known else 200
        yield Send(bytes(self.answer(message, status)))

    # Asking

    def exchange(self, request: Request, seconds: float | None = None) -> Sub:
        """The final response, checked against section 8.2.6.2, or None. Sent again as section 17 has it."""
        data = bytes(request)
        yield Send(data)
        self.provisional = []
        deadline = self.now + (self.target.timeout if seconds is None else seconds)
        pause, again = T1, self.now + T1
        while True:
            quiet = self.hop.reliable or bool(self.provisional)
            until = deadline if quiet else min(deadline, again)
            message = yield from self.hear(lambda message: answers(message, request), until - self.now)
            if message is None:
                if self.closed or self.now >= deadline:
                    return None
                yield Send(data)
                pause = min(2 * pause, T2)
                again = self.now + pause
            elif isinstance(message, Response) and message.status < 200:
                deadline = max(deadline, self.now + PATIENCE) if message.status > 100 else deadline
                self.provisional.append(message)
            elif isinstance(message, Response):
                check(request, message)
                return message

    def ask(self, request: Request) -> Generator[Step, Heard, Response]:
        """The final response; Failed where none came."""
        response = yield from self.exchange(request)
        if response is None:
            raise Failed(f"no answer to {request.method}" + (": the target closed the flow" if self.closed else ""))
        return response

    def expect(self, request: Request, *statuses: int) -> Generator[Step, Heard, Response]:
        """The final response, which must be one of these."""
        response = yield from self.ask(request)
        if response.status not in statuses:
            raise Failed(f"{request.method} got {named(response)}, not {' or '.join(map(str, statuses))}")
        return response

    def authenticator(self) -> Authenticator:
        """Answers challenges with the target's password, for the user of its address."""
        return Authenticator(self._context, self.target.uri.user or "", self.target.password)

    def authorized(self, request: Request) -> Generator[Step, Heard, Response]:
        """The final response after challenges were answered; as `ask` where there is no password."""
        authenticator, answered = self.authenticator(), Answered()
        while True:
            response = yield from self.place(request)
            again = authenticator.authorize(request, response, answered) if response.status in (401, 407) else None
            if again is None:
                return response
            again.headers.set("CSeq", f"{request.cseq.number + 1} {request.method}")
            again.headers.set("Via", self.via())
            request = again

    # Calls

    def place(self, request: Request) -> Generator[Step, Heard, Response]:
        """The final response to a request. Of an INVITE a refusal is acknowledged, an acceptance is a call: not
        acknowledged yet, the last of `legs`."""
        response = yield from self.ask(request)
        if request.method == "INVITE":
            yield from self.settle(request, response)
        return response

    def settle(self, request: Request, response: Response) -> Generator[Step, Heard, None]:
        """What follows the final response to an INVITE."""
        if response.status >= 300:
            yield Send(bytes(self.ack_refusal(request, response)))
            return
        leg = next((each for each in self.legs if each.call_id == request.call_id), None)
        if leg is None:
            leg = leg_of(request, response)
            self.legs.append(leg)
        leg.accepted = response
        leg.number = request.cseq.number

    def ack_refusal(self, request: Request, response: Response) -> Request:
        """Section 17.1.1.3: the branch of the INVITE."""
        rows = [("Via", str(request.top_via)), ("Max-Forwards", "70"), ("From", request.headers.get("From") or "")]
        rows += [("To", response.headers.get("To") or ""), ("Call-ID", request.call_id)]
        rows += [("CSeq", f"{request.cseq.number} ACK")]
        rows += [("Route", row) for row in request.headers.get_all("Route")]
        return Request("ACK", request.uri, Headers(rows))

    def ack(self, leg: Leg, body: bytes = b"") -> Generator[Step, Heard, None]:
        """Section 13.2.2.4."""
        yield Send(bytes(self.request("ACK", leg=leg, cseq=leg.number, body=body)))

    def call(self, *more: tuple[str, str], body: bytes | None = None) -> Generator[Step, Heard, Leg]:
        """A call that is up: INVITE with an offer, 200, ACK. Failed where the target does not take it."""
        request = self.request("INVITE", *more, body=self.offer() if body is None else body)
        response = yield from self.authorized(request) if self.target.password != Secret("") else self.place(request)
        if response.status >= 300:
            raise Failed(f"the target does not take a plain call: {named(response)}")
        leg = self.legs[-1]
        yield from self.ack(leg)
        return leg

    def hang_up(self, leg: Leg) -> Generator[Step, Heard, None]:
        """BYE and its 200."""
        leg.ended = True
        yield from self.expect(self.request("BYE", leg=leg), 200)

    def farewell(self) -> Generator[Step, Heard, None]:
        """Ends what a script has left behind, whatever the target makes of it."""
        for leg in self.legs:
            if not leg.ended and not self.closed:
                leg.ended = True
                yield from self.ack(leg)
                try:
                    yield from self.exchange(self.request("BYE", leg=leg), LINGER)
                except (Failed, ParseError):
                    continue  # the case has its verdict

    def alive(self) -> Generator[Step, Heard, bool]:
        """Whether the target answers OPTIONS."""
        try:
            return (yield from self.exchange(self.request("OPTIONS"))) is not None
        except (Failed, ParseError):
            return True

    def silence(self) -> Generator[Step, Heard, None]:
        """The target said nothing, and may: if it lives."""
        if self.closed:
            raise Silent("the target closed the flow")
        # On a stream the message may have swallowed the head of the next one.
        if self.lively and not self.hop.reliable and not (yield from self.alive()):
            raise Failed("no answer, and none to OPTIONS after it any more")
        raise Silent("no answer")


def offer(host: str, codecs: str = "0 8", *, direction: str = "sendrecv", version: int = 1) -> bytes:
    """A description of audio at `host`, as plain RTP to the discard port."""
    family = "IP6" if ":" in host else "IP4"
    names = {"0": "PCMU/8000", "8": "PCMA/8000", "101": "telephone-event/8000"}
    lines = [
        "v=0",
        f"o=kit 1 {version} IN {family} {host}",
        "s=-",
        f"c=IN {family} {host}",
        "t=0 0",
        f"m=audio {DISCARD} RTP/AVP {codecs}",
        *(f"a=rtpmap:{codec} {names.get(codec, f'X-NOBODY-{codec}/8000')}" for codec in codecs.split()),
        f"a={direction}",
        "",
    ]
    return "\r\n".join(lines).encode()


def answers(message: Message, request: Request) -> bool:
    """Whether it is a response to this request, by transaction (section 17.1.3) or, with a foreign Via, by call."""
    if not isinstance(message, Response) or message.cseq.method != request.cseq.method:
        return False
    return message.top_via.branch == request.top_via.branch or message.call_id == request.call_id


def check(request: Request, response: Response) -> None:
    """Section 8.2.6.2: what a response takes over from its request."""
    if [via.branch for via in response.via] != [via.branch for via in request.via]:
        raise Failed("the response does not carry the Via headers of its request, in their order")
    if response.call_id != request.call_id or response.cseq != request.cseq:
        raise Failed("the response has another Call-ID or CSeq than its request")
    if response.from_.tag != request.from_.tag or response.from_.uri != request.from_.uri:
        raise Failed("the response has another From than its request")
    if response.to.tag is None:
        raise Failed("the response has no tag in To")
    if request.to.tag is not None and response.to.tag != request.to.tag:
        raise Failed("the response has changed the tag in To")


def leg_of(request: Request, response: Response) -> Leg:
    """The dialog that a 2xx makes (section 12.1.2)."""
    contacts = response.contacts
    if not contacts:
        raise Failed("the 2xx to INVITE has no Contact (RFC 3261 section 12.1.1)")
    return Leg(
        call_id=request.call_id,
        local=request.headers.get("From") or "",
        remote=response.headers.get("To") or "",
        remote_target=str(contacts[0].uri),
        routes=tuple(str(route) for route in reversed(response.record_routes)),
        number=request.cseq.number,
        invite=request,
        accepted=response,
    )


def named(response: Response) -> str:
    """A response, for people."""
    return f"{response.status} {response.reason}"
