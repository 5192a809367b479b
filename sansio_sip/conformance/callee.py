"""Cases for a user agent that takes calls: RFC 3261 sections 8.2 to 17, and the flows of RFC 3665 section 3."""

from typing import Final

from sansio_sip.sip.message import Message, Request, Response

from .case import Case, adds_to
from .end import T1, End, named
from .script import Failed, NotApplicable, Role, Script, Send

__all__ = ["CASES"]

CASES: Final[list[Case]] = []
case = adds_to(CASES, Role.UAS)
both = adds_to(CASES, Role.UAS, Role.REGISTRAR)


# Requests outside of calls


@both("OPTIONS", "3261", "11.2", "OPTIONS gets a final response")
def options(end: End) -> Script:
    response = yield from end.exchange(end.request("OPTIONS"))
    end.lively = response is not None
    if response is None:
        raise Failed("no answer to OPTIONS")


@both("UAS-23", "3261", "8.2.1", "a method that nobody knows is refused, with Allow where it is 405")
def unknown_method(end: End) -> Script:
    response = yield from end.expect(end.request("NOBODYKNOWS"), 405, 501)
    if response.status == 405 and "Allow" not in response.headers:
        raise Failed("405 without Allow")


@both("UAS-09", "3261", "8.2.2.3", "Require with unknown tags gets 420, and Unsupported lists them")
def requires(end: End) -> Script:
    response = yield from end.expect(end.request("OPTIONS", ("Require", "nobody-a, nobody-b")), 420)
    missing = {"nobody-a", "nobody-b"} - {tag.lower() for tag in response.unsupported}
    if missing:
        raise Failed(f"Unsupported does not list {', '.join(sorted(missing))}")


@both("UAS-20", "3261", "8.1.1.5", "CSeq has another method than the request: 400", level="SHOULD")
def cseq_method(end: End) -> Script:
    yield Send(bytes(end.request("OPTIONS", cseq_method="MESSAGE")))
    answer = yield from end.any_final(end.target.timeout)
    if answer is None:
        yield from end.silence()
    status = answer if isinstance(answer, int) else answer.status if answer is not None else 0
    if status != 400:
        raise Failed(f"got {status}, not 400")


@case("UAS-24", "3261", "12.2.2", "BYE for a call that is not there: 481")
def unknown_call(end: End) -> Script:
    yield from end.expect(end.request("BYE", to=f"<{end.target.uri}>;tag=nobody"), 481)


@case("CAN-09", "3261", "9.2", "CANCEL for a transaction that is not there: 481", level="SHOULD")
def cancel_of_nothing(end: End) -> Script:
    yield from end.expect(end.request("CANCEL"), 481)


@both("UAS-16", "3581", "4", "the response says where the request came from", datagram=True)
def rport(end: End) -> Script:
    response = yield from end.ask(end.request("OPTIONS"))
    local = end.hop.local
    assert local is not None
    if response.top_via.rport != local.port:
        raise Failed(f"rport is {response.top_via.rport}, and the request came from port {local.port}")
    if response.top_via.received != local.host:
        raise Failed(f"received is {response.top_via.received}, and the request came from {local.host}")


@both("VIA", "3261", "8.2.6.2", "all Via headers come back, in their order")
def several_via(end: End) -> Script:
    request = end.request("OPTIONS")
    request.headers.add(
        "Via", "SIP/2.0/UDP one.example.com;branch=z9hG4bKone, SIP/2.0/TCP two.example.com;branch=z9hG4bKtwo"
    )
    yield from end.ask(request)  # `check` compares them


@both("AGAIN", "3261", "17.2.2", "the same request again gets the same response", datagram=True)
def retransmission(end: End) -> Script:
    request = end.request("OPTIONS")
    first = yield from end.ask(request)
    second = yield from end.ask(request)
    if (first.status, first.to.tag) != (second.status, second.to.tag):
        raise Failed(f"first {named(first)} with tag {first.to.tag}, then {named(second)} with tag {second.to.tag}")


@case("PRACK-0", "3262", "3", "PRACK that acknowledges nothing: 481", level="SHOULD")
def prack_of_nothing(end: End) -> Script:
    response = yield from end.ask(end.request("PRACK", ("RAck", "1 1 INVITE"), to=f"<{end.target.uri}>;tag=nobody"))
    if response.status in (405, 501):
        raise NotApplicable("PRACK is not supported")
    if response.status != 481:
        raise Failed(f"got {named(response)}, not 481")


# Calls


@case("UAC-01", "3665", "3.1", "INVITE, 200, ACK, BYE, 200")
def plain_call(end: End) -> Script:
    leg = yield from end.call()
    assert leg.accepted is not None
    if not leg.accepted.body:
        raise Failed("the 200 answers the offer with no description")
    yield from end.hang_up(leg)


@case("BYE-2", "3261", "15.1.2", "a second BYE finds no call: 481")
def second_bye(end: End) -> Script:
    leg = yield from end.call()
    yield from end.hang_up(leg)
    yield from end.expect(end.request("BYE", leg=leg), 481)


@case("CAN-06", "3665", "3.8", "CANCEL while it rings: 200 to it, 487 to the INVITE")
def cancel(end: End) -> Script:
    invite = end.request("INVITE", body=end.offer())
    yield Send(bytes(invite))
    first = yield from end.hear(lambda one: isinstance(one, Response) and one.status > 100, end.target.timeout)
    if not isinstance(first, Response):
        raise Failed("no answer to INVITE")
    if first.status >= 200:
        yield from end.settle(invite, first)
        raise NotApplicable("the target does not ring")
    rows = [("Via", str(invite.top_via)), ("Max-Forwards", "70"), ("From", str(invite.from_)), ("To", str(invite.to))]
    rows += [("Call-ID", invite.call_id), ("CSeq", "1 CANCEL")]
    heard: dict[str, Response] = {}
    yield Send(bytes(Request("CANCEL", invite.uri, rows)))
    while len(heard) < 2:
        final = yield from end.hear(lambda one: isinstance(one, Response) and one.status >= 200, end.target.timeout)
        if not isinstance(final, Response):
            raise Failed(f"only {', '.join(heard) or 'nothing'} was answered")
        heard[final.cseq.method] = final
    yield from end.settle(invite, heard["INVITE"])
    if heard["INVITE"].status < 300:
        raise NotApplicable("the target answered before the CANCEL came")
    if heard["CANCEL"].status != 200 or heard["INVITE"].status != 487:
        raise Failed(f"CANCEL got {named(heard['CANCEL'])}, INVITE {named(heard['INVITE'])}")


@case("UAS-01", "3261", "13.2.1", "INVITE without description: the 200 has an offer")
def late_offer(end: End) -> Script:
    response = yield from end.place(end.request("INVITE"))
    if response.status >= 300:
        raise Failed(f"the target does not take a call without offer: {named(response)}")
    leg = end.legs[-1]
    if not response.body:
        yield from end.ack(leg)
        raise Failed("the 200 to an INVITE without offer has none either")
    yield from end.ack(leg, end.offer())
    yield from end.hang_up(leg)


@case("UAS-03", "6026", "7.1", "an INVITE again after the ACK is no new call", datagram=True)
def invite_again(end: End) -> Script:
    leg = yield from end.call()
    yield Send(bytes(leg.invite))
    other = yield from end.hear(
        lambda one: isinstance(one, Response) and one.status >= 200 and one.to.tag != leg.accepted.to.tag,  # type: ignore[union-attr]
        2 * T1,
    )
    if other is not None:
        raise Failed("the copy of an INVITE has begun another call")
    yield from end.hang_up(leg)


@case("UAS-04", "3261", "13.3.1.4", "without ACK the 200 is sent again; with it no more", datagram=True)
def without_ack(end: End) -> Script:
    response = yield from end.place(end.request("INVITE", body=end.offer()))
    if response.status >= 300:
        raise Failed(f"the target does not take a plain call: {named(response)}")
    leg = end.legs[-1]

    def copy(message: Message) -> bool:
        return isinstance(message, Response) and message.status == response.status and message.cseq.method == "INVITE"

    for number in (1, 2):
        if (yield from end.hear(copy, 4 * T1)) is None:
            raise Failed(f"copy {number} of the 200 did not come within {4 * T1:g} s")
    yield from end.ack(leg)
    yield from end.hear(copy, T1 / 4)  # one that was on its way
    yield from end.quiet(copy, 5 * T1, "the 200 is sent on after the ACK")
    yield from end.hang_up(leg)


@case("UAS-06", "3261", "17.2.1", "without ACK a refusal is sent again; with it no more", datagram=True)
def refusal_without_ack(end: End) -> Script:
    invite = end.request("INVITE", ("Require", "nobody-a"), body=end.offer())
    response = yield from end.ask(invite)
    if response.status < 300:
        yield from end.settle(invite, response)
        raise Failed("an INVITE that requires an unknown extension was taken")

    def copy(message: Message) -> bool:
        return isinstance(message, Response) and message.status == response.status

    if (yield from end.hear(copy, 3 * T1)) is None:
        raise Failed(f"no copy of the {response.status} within {3 * T1:g} s")
    yield Send(bytes(end.ack_refusal(invite, response)))
    yield from end.hear(copy, T1 / 4)
    yield from end.quiet(copy, 5 * T1, f"the {response.status} is sent on after the ACK")


@case("UAS-08", "3261", "8.2.2.2", "the same INVITE by another path: 482", level="SHOULD")
def merged(end: End) -> Script:
    invite = end.request("INVITE", body=end.offer())
    other = invite.copy()
    other.headers.set("Via", end.via())
    yield Send(bytes(invite))
    yield Send(bytes(other))
    finals: dict[str, Response] = {}
    while len(finals) < 2:
        final = yield from end.hear(
            lambda one: isinstance(one, Response) and one.status >= 200 and one.top_via.branch not in finals, 10.0
        )
        if not isinstance(final, Response):
            break
        finals[final.top_via.branch or ""] = final
        request = invite if final.top_via.branch == invite.top_via.branch else other
        if final.status < 300 or not any(leg.call_id == invite.call_id for leg in end.legs):
            yield from end.settle(request, final)
        else:
            yield Send(bytes(end.ack_refusal(request, final)))
    if 482 not in {final.status for final in finals.values()}:
        raise Failed(f"got {' and '.join(named(final) for final in finals.values()) or 'nothing'}, none is 482")


@case("UAS-11", "3261", "21.4.26", "an offer that is no description is refused")
def broken_offer(end: End) -> Script:
    invite = end.request("INVITE", body=b"v=0\r\nthis is no description\r\n")
    response = yield from end.place(invite)
    if response.status < 300:
        raise Failed("an INVITE with a broken description was taken")


@case("UAS-12", "3261", "21.4.26", "an offer in which nothing suits: 488", level="SHOULD")
def nothing_suits(end: End) -> Script:
    response = yield from end.place(end.request("INVITE", body=end.offer("77")))
    if response.status not in (488, 606, 415):
        raise Failed(f"got {named(response)}, not 488")


@case("UAS-13", "5621", "3.1", "a description within multipart/mixed is found, or refused with 415")
def multipart(end: End) -> Script:
    parts = b"--edge\r\nContent-Type: text/plain\r\n\r\nhello\r\n--edge\r\nContent-Type: application/sdp\r\n\r\n"
    body = parts + end.offer() + b"\r\n--edge--\r\n"
    request = end.request("INVITE", body=body, content_type="multipart/mixed;boundary=edge")
    response = yield from end.place(request)
    if response.status >= 300 and response.status not in (415, 488):
        raise Failed(f"got {named(response)}")


@case("ROUTES", "3261", "12.1.1", "the 200 carries the Record-Route headers of the INVITE")
def record_route(end: End) -> Script:
    # Our own address: what the target sends in the call comes back to us.
    local = end.contact.partition("@")[2]
    route = f"<sip:{local.partition(';')[0]};lr>"
    invite = end.request("INVITE", ("Record-Route", route), body=end.offer())
    response = yield from end.place(invite)
    if response.status >= 300:
        raise Failed(f"the target does not take a call by a proxy: {named(response)}")
    leg = end.legs[-1]
    leg.routes = ()  # we are that proxy ourselves
    yield from end.ack(leg)
    if len(response.record_routes) != 1 or "lr" not in dict(response.record_routes[0].uri.parameters):  # type: ignore[union-attr]
        raise Failed("the 200 does not carry the Record-Route of its INVITE")
    yield from end.hang_up(leg)


# Within a call


@case("UAS-25", "3261", "12.2.2", "a request with a lower CSeq: 500")
def lower_cseq(end: End) -> Script:
    invite = end.request("INVITE", cseq=1000, body=end.offer())
    response = yield from end.place(invite)
    if response.status >= 300:
        raise Failed(f"the target does not take a plain call: {named(response)}")
    leg = end.legs[-1]
    yield from end.ack(leg)
    yield from end.expect(end.request("OPTIONS", leg=leg, cseq=5), 500)
    yield from end.hang_up(leg)


@case("DLG-03", "3261", "14.2", "a re-INVITE with a new description: 200, in the same dialog")
def reinvite(end: End) -> Script:
    leg = yield from end.call()
    response = yield from end.place(end.request("INVITE", leg=leg, body=end.offer("0", version=2)))
    if response.status >= 300:
        raise Failed(f"got {named(response)}")
    yield from end.ack(leg)
    if not response.body:
        raise Failed("the 200 answers the new offer with no description")
    yield from end.hang_up(leg)


@case("DLG-04", "3261", "14.2", "a re-INVITE without description: the 200 has an offer")
def reinvite_without_offer(end: End) -> Script:
    leg = yield from end.call()
    response = yield from end.place(end.request("INVITE", leg=leg))
    if response.status >= 300:
        raise Failed(f"got {named(response)}")
    yield from end.ack(leg, end.offer(version=2) if response.body else b"")
    if not response.body:
        raise Failed("the 200 to a re-INVITE without offer has none either")
    yield from end.hang_up(leg)


@case("DLG-12", "3264", "8.4", "hold (sendonly) is answered recvonly or inactive")
def hold(end: End) -> Script:
    leg = yield from end.call()
    response = yield from end.place(end.request("INVITE", leg=leg, body=end.offer(direction="sendonly", version=2)))
    if response.status >= 300:
        raise Failed(f"got {named(response)}")
    yield from end.ack(leg)
    lines = response.body.split()
    if b"a=recvonly" not in lines and b"a=inactive" not in lines:
        raise Failed("the answer to sendonly is neither recvonly nor inactive")
    yield from end.hang_up(leg)


@case("DLG-07", "3261", "14.2", "a re-INVITE that is refused leaves the call as it was")
def refused_reinvite(end: End) -> Script:
    leg = yield from end.call()
    response = yield from end.place(end.request("INVITE", leg=leg, body=end.offer("77", version=2)))
    if response.status < 300:
        yield from end.ack(leg)
        raise NotApplicable("the target took an offer with an unknown codec only")
    again = yield from end.place(end.request("INVITE", leg=leg, body=end.offer(version=3)))
    if again.status >= 300:
        raise Failed(f"the next re-INVITE got {named(again)}")
    yield from end.ack(leg)
    yield from end.hang_up(leg)


@case("DLG-17", "3311", "5.2", "UPDATE with an offer: 200 with an answer")
def update(end: End) -> Script:
    leg = yield from end.call()
    assert leg.accepted is not None
    if "UPDATE" not in leg.accepted.allow:
        raise NotApplicable("UPDATE is not in Allow")
    response = yield from end.expect(end.request("UPDATE", leg=leg, body=end.offer("0", version=2)), 200)
    if not response.body:
        raise Failed("the 200 answers the offer with no description")
    yield from end.hang_up(leg)
