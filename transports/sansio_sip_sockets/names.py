"""SRV and NAPTR records, by dnspython (`pip install sansio-sip[dns]`). Blocking: both drivers call it in a thread.

Without dnspython every look-up finds nothing, and RFC 3263 goes on to the addresses of the name itself.
"""

from ipaddress import ip_address
from typing import TYPE_CHECKING

from sansio_sip.effects import NaptrRecord, Record, RecordType, SrvRecord

if TYPE_CHECKING:
    import dns.resolver

__all__ = ["LIFETIME", "look_up"]

# Seconds for one answer: a server's turn is 6 s, and there may be three questions in it, one after the other.
LIFETIME = 2.0


def look_up(name: str, kind: RecordType, resolver: "dns.resolver.Resolver | None" = None) -> tuple[Record, ...]:
    """The records of a name; none where there are none, or nobody answers. `resolver`: the system's by default."""
    if _has_no_records(name):
        return ()
    try:
        import dns.exception
        import dns.rdtypes.IN.NAPTR
        import dns.rdtypes.IN.SRV
        import dns.resolver
    except ImportError:
        return ()
    try:
        resolver = resolver or dns.resolver.get_default_resolver()
        answer = resolver.resolve(name, kind.value, lifetime=LIFETIME, search=False)
    except (dns.exception.DNSException, OSError):
        return ()
    records: list[Record] = []
    for row in answer:
        if isinstance(row, dns.rdtypes.IN.SRV.SRV):
            records.append(SrvRecord(row.priority, row.weight, row.port, row.target.to_text(omit_final_dot=True)))
        elif isinstance(row, dns.rdtypes.IN.NAPTR.NAPTR):
            flags, service, regexp = (text.decode("latin-1") for text in (row.flags, row.service, row.regexp))
            replacement = row.replacement.to_text(omit_final_dot=True)
            records.append(NaptrRecord(row.order, row.preference, flags, service, regexp, replacement))
    return tuple(_without_root(record) for record in records)


def _without_root(record: Record) -> Record:
    """The root, `.`, stands for nothing at all (RFC 2782)."""
    match record:
        case SrvRecord(target="." | "@"):
            return SrvRecord(record.priority, record.weight, record.port, "")
        case _:
            return record


def _has_no_records(name: str) -> bool:
    host = name.rstrip(".").rpartition("._tcp.")[2].rpartition("._udp.")[2].lower()
    # RFC 6761 section 6.3: nobody is asked about localhost.
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
