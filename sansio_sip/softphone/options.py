"""What a phone and an account may be told. A bad value raises `ValueError` that names the field and what is allowed."""

import re
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Literal

from sansio_sip.connection import ServerUrl
from sansio_sip.context import Secret
from sansio_sip.effects import Address
from sansio_sip.errors import ParseError
from sansio_sip.http_client import HttpRequest
from sansio_sip.sip.digest import ALGORITHMS
from sansio_sip.sip.identity import Reliability
from sansio_sip.sip.limits import Limits
from sansio_sip.sip.policy import CallPolicy
from sansio_sip.sip.session_timer import MIN_SE
from sansio_sip.sip.uri import SipUri, parse_uri

from .ice_servers import IceServerUrl, TurnAccount
from .media_plane import MediaProfile
from .quality import QualityOptions

__all__ = ["AccountOptions", "Options", "SoftphoneOptions"]

CODECS = ("opus", "g722", "pcmu", "pcma")
DEFAULT_CODECS = ("opus", "pcmu", "pcma")
TRACKING = ("ALL", "NONE", "REMOTEONLY", "LOCALONLY")
REGIONS = ("usa_west", "usa_east", "australia", "europe", "asia", "south_america", "south_asia")
DTMF_TYPES = ("INBAND", "OUTBAND", "INFO")
COUNTRIES = ("au", "br", "ch", "cn", "de", "es", "fr", "in", "it", "jp", "nl", "ru", "uk", "us")
DEBUG_LEVELS = ("OFF", "ERROR", "WARN", "INFO", "DEBUG", "ALL")
ANY_ADDRESS = Address("0.0.0.0", 0)

# The reference's range for registrationRefreshTimer ends at a day; its lower end is for `Options` alone.
MIN_EXPIRES, MAX_EXPIRES = 5, 86_400
MIN_REFRESH = 60

# A flow more has less and less to add, and costs each server a binding.
MAX_FLOWS = 4
MAX_PER_MINUTE = 6000  # each call of the last minute is remembered


@dataclass(frozen=True, slots=True)
class SoftphoneOptions:
    """Of the phone as a whole.

    Attributes:
        close_timeout: seconds that `close` gives calls and registrations to end before it closes their flows.
        max_calls: calls at one time, both directions; more are refused (486).
    """

    close_timeout: float = 2.0
    max_calls: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.close_timeout <= 60:
            raise ValueError(f"close_timeout is {self.close_timeout!r}: allowed are seconds over 0 up to 60")
        if self.max_calls < 1:
            raise ValueError(f"max_calls is {self.max_calls!r}: allowed is 1 or more")


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """One identity of the phone.

    Attributes:
        address: address of record, `sip:alice@example.com`; `sip:` may be left out.
        password: for digest authentication.
        access_token: goes along with REGISTER and INVITE (`sansio_sip.auth`); `Softphone.set_access_token` changes it.
        username: digest user name where it is not the user part of the address.
        servers: URLs of the signalling server in order of preference: `wss://`, `ws://`, `tls://`, `tcp://`, `udp://`;
            or `sip:example.com`, `sips:example.com`, found by the DNS (RFC 3263). Empty: peer to peer over UDP.
        bind: local address and port of a UDP flow; the port is 0 for any.
        display_name: shown to those we call.
        expires: seconds asked for in REGISTER, 5 to 86400.
        profiles: media profiles accepted; the first is offered. Plain RTP must be named to be allowed.
        codecs: of `opus`, `g722`, `pcmu`, `pcma`, in order of preference.
        media_addresses: local IP addresses for media, and networks (`192.168.0.0/16`) whose addresses this host takes;
            empty: the one that signalling uses.
        stun_servers: `stun:host:port`, asked for our address as the world sees it; with WebRTC.
        turn_servers: `ice_servers.TurnAccount`s, asked to relay where nothing else helps, over UDP, TCP or TLS; with
            WebRTC.
        relay_only: WebRTC media goes by way of a relay alone, and the far end is told no address of ours.
        in_band_dtmf: keys are listened for in the sound too, where the far end takes no telephone-event.
        client_region: of the service, sent along with each INVITE; None: nothing is.
        allow_multiple_incoming: False answers 486 to a call that comes while there is another.
        policy: what a peer may make the phone do: REFER, 3xx, Replaces.
        outgoing_prefixes: what the user part of whom we call must begin with, one of these ("+49", "112"), whoever asks
            for the call; empty: anybody may be called.
        outgoing_per_minute: calls that may be placed within any 60 seconds, refused ones not counted; 0: no bound.
        reliability: of provisional responses (RFC 3262): "none", "supported" or "required".
        delayed_offer: calls go out without an offer: whoever answers makes it.
        session_expires: seconds without a sign of life after which a call ends (RFC 4028), 90 to 86400; 0: never.
        login_timeout: seconds for a server to grant or refuse a login.
        gruu: which URI of ours a call shows where the registrar gives us any (RFC 5627): "public", "temporary" (which
            does not say who we are), or "none".
        flows: how many signalling flows to keep at once, each registered, 1 to 4 (RFC 5626): to as many of the servers,
            or of those that the domain resolves to. When one is lost, the account and its calls go on by another.
        realms: whose challenges to answer besides the registrar's; "*": anybody's. See `sip.authorization`.
        digest_algorithms: of `sip.digest.ALGORITHMS`, those that may be used; without `MD5` no server can ask for it.
        recovery_timeout: seconds that an answered call may be without a way for its media, or without the address that
            it had, before it is given up; ICE is restarted meanwhile, again and again. 1 to 600.
        reconnect: seconds, base-time and max-time of RFC 5626 section 4.5, between tries to open the flow.
        reregister: the same between tries to register, after a login has succeeded once.
        limits: of single messages, and of the rate at which strangers may send them.
        ca_file: PEM file with the authorities to trust for TLS; None: the system's.
        tls_verify: False accepts any certificate. Never the default; each connection logs a warning.
    """

    address: str
    password: Secret = field(default_factory=lambda: Secret(""))
    access_token: Secret | None = None
    username: str | None = None
    servers: tuple[str, ...] = ()
    bind: Address = ANY_ADDRESS
    display_name: str | None = None
    expires: int = 120
    profiles: tuple[MediaProfile, ...] = (MediaProfile.WEBRTC,)
    codecs: tuple[str, ...] = DEFAULT_CODECS
    media_addresses: tuple[str, ...] = ()
    stun_servers: tuple[str, ...] = ()
    turn_servers: tuple[TurnAccount, ...] = ()
    relay_only: bool = False
    in_band_dtmf: bool = False
    client_region: str | None = None
    allow_multiple_incoming: bool = False
    policy: CallPolicy = field(default_factory=CallPolicy)
    outgoing_prefixes: tuple[str, ...] = ()
    outgoing_per_minute: int = 0
    reliability: Reliability = "supported"
    delayed_offer: bool = False
    session_expires: int = 1800
    login_timeout: float = 8.0
    gruu: Literal["public", "temporary", "none"] = "public"
    flows: int = 1
    realms: tuple[str, ...] = ()
    digest_algorithms: tuple[str, ...] = ALGORITHMS
    recovery_timeout: float = 30.0
    reconnect: tuple[float, float] = (2.0, 30.0)
    reregister: tuple[float, float] = (30.0, 1800.0)
    limits: Limits = field(default_factory=Limits)
    ca_file: str | None = None
    tls_verify: bool = True

    def __post_init__(self) -> None:
        # They would begin a header field of their own in whatever message they come to stand.
        for name in ("address", "username", "display_name", "servers", "realms", "ca_file"):
            value = getattr(self, name)
            if any(re.search(r"[\r\n\0]", text) for text in ((value,) if isinstance(value, str) else value or ())):
                raise ValueError(f"{name} holds a line break or NUL: allowed is one line of text")
        self.uri()
        if self.gruu not in ("public", "temporary", "none"):
            raise ValueError(f"gruu is {self.gruu!r}: allowed are public, temporary, none")
        if not self.digest_algorithms or any(name not in ALGORITHMS for name in self.digest_algorithms):
            raise ValueError(
                f"digest_algorithms is {self.digest_algorithms!r}: allowed are one or more of {', '.join(ALGORITHMS)}"
            )
        for name in ("reconnect", "reregister"):
            base, limit = getattr(self, name)
            if not 0.1 <= base <= limit <= 86_400:
                raise ValueError(f"{name} is {(base, limit)!r}: allowed are seconds, 0.1 <= base <= maximum <= 86400")
        self.server_urls()
        self._check_ice_servers()
        if self.client_region is not None and self.client_region not in REGIONS:
            raise ValueError(f"client_region is {self.client_region!r}: allowed are {', '.join(REGIONS)}")
        if self.reliability not in ("none", "supported", "required"):
            raise ValueError(f"reliability is {self.reliability!r}: allowed are none, supported, required")
        if self.session_expires and not MIN_SE <= self.session_expires <= MAX_EXPIRES:
            raise ValueError(
                f"session_expires is {self.session_expires!r}: allowed are 0 and {MIN_SE} to {MAX_EXPIRES} seconds"
            )
        if not MIN_EXPIRES <= self.expires <= MAX_EXPIRES:
            raise ValueError(f"expires is {self.expires!r}: allowed are {MIN_EXPIRES} to {MAX_EXPIRES} seconds")
        if not 1 <= self.flows <= MAX_FLOWS or (self.flows > 1 and not self.servers):
            raise ValueError(f"flows is {self.flows!r}: allowed are 1 to {MAX_FLOWS}, and 1 without a server")
        if not 0 < self.login_timeout <= 120:
            raise ValueError(f"login_timeout is {self.login_timeout!r}: allowed are seconds over 0 up to 120")
        if isinstance(self.outgoing_prefixes, str) or not all(self.outgoing_prefixes):
            raise ValueError(
                f"outgoing_prefixes is {self.outgoing_prefixes!r}: allowed is a tuple of texts, none empty"
            )
        if not 0 <= self.outgoing_per_minute <= MAX_PER_MINUTE:
            raise ValueError(f"outgoing_per_minute is {self.outgoing_per_minute!r}: allowed are 0 to {MAX_PER_MINUTE}")
        if not 1 <= self.recovery_timeout <= 600:
            raise ValueError(f"recovery_timeout is {self.recovery_timeout!r}: allowed are seconds, 1 to 600")
        if not self.profiles:
            raise ValueError("profiles is empty: allowed are one or more of MediaProfile")
        if not self.codecs or any(str(codec).lower() not in CODECS for codec in self.codecs):
            raise ValueError(f"codecs is {self.codecs!r}: allowed are one or more of {', '.join(CODECS)}")

    def _check_ice_servers(self) -> None:
        for text in self.stun_servers:
            try:
                IceServerUrl.parse(text, "stun")
            except ParseError as error:
                raise ValueError(f"stun_servers holds {text!r} ({error.reason}): allowed is stun:host:port") from None
        for text in (turn.url for turn in self.turn_servers):
            try:
                IceServerUrl.parse(text, "turn")
            except ParseError as error:
                allowed = "turn:host:port, with ?transport=tcp for TCP, and turns:host:port for TLS"
                raise ValueError(f"turn_servers holds {text!r} ({error.reason}): allowed are {allowed}") from None
        for network in (each for each in self.media_addresses if "/" in each):
            try:
                ip_network(network, strict=False)
            except ValueError:
                allowed = "IP addresses, and networks such as 192.168.0.0/16"
                raise ValueError(f"media_addresses holds {network!r}: allowed are {allowed}") from None
        if self.relay_only and not self.turn_servers:
            raise ValueError("relay_only is True: allowed where turn_servers names one")

    def uri(self) -> SipUri:
        """The address of record."""
        text = self.address if re.match(r"(?i)sips?:", self.address) else f"sip:{self.address}"
        try:
            uri = parse_uri(text)
        except ParseError as error:
            raise ValueError(f"address is {self.address!r} ({error.reason}): allowed is sip:user@host") from None
        if not isinstance(uri, SipUri) or uri.user is None:
            raise ValueError(f"address is {self.address!r}: allowed is sip:user@host")
        return uri

    def server_urls(self) -> tuple[ServerUrl, ...]:
        urls = []
        for text in self.servers:
            try:
                urls.append(ServerUrl.parse(text))
            except ParseError as error:
                raise ValueError(
                    f"servers holds {text!r} ({error.reason}): allowed are wss://, ws://, tls://, tcp://, udp:// URLs,"
                    " and sip:host"
                ) from None
        return tuple(urls)


@dataclass(frozen=True, slots=True)
class Options:
    """Of a `Client`: what its account has in common whoever logs in (reference: the constructor's options).

    Names of levels, codecs and ways are taken in upper and in lower case.

    Attributes:
        domain: of a user name that is given without one.
        servers: as in AccountOptions; at least one.
        registration_refresh_timer: seconds asked for in REGISTER, 60 to 86400 (reference: registrationRefreshTimer).
        allow_multiple_incoming_calls: several calls may ring at a time (reference: allowMultipleIncomingCalls).
        stop_auto_register_on_connect: `login` opens the connection alone, for `register` (reference:
            stopAutoRegisterOnConnect).
        debug: level of the log, one of OFF, ERROR, WARN, INFO, DEBUG, ALL (reference: debug).
        enable_tracking, enable_quality_tracking: what is told of quality (reference: enableTracking,
            enableQualityTracking): `ALL` and enable_tracking: statistics and mediaMetrics; `REMOTEONLY`: statistics;
            `LOCALONLY`: mediaMetrics; `NONE`: neither.
        quality: thresholds of mediaMetrics.
        feedback_url: http:// or https:// URL that feedback is posted to, as JSON; empty: there is none.
        enable_noise_reduction: whether `start_noise_reduction` may be used (reference: enableNoiseReduction).
        automatic_gain_control: what a microphone gives is brought to the level of speech.
        perm_on_click: the microphone is tried when a call needs it, and not at once (reference: permOnClick).
        client_region: sent along with each INVITE (reference: clientRegion).
        dtmf_options: how keys are sent (reference: dtmfOptions), one or more of `OUTBAND` (telephone-event, or else SIP
            INFO), `INBAND` (the sound itself) and `INFO` (SIP INFO whatever was negotiated). OUTBAND and INBAND:
            telephone-event, or else the sound.
        tone_country: ISO 3166, in lower case: whose network's tones are played.
        busy_tone: a call that fails is followed by a few seconds of that country's busy tone.
        codecs, profiles, display_name, bind, media_addresses, stun_servers, turn_servers, relay_only, flows,
            login_timeout, recovery_timeout, ca_file, tls_verify: as in AccountOptions.
    """

    domain: str
    servers: tuple[str, ...]
    registration_refresh_timer: int = 120
    allow_multiple_incoming_calls: bool = False
    stop_auto_register_on_connect: bool = False
    debug: str = "INFO"
    enable_tracking: bool = True
    enable_quality_tracking: str = "ALL"
    enable_noise_reduction: bool = False
    automatic_gain_control: bool = True
    perm_on_click: bool = False
    client_region: str | None = None
    dtmf_options: tuple[str, ...] = ("INBAND", "OUTBAND")
    tone_country: str = "us"
    busy_tone: bool = False
    feedback_url: str = ""
    stun_servers: tuple[str, ...] = ()
    turn_servers: tuple[TurnAccount, ...] = ()
    relay_only: bool = False
    quality: QualityOptions = field(default_factory=QualityOptions)
    codecs: tuple[str, ...] = DEFAULT_CODECS
    profiles: tuple[MediaProfile, ...] = (MediaProfile.WEBRTC,)
    display_name: str | None = None
    bind: Address = ANY_ADDRESS
    media_addresses: tuple[str, ...] = ()
    flows: int = 1
    login_timeout: float = 8.0
    recovery_timeout: float = 30.0
    ca_file: str | None = None
    tls_verify: bool = True

    def __post_init__(self) -> None:
        if not self.servers:
            raise ValueError("servers is empty: allowed are one or more wss://, ws:// or udp:// URLs")
        if self.feedback_url:
            try:
                HttpRequest("POST", self.feedback_url)
            except ValueError:
                raise ValueError(
                    f"feedback_url is {self.feedback_url!r}: allowed are http:// and https:// URLs"
                ) from None
        if str(self.enable_quality_tracking).upper() not in TRACKING:
            raise ValueError(
                f"enable_quality_tracking is {self.enable_quality_tracking!r}: allowed are {', '.join(TRACKING)}"
            )
        if not self.dtmf_options or any(str(each).upper() not in DTMF_TYPES for each in self.dtmf_options):
            raise ValueError(
                f"dtmf_options is {self.dtmf_options!r}: allowed are one or more of {', '.join(DTMF_TYPES)}"
            )
        if self.tone_country not in COUNTRIES:
            raise ValueError(f"tone_country is {self.tone_country!r}: allowed are {', '.join(COUNTRIES)}")
        if str(self.debug).upper() not in DEBUG_LEVELS:
            raise ValueError(f"debug is {self.debug!r}: allowed are {', '.join(DEBUG_LEVELS)}")
        if not MIN_REFRESH <= self.registration_refresh_timer <= MAX_EXPIRES:
            raise ValueError(
                f"registration_refresh_timer is {self.registration_refresh_timer!r}:"
                f" allowed are {MIN_REFRESH} to {MAX_EXPIRES} seconds"
            )
        try:
            uri = parse_uri(f"sip:user@{self.domain}")
        except ParseError:
            uri = None
        if not isinstance(uri, SipUri) or uri.port is not None or uri.parameters or uri.headers:
            raise ValueError(f"domain is {self.domain!r}: allowed is a host name or IP address")
        self.account("user", Secret(""))

    def account(self, username: str, password: Secret, access_token: Secret | None = None) -> AccountOptions:
        """The account of a user. Raises ValueError where no address can be made of the name."""
        return AccountOptions(
            address=username if "@" in username else f"{username}@{self.domain}",
            password=password,
            access_token=access_token,
            servers=self.servers,
            bind=self.bind,
            display_name=self.display_name,
            expires=self.registration_refresh_timer,
            profiles=self.profiles,
            codecs=self.codecs,
            media_addresses=self.media_addresses,
            stun_servers=self.stun_servers,
            turn_servers=self.turn_servers,
            relay_only=self.relay_only,
            in_band_dtmf=any(each.upper() == "INBAND" for each in self.dtmf_options),
            client_region=self.client_region,
            allow_multiple_incoming=self.allow_multiple_incoming_calls,
            flows=self.flows,
            login_timeout=self.login_timeout,
            recovery_timeout=self.recovery_timeout,
            ca_file=self.ca_file,
            tls_verify=self.tls_verify,
        )
