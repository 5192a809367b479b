"""A client's commands about its login and its connection."""

import re
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from sansio_sip.auth import AccessToken, error_string, parse_access_token
from sansio_sip.context import Secret
from sansio_sip.errors import LocalProtocolError, ParseError
from sansio_sip.trace import recorded

from . import client_events, events
from .call_info import AccountId
from .client_core import ClientCore, Leaving, Timer
from .log_book import ERROR, INFO, WARNING
from .options import AccountOptions
from .softphone import SoftphoneOutput

__all__ = ["LoginCommands"]

INVALID_TOKEN, RELOGIN_FAILED = error_string(10001), "RELOGIN_FAILED_INVALID_TOKEN"

# A holder of a token is asked for no password; one that is not empty lets a registrar that asks all the same hear so.
NO_PASSWORD = Secret(" ")

ASK_BEFORE = 60.0  # seconds before a token expires at which the next one is asked for
MIN_ASK = 10.0  # seconds between two tokens: one that expires within ASK_BEFORE must not be asked for again at once
MAX_ASK = 86_400.0


class LoginCommands(ClientCore):
    """See `sansio_sip.softphone.Client`."""

    _token_request = 0
    _generating = False  # tokens come from a generator
    _token_claims: AccessToken | None = None
    _token_expires: float | None = None  # Unix time, by the server
    _connection_info: Mapping[str, str] = MappingProxyType({})

    # Variables

    @property
    def is_logged_in(self) -> bool:
        """From onLogin to onLogout (reference: isLoggedIn)."""
        return self._logged_in

    @property
    def user_name(self) -> str | None:
        """Who is logged in, or being so (reference: userName)."""
        return self._username if self._account is not None else None

    @property
    def connection_info(self) -> dict[str, str]:
        """The last news of the connection, `state` and `reason` (reference: connectionInfo); empty before any."""
        return dict(self._connection_info)

    # Commands

    def login(self, username: str | None, password: str | Secret | None, *, now: float) -> bool:
        """Registers a user (reference: login). Gives Login or LoginFailed.

        Args:
            username: a name at `Options.domain`, or a whole address; `sip:` may stand before it.

        Returns:
            False where nothing was begun; a LoginFailed event says why.
        """
        # A password in an argument would be written into a trace.
        secret = password if isinstance(password, Secret) else Secret(password or "")
        return self.login_with_secret(username or "", secret, now=now)

    @recorded
    def login_with_secret(self, username: str, password: Secret, *, now: float) -> bool:
        """`login`, with the password as a `Secret`."""
        username = re.sub(r"(?i)^sips?:", "", username.strip())
        if self._is_at_it("login", now):
            return True
        if self._logged_in and username == self._username and self._token is None and self._connected():
            self._log(WARNING, f"login: {username} is logged in already", now)
            return True
        if not username or not password.reveal():
            return self._refuse_login("Username and password must be filled out", now)
        self._stop_generating()
        return self._begin_login(username, password, None, now)

    def login_with_access_token(self, access_token: str | Secret | None, *, now: float) -> bool:
        """Registers the holder of an access token (reference: loginWithAccessToken). Gives Login or LoginFailed.

        Returns:
            False where nothing was begun: it is no token, or lacks a claim.
        """
        secret = access_token if isinstance(access_token, Secret) else Secret(access_token or "")
        return self.login_with_token_secret(secret, now=now)

    @recorded
    def login_with_token_secret(self, access_token: Secret, *, now: float) -> bool:
        """`login_with_access_token`, with the token as a `Secret`."""
        self._stop_generating()
        return self._login_with_token(access_token, now)

    @recorded
    def login_with_access_token_generator(self, *, now: float) -> bool:
        """Registers by tokens that are asked for as they are needed (reference: loginWithAccessTokenGenerator).

        Gives TokenRequested, now and 60 s before each token expires. A front end with an event loop takes the
        generator itself, and answers with what it returns.
        """
        if self._is_at_it("login_with_access_token_generator", now):
            return True
        self._stop_generating()
        self._generating = True
        self._ask_for_token(now)
        return True

    @recorded
    def token_provided(self, request: int, access_token: Secret, *, now: float) -> None:
        """The token that `TokenRequested` asks for; one for an earlier request is passed over."""
        if request != self._token_request or not self._generating:
            return
        claims = self._claims(access_token)
        if claims is None:
            self._no_token("the generator gave no access token", now)
        elif self._account is not None and self._token is not None:
            self._token, self._token_claims = access_token, claims
            self._phone.set_access_token(self._account, access_token, now=now)
            self._arm_token(claims, now)
            self._drain(now)
        elif self._login_with_token(access_token, now):
            self._arm_token(claims, now)

    @recorded
    def token_failed(self, request: int, reason: str, *, now: float) -> None:
        """There is no token for `TokenRequested`."""
        if request == self._token_request and self._generating:
            self._no_token(reason, now)

    @recorded
    def logout(self, *, now: float) -> bool:
        """Ends the call, un-registers and disconnects (reference: logout). Gives Logout.

        It holds while the connection is down, too: the client does not come back by itself.

        Returns:
            False where nobody is logged in.
        """
        if self._account is None or not (self._logged_in or self._connected()) or self._logging_in:
            return self._cannot("logout", "nobody is logged in; log in first", now)
        self._stop_generating()
        self._leave(Leaving.LOGOUT, now)
        return True

    @recorded
    def register(self, *, now: float) -> bool:
        """Registers on the connection there is (reference: register). Gives Login.

        Returns:
            False where there is no connection, or a binding already.
        """
        if self._account is None or not self._connected():
            return self._cannot("register", "there is no connection to the server; log in first", now)
        if self._logged_in or self._logging_in:
            return self._cannot(
                "register", f"{self._username} is registered already, or about to be; unregister first", now
            )
        try:
            self._phone.login(self._account, now=now)
        except LocalProtocolError as error:
            return self._cannot("register", str(error), now)
        self._logging_in = True
        self._drain(now)
        return True

    @recorded
    def unregister(self, *, now: float) -> bool:
        """Un-registers and stays connected; a call goes on (reference: unregister). Gives Unregistered.

        Returns:
            False where there is no binding.
        """
        if self._account is None or not self.is_registered():
            return self._cannot("unregister", "there is no registration; log in or register first", now)
        try:
            self._phone.unregister(self._account, now=now)
        except LocalProtocolError as error:
            return self._cannot("unregister", str(error), now)
        self._leaving = Leaving.UNREGISTER
        self._drain(now)
        return True

    @recorded
    def disconnect(self, *, now: float) -> bool:
        """Un-registers, then closes the connection; a call is hung up (reference: disconnect). Gives ConnectionChange.

        Returns:
            False where there is no connection.
        """
        if self._account is None or not self._connected():
            return self._cannot("disconnect", "there is no connection; log in first", now)
        self._stop_generating()
        if self._logged_in or self._logging_in:
            self._leave(Leaving.DISCONNECT, now)
        else:
            self._gone(self._account, now)
            self._drain(now)
        return True

    # Questions

    def is_connected(self) -> bool:
        """Whether the signalling flow is up (reference: isConnected)."""
        return self._connected()

    def is_connecting(self) -> bool:
        """Whether the signalling flow is being opened (reference: isConnecting)."""
        return self._account is not None and self._phone.is_connecting(self._account)

    def is_registered(self) -> bool:
        """Whether a binding is granted (reference: isRegistered)."""
        return self._account is not None and self._logged_in and self._phone.is_registered(self._account)

    def get_contact_uri(self) -> str | None:
        """The URI at which this client, of all those of its user, is reached (reference: getContactUri)."""
        return self._phone.contact_uri(self._account) if self._account is not None else None

    def get_error_string_by_error_codes(self, code: int) -> str:
        """The name of a token error (reference: getErrorStringByErrorCodes)."""
        return error_string(code)

    def get_token_expiry_time_in_epoch(self) -> int | None:
        """When the access token ends, Unix time in ms (reference: getTokenExpiryTimeInEpoch); None without one."""
        if self._token is None:
            return None
        expires = self._token_expires or (self._token_claims.expires if self._token_claims is not None else None)
        return int(expires * 1000) if expires is not None else None

    # Inside

    def _begin_login(self, username: str, password: Secret, token: Secret | None, now: float) -> bool:
        if self._active is not None:
            return self._refuse_login("Cannot login when there is an ongoing call", now)
        try:
            options: AccountOptions = self._options.account(username, password, token)
        except ValueError as error:
            self._log(ERROR, f"login: {error}", now)
            return self._refuse_login("Failed to create user agent", now)
        if self._account is not None:
            if self._logged_in:
                self._leave(Leaving.LOGOUT, now)
            else:
                self._gone(self._account, now)
                self._drain(now)
        try:
            account = self._phone.add_account(options, now=now)
        except LocalProtocolError as error:
            return self._cannot("login", str(error), now)
        self._account, self._username, self._token = account, username, token
        self._logged_in, self._leaving = False, Leaving.NOT
        self._token_expires = None
        if token is None:
            self._token_claims = None
        if self._options.stop_auto_register_on_connect:
            self._phone.connect(account, now=now)
        else:
            self._logging_in = True
            self._phone.login(account, now=now)
        self._drain(now)
        return True

    def _login_with_token(self, token: Secret, now: float) -> bool:
        if self._is_at_it("login_with_access_token", now):
            return True
        claims = self._claims(token)
        if claims is None:
            return self._refuse_login(INVALID_TOKEN, now)
        username = claims.username(now + self._context.unix_offset)
        same = claims.subject and self._token is not None and username.split("@")[0] == self._username
        if same and self._logged_in and self._connected() and self._account is not None:
            # Nothing is torn down: the new token is shown on the connection there is.
            self._token, self._token_claims = token, claims
            self._phone.set_access_token(self._account, token, now=now)
            self._drain(now)
            return True
        self._token_claims = claims
        return self._begin_login(username, NO_PASSWORD, token, now)

    def _claims(self, token: Secret) -> AccessToken | None:
        def read() -> AccessToken | None:
            try:
                return parse_access_token(token.reveal())
            except ParseError:
                return None

        return self._context.oracle.consult("access_token_claims", read)

    def _is_at_it(self, command: str, now: float) -> bool:
        connecting = self._account is not None and self._options.stop_auto_register_on_connect and self.is_connecting()
        if self._logging_in or connecting:
            self._log(WARNING, f"{command}: {self._username} is being logged in already; wait for onLogin", now)
            return True
        return False

    def _leave(self, how: Leaving, now: float) -> None:
        """Logs out whoever is logged in. The account goes when `Logout` comes."""
        if self._account is None or self._leaving in (Leaving.LOGOUT, Leaving.DISCONNECT):
            return
        before, self._leaving = self._leaving, how
        if before is Leaving.NOT and (self._logged_in or self._logging_in):
            with suppress(LocalProtocolError):  # the client is closing: the binding goes already
                self._phone.logout(self._account, now=now)
        elif before is Leaving.NOT:
            account = self._account
            self._gone(account, now)
            self._drain(now)
            if how is Leaving.LOGOUT:
                self._outbox.put(events.Logout(account))
        self._drain(now)

    def _refuse_login(self, cause: str, now: float) -> bool:
        self._outbox.put(events.LoginFailed(self._account or AccountId(""), cause))
        self._log(INFO, f"onLoginFailed: {cause}", now)
        return False

    # The generator

    def _ask_for_token(self, now: float) -> None:
        self._token_request += 1
        self._outbox.put(client_events.TokenRequested(self._token_request))

    def _arm_token(self, claims: AccessToken, now: float) -> None:
        left = claims.expires - (now + self._context.unix_offset) - ASK_BEFORE
        self._timers.arm(Timer.TOKEN, now + min(MAX_ASK, max(MIN_ASK, left)))

    def _no_token(self, reason: str, now: float) -> None:
        self._log(ERROR, f"access token: {reason}", now)
        if self._logged_in:
            # The one in use may still hold: it is asked for again before it is over.
            self._timers.arm(Timer.TOKEN, now + MIN_ASK)
            return
        self._stop_generating()
        self._refuse_login(INVALID_TOKEN, now)

    def _stop_generating(self) -> None:
        self._generating = False
        self._timers.cancel(Timer.TOKEN)

    def _note(self, output: SoftphoneOutput, now: float) -> bool:
        match output:
            case events.Login() if output.account == self._account:
                self._token_expires = output.token_expires
            case events.ConnectionChange() if self._account in (None, output.account):  # None: it has just been left
                self._connection_info = {"state": output.state, "reason": output.event_reason or ""}
            case events.LoginFailed() if output.account == self._account and self._generating and output.code:
                self._stop_generating()
                super()._note(output, now)
                self._outbox.put(events.LoginFailed(output.account, RELOGIN_FAILED, output.status, output.code))
                return False
            case events.LoginFailed() | events.Logout() if output.account == self._account:
                if self._leaving is not Leaving.UNREGISTER:
                    self._stop_generating()
            case _:
                pass
        return super()._note(output, now)

    def _on_timer(self, timer: Timer, now: float) -> None:
        if timer is Timer.TOKEN:
            self._ask_for_token(now)
        else:
            super()._on_timer(timer, now)
