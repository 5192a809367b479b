"""Which devices there are and which are chosen, without a client."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.softphone.devices import DEFAULT, MAX_DEVICES, AudioDevice, DeviceBook, Role

DEVICES = st.lists(
    st.builds(AudioDevice, st.sampled_from([DEFAULT, "a", "b", "c"]), st.sampled_from(["audioinput", "audiooutput"])),
    unique=True,
    max_size=8,
).map(tuple)


@settings(max_examples=100)
@given(before=DEVICES, after=DEVICES, role=st.sampled_from(Role), chosen=st.sampled_from(["a", "b", DEFAULT, ""]))
def test_what_is_used_is_there_or_the_default(
    before: tuple[AudioDevice, ...], after: tuple[AudioDevice, ...], role: Role, chosen: str
) -> None:
    book = DeviceBook()
    assert book.replace(before) == (before, ())
    if chosen:
        book.choose(role, chosen)
    added, removed = book.replace(after)
    assert set(before) - set(removed) | set(added) == set(after)
    dropped = book.drop_choices()
    used = book.device_for(role)
    if not any(device.kind == role.kind for device in after):
        assert used is None
    else:
        assert used == DEFAULT or book.find(role.kind, used or "") is not None
    assert (role, chosen) not in dropped or book.chosen(role) == ""


def test_devices_are_bounded() -> None:
    book = DeviceBook()
    book.replace(tuple(AudioDevice(str(number), "audioinput") for number in range(MAX_DEVICES + 50)))
    assert len(book.devices) == MAX_DEVICES
    assert book.remove("audioinput", "7") == AudioDevice("7", "audioinput")
    assert book.remove("audioinput", "7") is None
