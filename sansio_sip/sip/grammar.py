"""The grammar of RFC 3261 section 25, as compiled regular expressions.

Each expression stands under the production that it is made from. They are applied to header values that have been
unfolded, so LWS is spaces and tabs here. Where an expression takes more than the production, the line says for
whom. Quantifiers are possessive wherever what follows cannot begin with a character of the class: the time is then
linear in the length of the text, whatever the peer sends.
"""

import re

__all__ = [
    "ADDR_SPEC",
    "AUTH_BARE",
    "AUTH_PARAMETER",
    "AUTH_SCHEME",
    "BAD_ESCAPE",
    "CALL_ID",
    "CONTENT_LENGTH",
    "CSEQ",
    "DATE",
    "DELTA_SECONDS",
    "FOLD",
    "FORBIDDEN_IN_VALUE",
    "GENERIC_PARAMETER",
    "HEADER_LINE",
    "HEADER_NAME",
    "HEADER_ROWS",
    "IPV6_REFERENCE",
    "LIST_ELEMENT",
    "MEDIA_TYPE",
    "NAME_ADDR",
    "OTHER_URI",
    "PLAIN_VALUE",
    "QUOTED_PAIR",
    "RACK",
    "REQUEST_LINE",
    "SIP_NAME_ADDR",
    "SIP_URI",
    "STATUS_LINE",
    "TOKEN",
    "UNQUOTABLE",
    "VIA",
    "WARNING",
]

# LWS = [*WSP CRLF] 1*WSP ; SWS = [LWS]
_SWS = r"[ \t]*+"
_LWS = r"[ \t]++"

# token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
_TOKEN_CHARACTER = r"A-Za-z0-9\-.!%*_+`'~"
_TOKEN = rf"[{_TOKEN_CHARACTER}]++"
TOKEN = re.compile(_TOKEN)
HEADER_NAME = TOKEN

# quoted-string = SWS DQUOTE *(qdtext / quoted-pair ) DQUOTE
# Control characters other than NUL, CR and LF are taken without their backslash.
_QUOTED_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'

# quoted-pair = "\" (%x00-09 / %x0B-0C / %x0E-7F)
QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)

# What qdtext does not hold, and so must be written as a quoted-pair.
UNQUOTABLE = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')

# TEXT-UTF8char = %x21-7E / UTF8-NONASCII: no CR, no LF, and NUL as a quoted-pair only. Lone surrogates stand for
# octets that are no UTF-8; the others have no octets at all.
FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\ud800-\udc7f\udd00-\udfff]|(?<!\\)\x00")

# RFC 3261 section 7.3.1: "can be folded onto multiple lines by preceding each extra line with at least one SP or HT"
# The look-behind lets a run of spaces that ends in no fold be looked at once, not once from each of its spaces.
FOLD = re.compile(r"(?<![ \t])[ \t]*+\r?\n[ \t]++")

# ---------------------------------------------------------------------------------------------------------- the host

# hostname = *( domainlabel "." ) toplabel [ "." ] ; IPv4address = 1*3DIGIT "." 1*3DIGIT "." 1*3DIGIT "." 1*3DIGIT
# The underscore is no letter of a domainlabel; names of containers and of Windows hosts have it all the same.
_LABEL = r"[A-Za-z0-9_]++(?:-++[A-Za-z0-9_]++)*+"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL})*+\.?"

# IPv6reference = "[" IPv6address "]" ; what is between the brackets is judged by `uri.valid_ipv6`
_IPV6_REFERENCE = r"\[[0-9A-Fa-f:.]++\]"
IPV6_REFERENCE = re.compile(_IPV6_REFERENCE)

# host = hostname / IPv4address / IPv6reference
_HOST = rf"{_HOSTNAME}|{_IPV6_REFERENCE}"

# port = 1*DIGIT ; five digits, after any zeros, are enough for each port there is
_PORT = r"(?:0*+[1-9][0-9]{0,4}+|0++)"

# --------------------------------------------------------------------------------------------------------------- URI

# unreserved = alphanum / mark ; mark = "-" / "_" / "." / "!" / "~" / "*" / "'" / "(" / ")"
# The percent sign of `escaped` is in each class; BAD_ESCAPE finds one that begins no escape.
_UNRESERVED = r"A-Za-z0-9\-_.!~*'()%"

# escaped = "%" HEXDIG HEXDIG
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

# user = 1*( unreserved / escaped / user-unreserved ) ; user-unreserved = "&" / "=" / "+" / "$" / "," / ";" / "?" / "/"
_USER = rf"[{_UNRESERVED}&=+$,;?/]++"

# password = *( unreserved / escaped / "&" / "=" / "+" / "$" / "," )
_PASSWORD = rf"[{_UNRESERVED}&=+$,]*+"

# paramchar = param-unreserved / unreserved / escaped ; param-unreserved = "[" / "]" / "/" / ":" / "&" / "+" / "$"
# A parameter with "=" and no value ("lr=") is no production; several proxies write it in Record-Route.
_PARAMETER_CHARACTER = rf"[{_UNRESERVED}\[\]/:&+$]"
_URI_PARAMETER = rf";{_PARAMETER_CHARACTER}++(?:={_PARAMETER_CHARACTER}*+)?"

# header = hname "=" hvalue ; hnv-unreserved = "[" / "]" / "/" / "?" / ":" / "+" / "$"
_HNV = rf"[{_UNRESERVED}\[\]/?:+$]"
_URI_HEADER = rf"{_HNV}++={_HNV}*+"

# SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ] ; SIPS-URI the same
# userinfo = ( user / telephone-subscriber ) [ ":" password ] "@"
_SIP_URI = (
    rf"([sS][iI][pP][sS]?):(?:({_USER})(?::({_PASSWORD}))?@)?({_HOST})(?::({_PORT}))?"
    rf"((?:{_URI_PARAMETER})*+)(?:\?({_URI_HEADER}(?:&{_URI_HEADER})*+))?"
)
SIP_URI = re.compile(_SIP_URI)

# absoluteURI = scheme ":" ( hier-part / opaque-part ) ; scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
# uric = reserved / unreserved / escaped ; with the brackets and the fragment of RFC 3986
OTHER_URI = re.compile(rf"([A-Za-z][A-Za-z0-9+.\-]*+):([{_UNRESERVED};/?:@&=+$,#\[\]]++)")

# ----------------------------------------------------------------------------------------------------------- messages

# Request-Line = Method SP Request-URI SP SIP-Version CRLF ; SIP-Version = "SIP" "/" 1*DIGIT "." 1*DIGIT
REQUEST_LINE = re.compile(rf"({_TOKEN}) ([^ \t]++) [sS][iI][pP]/([0-9]++\.[0-9]++)")

# Status-Line = SIP-Version SP Status-Code SP Reason-Phrase CRLF
# The SP before an empty phrase is forgotten by some gateways.
STATUS_LINE = re.compile(r"[sS][iI][pP]/([0-9]++\.[0-9]++) ([0-9]++)(?: ([^\r\n]*+))?")

# message-header = (header) CRLF ; header = header-name HCOLON header-value ; HCOLON = *( SP / HTAB ) ":" SWS
HEADER_LINE = re.compile(rf"({_TOKEN}){_SWS}:{_SWS}(.*+)", re.DOTALL)

# The header fields after a start line, all at once: as many as there are line ends, or one of them is malformed,
# folded, or ends in spaces.
HEADER_ROWS = re.compile(rf"\r\n({_TOKEN}){_SWS}:{_SWS}([^\r\n]*+)(?<![ \t])")

# Content-Length = ( "Content-Length" / "l" ) HCOLON 1*DIGIT ; for cutting a stream before anything is parsed
CONTENT_LENGTH = re.compile(r"\n(?:[cC][oO][nN][tT][eE][nN][tT]-[lL][eE][nN][gG][tT][hH]|[lL])[ \t]*+:([^\n]*+)")

# ------------------------------------------------------------------------------------------------------ header fields

# generic-param = token [ EQUAL gen-value ] ; gen-value = token / host / quoted-string
# Unquoted values are any printable characters but the separators `,;<>"`: base64 in branches and tags, IPv6
# addresses with and without brackets (RFC 5118 section 4.5), "rport=" with nothing.
_VALUE_CHARACTER = r"!#-+\--:=?-~"
PLAIN_VALUE = re.compile(rf"[{_VALUE_CHARACTER}]++")
GENERIC_PARAMETER = re.compile(
    rf"{_SWS};{_SWS}({_TOKEN})(?:{_SWS}={_SWS}({_QUOTED_STRING}|[{_VALUE_CHARACTER}]*+))?{_SWS}"
)
# The same without spaces and quotes: to be split at ";" and "="
_SIMPLE_PARAMETERS = rf"(?:;{_TOKEN}(?:=[{_VALUE_CHARACTER}]*+)?)*+"

# name-addr = [ display-name ] LAQUOT addr-spec RAQUOT ; display-name = *(token LWS)/ quoted-string
# No LWS before "<" is to be taken (RFC 4475 section 3.1.1.6); letters beyond ASCII stand unquoted in names from many
# phones.
NAME_ADDR = re.compile(
    rf"{_SWS}(?:({_QUOTED_STRING}){_SWS}|([{_TOKEN_CHARACTER} \t\x80-\U0010ffff]*+))<([^<> \t\"]*+)>{_SWS}"
)

# The name-addr of nearly every message, with its URI and parameters taken apart in the same pass. Whatever does not
# match is tried with NAME_ADDR and ADDR_SPEC. The last group is as that of VIA.
SIP_NAME_ADDR = re.compile(
    rf"(?:({_QUOTED_STRING}){_SWS}|([{_TOKEN_CHARACTER} \t\x80-\U0010ffff]*+))<{_SIP_URI}>"
    rf"(?:({_SIMPLE_PARAMETERS})\Z|{_SWS}(?![^;]))"
)

# addr-spec = SIP-URI / SIPS-URI / absoluteURI
# Section 20: "Even if the display name is empty, the name-addr form MUST be used if the addr-spec contains a comma,
# semicolon, or question mark."
ADDR_SPEC = re.compile(rf"{_SWS}([^\x00-\x20;,?<>\"]++){_SWS}")

# via-parm = sent-protocol LWS sent-by *( SEMI via-params )
# sent-protocol = protocol-name SLASH protocol-version SLASH transport ; sent-by = host [ COLON port ]
# The last group holds the parameters if they are simple, and there is none if they want `parse_parameters`.
VIA = re.compile(
    rf"{_SWS}[sS][iI][pP]{_SWS}/{_SWS}2\.0{_SWS}/{_SWS}({_TOKEN}){_LWS}"
    rf"({_HOST})(?:{_SWS}:{_SWS}({_PORT}))?(?:({_SIMPLE_PARAMETERS})\Z|{_SWS}(?![^;]))"
)

# CSeq = 1*DIGIT LWS Method
CSEQ = re.compile(rf"(?=[0-9])0*+([0-9]{{0,10}}+){_LWS}({_TOKEN})")

# RAck = response-num LWS CSeq-num LWS Method (RFC 3262 section 10)
RACK = re.compile(rf"(?=[0-9])0*+([0-9]{{0,10}}+){_LWS}(?=[0-9])0*+([0-9]{{0,10}}+){_LWS}({_TOKEN})")

# callid = word [ "@" word ] ; every printable character but the comma: "=", "&", "|" and a second "@" are met with
CALL_ID = re.compile(r"[!-+\--~]++")

# delta-seconds = 1*DIGIT ; the number without its leading zeros
DELTA_SECONDS = re.compile(r"0*+([0-9]*+)(?<=[0-9])")

# media-type = m-type SLASH m-subtype *( SEMI m-parameter )
MEDIA_TYPE = re.compile(rf"{_SWS}({_TOKEN}){_SWS}/{_SWS}({_TOKEN}){_SWS}(?![^;])")

# challenge = ("Digest" LWS digest-cln *(COMMA digest-cln)) / other-challenge ; other-challenge = auth-scheme LWS ...
AUTH_SCHEME = re.compile(rf"{_SWS}({_TOKEN})(?:{_LWS}|\Z)")

# auth-param = auth-param-name EQUAL ( token / quoted-string )
# The comma is optional: a registrar is known that leaves one out.
AUTH_PARAMETER = re.compile(
    rf"({_TOKEN}){_SWS}={_SWS}({_QUOTED_STRING}|[{_VALUE_CHARACTER}]*+){_SWS}(?:,[ \t,]*+|(?=[^,])|\Z)"
)

# The credentials of a scheme without parameters ("Basic dXNlcjpwYXNz"): token68 of RFC 9110 section 11.2
AUTH_BARE = re.compile(r"([A-Za-z0-9\-._~+/]++=*+)[ \t]*+\Z")

# One element of a list that is separated by commas, which do not count in quoted strings and in angle brackets.
LIST_ELEMENT = re.compile(rf"(?:[^\",<]|{_QUOTED_STRING}|<[^>]*+>)*+")

# SIP-date = wkday "," SP date1 SP time SP "GMT"
DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4}"
    r" [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
    re.IGNORECASE,
)

# warning-value = warn-code SP warn-agent SP warn-text ; warn-code = 3DIGIT
WARNING = re.compile(rf"{_SWS}[0-9]{{3}} [^ \t,\"]++ {_QUOTED_STRING}{_SWS}")
