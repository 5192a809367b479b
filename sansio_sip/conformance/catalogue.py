"""All cases, and those that are made of messages in files."""

import re
from collections.abc import Iterable
from functools import partial
from typing import Final

from sansio_sip.sip.verdict import judge

from . import callee, caller, registrations, torture
from .case import Case
from .end import End
from .script import Role, Script, Send
from .torture import Want, judge_answer

__all__ = ["cases_for", "cases_of_messages"]

_CASES: Final = (*registrations.CASES, *callee.CASES, *caller.CASES, *torture.CASES)

_FIRST_VIA: Final = re.compile(rb"(?im)^((?:via|v)[ \t]*:\s*)SIP\s*/\s*2\.0\s*/\s*[A-Z-]+\s+[^\s;,]+")


def cases_for(role: Role, *, datagram: bool = True, messages: Iterable[tuple[str, bytes]] = ()) -> list[Case]:
    """The cases for a target; OPTIONS first, by which it is known whether silence means anything.

    Args:
        datagram: whether the target is reached by UDP; what makes sense there alone is left out elsewhere.
        messages: names and octets of more messages to try, such as those of a torture corpus.
    """
    cases = [case for case in _CASES if role in case.roles and (datagram or not case.datagram)]
    cases.sort(key=lambda case: (case.name != "OPTIONS", case.name != "UAC-01"))
    return cases + (cases_of_messages(messages) if role is not Role.UAC else [])


def cases_of_messages(messages: Iterable[tuple[str, bytes]]) -> list[Case]:
    """A case for each message that is a request: our parser says what may be answered.

    The top Via is made to name our own end, or a datagram's answer would go to whom the message names.
    """
    cases = []
    for name, data in messages:
        verdict = judge(data)
        if verdict.kind.startswith("response"):
            continue
        if verdict.verdict == "valid":
            want = Want(lenient=True, silent=" ACK" in verdict.kind)
            title = f"valid {verdict.kind}"
        else:
            want = Want((verdict.status or 400, 400), lenient=True)
            title = f"invalid: {verdict.reason}"
        both = (Role.UAS, Role.REGISTRAR)
        cases.append(Case(f"corpus-{name}", "corpus", name, title, both, partial(_try, data, want), "SHOULD"))
    return cases


def _try(data: bytes, want: Want, end: End) -> Script:
    via = end.sent_by.encode()
    yield Send(_FIRST_VIA.sub(lambda match: match[1] + via, data, count=1))
    yield from judge_answer(end, want, invite=data.lstrip().startswith(b"INVITE"))
