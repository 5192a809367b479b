"""The states that a phone, its account, its call and a client can be in, each reached by a real exchange."""

from collections.abc import Callable, Mapping
from typing import Any

from softphone.front_ends import WorldDriver, WorldRuntime
from softphone.phones import PBX, USERS, ClientPhone, Scene, context
from softphone.phones import Phone as FarPhone

from sansio_sip.effects import Address
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.softphone import AccountOptions, MediaProfile, Softphone
from sansio_sip.softphone.call_info import CallUuid
from sansio_sip_async import Account, Call, ClientHandle, Phone
from sansio_sip_media.engine import MediaEngine

__all__ = ["CLIENT_STATES", "PHONE_STATES", "ClientSetting", "PhoneSetting", "client_in", "phone_in"]

SERVER = f"ws://{PBX}:8080"


class PhoneSetting:
    """Alice's phone, as a program has it, with Bob and Carol at the far ends. `call` is the one in question, if any."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.bob: FarPhone = self.scene.phone("bob")
        self.carol: FarPhone = self.scene.phone("carol")
        for each in (self.bob, self.carol):
            each.login()
        self.runtime = WorldRuntime(self.scene)
        made = context(77)
        self.machine = Softphone(made, MediaEngine(made, None))
        self.phone = Phone(self.machine, self.runtime)
        self.scene.world.add("alice", self.machine, "10.0.0.77")
        self.phone.driver = self.driver = WorldDriver(self.runtime, "alice", self.phone.deliver)
        self.account: Account = self.phone.add_account(
            AccountOptions(
                address="alice@example.com",
                password=USERS["alice"],
                servers=(SERVER,),
                bind=Address("0.0.0.0", 5060),
                profiles=(MediaProfile.RTP,),
                codecs=("pcmu",),
                policy=CallPolicy(refer=Consent.ASK),
                allow_multiple_incoming=True,
            )
        )
        self.call: Call | None = None

    @property
    def uuid(self) -> CallUuid:
        """Of the call in question; of one that there never was."""
        return self.call.uuid if self.call is not None else CallUuid("no such call")

    def logged_in(self) -> None:
        self.runtime.run(self.account.login(), self.driver)

    def calling(self) -> None:
        self.logged_in()
        self.call = self.account.call("bob")

    def ringing_there(self) -> None:
        self.calling()
        self.scene.wait(1.0)

    def ringing_here(self) -> None:
        self.logged_in()
        self.bob.call("sip:alice@example.com")
        self.scene.wait(1.0)
        (self.call,) = self.phone.calls.values()

    def ignored(self) -> None:
        self.ringing_here()
        assert self.call is not None
        self.call.ignore()

    def answering(self) -> None:
        self.ringing_here()
        assert self.call is not None
        self.call.answer()

    def in_call(self) -> None:
        self.ringing_there()
        self.bob.do(self.bob.machine.answer, self.bob.only_call)
        self.scene.wait(1.0)

    def holding(self) -> None:
        self.in_call()
        self.phone.command("hold", self.uuid)

    def held(self) -> None:
        self.holding()
        self.scene.wait(1.0)

    def held_by_the_far_end(self) -> None:
        self.in_call()
        self.bob.do(self.bob.machine.hold, self.bob.only_call)
        self.scene.wait(1.0)

    def transferring(self) -> None:
        self.in_call()
        self.phone.command("transfer", self.uuid, "carol")

    def asked_to_transfer(self) -> None:
        self.in_call()
        self.bob.do(self.bob.machine.transfer, self.bob.only_call, "carol")
        self.scene.wait(1.0)

    def two_calls(self) -> None:
        self.in_call()
        self.account.call("carol")
        self.scene.wait(1.0)
        self.carol.do(self.carol.machine.answer, self.carol.only_call)
        self.scene.wait(1.0)

    def muted(self) -> None:
        self.in_call()
        self.phone.command("mute", self.uuid)

    def ended(self) -> None:
        self.in_call()
        self.bob.do(self.bob.machine.hangup, self.bob.only_call)
        self.scene.wait(1.0)

    def hanging_up(self) -> None:
        self.in_call()
        self.phone.command("hangup", self.uuid)

    def connecting(self) -> None:
        self.scene.world.cut("alice", "pbx")
        self.phone.command("login", self.account.id)

    def connected(self) -> None:
        self.runtime.run(self.account.connected(), self.driver)

    def registering(self) -> None:
        self.connected()
        self.phone.command("login", self.account.id)

    def disconnected(self) -> None:
        self.logged_in()
        self._lose()

    def disconnected_in_a_call(self) -> None:
        self.in_call()
        self._lose()

    def logging_out(self) -> None:
        self.logged_in()
        self.phone.command("logout", self.account.id)

    def closing(self) -> None:
        self.in_call()
        self.phone.command("close")

    def closed(self) -> None:
        self.closing()
        self.scene.wait(5.0)

    def _lose(self) -> None:
        self.scene.world.cut("alice", "pbx")
        self.scene.world.break_streams("alice")
        self.scene.wait(1.0)


class ClientSetting:
    """Alice's client, as a program has it, with Bob's and Carol's at the far ends."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.bob, self.carol = self.scene.users("bob", "carol", server=SERVER)
        self.runtime = WorldRuntime(self.scene)
        self.host: ClientPhone = self.scene.client(
            "alice", SERVER, allow_multiple_incoming_calls=True, enable_noise_reduction=True
        )
        self.machine = self.host.machine
        self.client = ClientHandle(self.machine, self.runtime)
        self.client.driver = self.driver = WorldDriver(self.runtime, self.host.name, self.client.deliver)

    def do(self, name: str, *args: Any) -> None:
        assert getattr(self.host, name)(*args) is not False, name

    def connecting(self) -> None:
        self.scene.world.cut(self.host.name, "pbx")
        self.do("login", "alice", USERS["alice"])

    def logged_in(self) -> None:
        self.do("login", "alice", USERS["alice"])
        self.scene.wait(1.0)

    def unregistered(self) -> None:
        self.logged_in()
        self.do("unregister")
        self.scene.wait(1.0)

    def ringing_here(self) -> None:
        self.logged_in()
        for each in (self.bob, self.carol):
            assert each.call("alice")
        self.scene.wait(1.0)

    def ringing_there(self) -> None:
        self.logged_in()
        self.do("call", "bob")
        self.scene.wait(1.0)

    def in_call(self) -> None:
        self.ringing_there()
        assert self.bob.answer()
        self.scene.wait(1.0)

    def in_call_and_ringing(self) -> None:
        self.in_call()
        assert self.carol.call("alice")
        self.scene.wait(1.0)

    def muted(self) -> None:
        self.in_call()
        self.do("mute")

    def ended(self) -> None:
        self.in_call()
        assert self.bob.hangup()
        self.scene.wait(1.0)

    def disconnected(self) -> None:
        self.logged_in()
        self._lose()

    def disconnected_in_a_call(self) -> None:
        self.in_call()
        self._lose()

    def logging_out(self) -> None:
        self.in_call()
        self.do("logout")

    def closed(self) -> None:
        self.in_call()
        self.do("close")
        self.scene.wait(5.0)

    def _lose(self) -> None:
        self.scene.world.cut(self.host.name, "pbx")
        self.scene.world.break_streams(self.host.name)
        self.scene.wait(1.0)


def _states(setting: type) -> Mapping[str, Callable[[Any], None]]:
    found = {
        name.replace("_", " "): method
        for name, method in vars(setting).items()
        if not name.startswith("_") and name not in ("uuid", "do")
    }
    return {"logged out": lambda setting: None, **found}


PHONE_STATES = _states(PhoneSetting)
CLIENT_STATES = _states(ClientSetting)


def phone_in(state: str) -> PhoneSetting:
    setting = PhoneSetting()
    PHONE_STATES[state](setting)
    return setting


def client_in(state: str) -> ClientSetting:
    setting = ClientSetting()
    CLIENT_STATES[state](setting)
    return setting
