"""What `call` does in the middle of a call, in virtual time: its plan against whole phones and a server."""

from simulation.phones import DOMAIN, SIP_UDP, USERS, Network

from sansio_sip.effects import Address
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.softphone import events
from sansio_sip.softphone.call_info import CallUuid
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.softphone.options import AccountOptions
from sansio_sip.softphone.softphone import Softphone
from sansio_sip_cli.call_plan import CallPlan
from sansio_sip_cli.exit_status import DONE, FAILED
from sansio_sip_cli.later_steps import LaterSteps
from sansio_sip_cli.scripted_phone import Finished, ScriptedPhone
from sansio_sip_media.engine import MediaEngine


class Scene:
    """Alice runs the command; bob answers; carol is somebody else."""

    def __init__(self, steps: LaterSteps, *, duration: float | None = None, consent: Consent = Consent.ALLOW) -> None:
        self.network = Network(1)
        self.bob = self.network.phone("bob", policy=CallPolicy(refer=consent))
        self.carol = self.network.phone("carol")
        assert self.bob.login()
        assert self.carol.login()
        context = self.network.context("alice", "softphone", {})
        options = AccountOptions(
            f"sip:alice@{DOMAIN}",
            password=USERS["alice"],
            servers=(SIP_UDP,),
            bind=Address("0.0.0.0", 5060),
            profiles=(MediaProfile.RTP,),
            codecs=("pcmu",),
        )
        plan = CallPlan(options, "bob", duration=duration, steps=steps)
        self.alice = ScriptedPhone(Softphone(context, MediaEngine(context, None)), plan)
        self.network.world.add("alice", self.alice, "10.0.0.1")

    def said(self, *kinds: type) -> list[object]:
        return list(self.network.world.outputs("alice", *kinds))

    def run(self) -> Finished:
        answered: set[CallUuid] = set()

        def answer() -> bool:
            for phone in (self.bob, self.carol):
                for event in phone.said(events.IncomingCall):
                    if event.call not in answered:
                        answered.add(event.call)
                        phone.answer(event.call)
            return bool(self.said(Finished))

        assert self.network.wait(answer, 60.0)
        (finished,) = self.said(Finished)
        assert isinstance(finished, Finished)
        return finished


def test_hold_and_resume_then_the_call_ends_as_told() -> None:
    scene = Scene(LaterSteps(hold_after=1.0, hold_for=2.0), duration=6.0)
    assert scene.run() == Finished(DONE)
    log = [row for row in scene.network.world.log if row.host == "alice"]
    (answered,), (held,), (resumed,) = (
        [row.time for row in log if isinstance(row.output, kind)]
        for kind in (events.CallAnswered, events.CallHeld, events.CallResumed)
    )
    assert 1.0 <= held - answered < 1.5
    assert 2.0 <= resumed - held < 2.5
    assert len(scene.bob.said(events.RemoteHold)) == len(scene.bob.said(events.RemoteResumed)) == 1


def test_without_a_duration_the_call_lasts_until_it_was_taken_back() -> None:
    scene = Scene(LaterSteps(hold_after=1.0, hold_for=2.0))
    assert scene.run() == Finished(DONE)
    assert scene.said(events.CallResumed)


def test_a_transfer_has_the_far_end_call_somebody_else_and_ends_the_call() -> None:
    scene = Scene(LaterSteps(transfer_to="carol", transfer_after=1.0), duration=30.0)
    assert scene.run() == Finished(DONE)
    assert len(scene.said(events.TransferCompleted)) == 1
    assert [info.dest for info in scene.bob.machine.calls()] == [f"sip:carol@{DOMAIN}"]


def test_a_transfer_that_is_refused_fails_the_command() -> None:
    scene = Scene(LaterSteps(transfer_to="carol"), consent=Consent.REFUSE)
    finished = scene.run()
    assert finished.exit_status == FAILED
    assert "transfer to carol failed" in finished.error
    assert "603" in finished.error
