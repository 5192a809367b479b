"""Parameters of header fields: `;name=value` pairs (`generic-param` of RFC 3261 section 25)."""

from typing import TypeAlias

from sansio_sip.errors import ParseError

from .grammar import GENERIC_PARAMETER, PLAIN_VALUE, QUOTED_PAIR, UNQUOTABLE

__all__ = ["Parameters", "Parametric", "Quoted", "format_parameters", "parse_parameters", "quote", "unquote"]

Parameters: TypeAlias = tuple[tuple[str, str | None], ...]
"""Names as received, with their values without quotes and escapes; None for a name alone."""

_MAX_PARAMETERS = 128
"""More than any field of a sane message has; each becomes a tuple that stays as long as the message."""


class Quoted(str):
    """A value that is written between quotes even if it could stand without. Equal to the plain text."""

    __slots__ = ()


def quote(text: str) -> str:
    """`text` as a quoted-string."""
    if UNQUOTABLE.search(text):
        text = UNQUOTABLE.sub(r"\\\g<0>", text)
    return f'"{text}"'


def unquote(text: str) -> str:
    """What a quoted-string, given with its quotes, says."""
    text = text[1:-1]
    return QUOTED_PAIR.sub(r"\1", text) if "\\" in text else text


def parse_parameters(text: str, position: int = 0) -> Parameters:
    """The parameters from `position`, the first semicolon (or space before it), to the end of `text`, if any.

    Raises:
        ParseError: anything else stands there, or there are too many.
    """
    end = len(text)
    if position == end:
        return ()
    parameters: list[tuple[str, str | None]] = []
    match = GENERIC_PARAMETER.match
    while position < end:
        found = match(text, position)
        if found is None or len(parameters) == _MAX_PARAMETERS:
            raise ParseError("bad parameter" if found is None else "too many parameters", offset=position, status=400)
        name, value = found.groups()
        if value and value[0] == '"':
            value = Quoted(unquote(value))
        parameters.append((name, value))
        position = found.end()
    return tuple(parameters)


def split_parameters(text: str) -> Parameters:
    """The parameters of a text that has matched the grammar without quotes and spaces: `;name=value;name`."""
    name, equals, rest = text[1:].partition("=")
    if ";" not in rest and ";" not in name:
        return ((name, rest if equals else None),)
    rows: list[tuple[str, str | None]] = []
    for pair in text[1:].split(";"):
        name, equals, value = pair.partition("=")
        rows.append((name, value if equals else None))
    if len(rows) > _MAX_PARAMETERS:
        raise ParseError("too many parameters", status=400)
    return tuple(rows)


def format_parameters(parameters: Parameters) -> str:
    """The inverse of `parse_parameters`."""
    return "".join([f";{name}" if value is None else f";{name}={format_value(value)}" for name, value in parameters])


def format_value(value: str) -> str:
    """A value as it stands after the equals sign: quoted where it was, or must be."""
    if isinstance(value, Quoted) or (value and not PLAIN_VALUE.fullmatch(value)):
        return quote(value)
    return value


class Parametric:
    """What all values with a tuple `parameters` can be asked. Names are compared without case."""

    __slots__ = ()
    parameters: Parameters

    def parameter(self, name: str) -> str | None:
        """The value of the first parameter of that name: None if there is none, "" for a name alone."""
        name = name.lower()
        for key, value in self.parameters:
            if key.lower() == name:
                return value or ""
        return None

    def has_parameter(self, name: str) -> bool:
        return self.parameter(name) is not None


def with_parameter(parameters: Parameters, name: str, value: str | None) -> Parameters:
    """`parameters` with one replaced where it stands, or added at the end. Further ones of the name are left out."""
    key = name.lower()
    rows: list[tuple[str, str | None]] = []
    done = False
    for row in parameters:
        if row[0].lower() != key:
            rows.append(row)
        elif not done:
            rows.append((name, value))
            done = True
    if not done:
        rows.append((name, value))
    return tuple(rows)


def without_parameter(parameters: Parameters, name: str) -> Parameters:
    key = name.lower()
    return tuple(row for row in parameters if row[0].lower() != key)
