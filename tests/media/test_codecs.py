"""G.711 against the ITU-T's tables; Opus through both libraries; concealment and FEC against silence."""

import json
import random
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import require_shared

from sansio_sip.context import Context, Disclosure, Entropy, Private
from sansio_sip_media.codecs import CODECS, Decoder, OpusSettings, make_decoder, make_encoder
from sansio_sip_media.codecs import libopus as libopus_module
from sansio_sip_media.codecs import opus as opus_module
from sansio_sip_media.codecs.g711 import decode_table, encode_table
from sansio_sip_media.codecs.libopus import LibOpusDecoder, LibOpusEncoder, load
from sansio_sip_media.codecs.opus import OpusDecoder, payload_duration
from sansio_sip_media.codecs.pyav_opus import PyAvDecoder, PyAvEncoder
from sansio_sip_media.jitter_buffer import Frame
from sansio_sip_media.likeness import likeness
from sansio_sip_media.playout import decode_frame
from sansio_sip_media.resample import Resampler
from sansio_sip_media.wav import read_wav

SPEECH = Path(__file__).resolve().parents[2] / "apps" / "sansio_sip_cli" / "speech" / "alice.wav"

Int16 = npt.NDArray[np.int16]

needs_libopus = pytest.mark.skipif(load() is None, reason="libopus was found neither in PyAV's wheel nor in the system")

BACKENDS = [
    pytest.param(LibOpusEncoder, LibOpusDecoder, id="libopus", marks=needs_libopus),
    pytest.param(PyAvEncoder, PyAvDecoder, id="pyav"),
]


def context() -> Context:
    return Context(Entropy(random.Random(1)))


@cache
def speech(seconds: float, rate: int) -> Int16:
    """The voice that comes with the command; int16, shape (n,)."""
    samples, own_rate = read_wav(SPEECH.read_bytes())
    return Resampler(own_rate, rate).process(samples[: round(seconds * own_rate)])


def frames(samples: Int16, size: int) -> list[Int16]:
    return [samples[start : start + size] for start in range(0, len(samples) - size + 1, size)]


# G.711


@pytest.mark.parametrize(("law", "key"), [("pcmu", "ulaw"), ("pcma", "alaw")])
def test_every_code_of_g711_is_the_itus(law: str, key: str) -> None:
    tables: dict[str, Any] = json.loads(require_shared("corpus/07-rtp-srtp/g711.json").read_text())
    assert decode_table(law).tolist() == tables[f"{key}_decode"]
    expected = np.zeros(65536, dtype=np.uint8)
    runs = tables[f"{key}_encode_runs"]
    for (first, code), (after, _) in zip(runs, [*runs[1:], (32768, 0)], strict=True):
        expected[np.arange(first, after) & 0xFFFF] = code
    assert np.array_equal(encode_table(law), expected)


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_g711_codes_survive_decoding_and_encoding(law: str) -> None:
    codes = np.arange(256)
    again = encode_table(law)[decode_table(law).view(np.uint16)]
    # The two zeros of the mu-law are one sample.
    expected = np.where(codes == 0x7F, 0xFF, codes) if law == "pcmu" else codes
    assert np.array_equal(again, expected)


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_g711_keeps_38_db_to_its_noise(law: str) -> None:
    sine = (12_000 * np.sin(2 * np.pi * 1020 * np.arange(8000) / 8000)).astype(np.int16)
    encoder, decoder = make_encoder(law, context()), make_decoder(law.upper(), context())
    heard = np.concatenate([decoder.decode(encoder.encode(frame)) for frame in frames(sine, 160)])
    noise = heard.astype(float) - sine
    assert 10 * np.log10(np.mean(np.square(sine, dtype=float)) / np.mean(np.square(noise))) > 37


# Either codec


@pytest.mark.parametrize("name", CODECS)
def test_what_is_said_is_heard(name: str) -> None:
    encoder, decoder = make_encoder(name, context()), make_decoder(name, context())
    assert (encoder.clock_rate, encoder.frame) == (decoder.clock_rate, decoder.frame)
    assert encoder.sample_rate == decoder.sample_rate == 50 * encoder.frame
    said = speech(8.5, encoder.sample_rate)
    heard = []
    for frame in frames(said, encoder.frame):
        payload = encoder.encode(frame)
        assert decoder.duration(payload) == encoder.clock_rate // 50
        heard.append(decoder.decode(payload))
        assert heard[-1].shape == (encoder.frame,)
        assert heard[-1].dtype == np.int16
    assert likeness(said, np.concatenate(heard), encoder.sample_rate).same


@pytest.mark.parametrize("name", CODECS)
def test_a_frame_of_another_shape_is_refused(name: str) -> None:
    encoder = make_encoder(name, context())
    for wrong in (np.zeros(encoder.frame - 1, np.int16), np.zeros(encoder.frame, np.float32)):
        with pytest.raises(ValueError, match="a frame of"):
            encoder.encode(wrong)  # type: ignore[arg-type]


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(ValueError, match="'g729'"):
        make_encoder("g729", context())
    with pytest.raises(ValueError, match="'g729'"):
        make_decoder("g729", context())


@pytest.mark.parametrize("name", CODECS)
@given(payloads=st.lists(st.none() | st.binary(max_size=80), max_size=6))
@settings(max_examples=25, deadline=None)
def test_no_payload_raises(name: str, payloads: list[bytes | None]) -> None:
    decoder = make_decoder(name, context())
    for payload in payloads:
        samples = decoder.decode(payload)
        assert samples.dtype == np.int16
        assert 0 < len(samples) <= 5760
        if payload is not None:
            assert decoder.duration(payload) > 0
    assert decoder.errors <= len(payloads)


def test_a_payload_that_is_no_opus_counts_and_is_made_up() -> None:
    decoder = make_decoder("opus", context())
    assert len(decoder.decode(b"\xff\xff\xff")) == 960
    assert len(decoder.decode(b"")) == 960
    assert decoder.errors == 2


def test_a_payload_that_is_no_voice_packet_counts_and_is_made_up() -> None:
    decoder = make_decoder("pcmu", context())
    assert len(decoder.decode(b"")) == 160
    assert len(decoder.decode(bytes(2000))) == 160
    assert decoder.errors == 2


# Opus


@pytest.mark.parametrize(
    ("payload", "units"),
    [
        pytest.param("", 0, id="empty"),
        pytest.param("08", 960, id="SILK NB 20 ms"),
        pytest.param("18", 2880, id="SILK NB 60 ms"),
        pytest.param("00", 480, id="SILK NB 10 ms"),
        pytest.param("68", 960, id="hybrid SWB 20 ms"),
        pytest.param("60", 480, id="hybrid SWB 10 ms"),
        pytest.param("80", 120, id="CELT NB 2.5 ms"),
        pytest.param("98", 960, id="CELT NB 20 ms"),
        pytest.param("f8", 960, id="CELT FB 20 ms"),
        pytest.param("f9", 1920, id="two frames of equal size"),
        pytest.param("fa", 1920, id="two frames"),
        pytest.param("fb03", 2880, id="three frames"),
        pytest.param("fb", 0, id="no count"),
        pytest.param("fb07", 0, id="more than 120 ms"),
    ],
)
def test_the_first_octets_tell_how_long_a_packet_lasts(payload: str, units: int) -> None:
    """RFC 6716 section 3.1."""
    assert payload_duration(bytes.fromhex(payload)) == units


@pytest.mark.parametrize(("encoder_type", "decoder_type"), BACKENDS)
def test_each_library_carries_voice(encoder_type: Callable[..., Any], decoder_type: Callable[..., Any]) -> None:
    said = speech(8.5, 48_000)
    encoder, decoder = encoder_type(OpusSettings()), decoder_type()
    payloads = [encoder.encode(frame.tobytes()) for frame in frames(said, 960)]
    heard = np.concatenate([decoder.decode(payload, None) for payload in payloads])
    assert likeness(said, heard, 48_000).same
    assert 8 * sum(map(len, payloads)) / 8.5 == pytest.approx(32_000, rel=0.25)


@pytest.mark.parametrize(("encoder_type", "decoder_type"), BACKENDS)
def test_each_library_understands_the_other(encoder_type: Callable[..., Any], decoder_type: Callable[..., Any]) -> None:
    said = speech(8.5, 48_000)
    encoder = encoder_type(OpusSettings())
    others: list[Any] = [LibOpusDecoder(), PyAvDecoder()] if load() is not None else [PyAvDecoder()]
    payloads = [encoder.encode(frame.tobytes()) for frame in frames(said, 960)]
    for other in others:
        assert likeness(said, np.concatenate([other.decode(each, None) for each in payloads]), 48_000).same


@pytest.mark.parametrize(("encoder_type", "decoder_type"), BACKENDS)
def test_each_library_refuses_what_is_no_packet_and_goes_on(
    encoder_type: Callable[..., Any], decoder_type: Callable[..., Any]
) -> None:
    encoder, decoder = encoder_type(OpusSettings()), decoder_type()
    good = encoder.encode(speech(0.02, 48_000).tobytes())
    assert len(decoder.decode(good, None)) == 960
    assert decoder.decode(b"\xff\xff\xff", None) is None
    assert len(decoder.decode(good, None)) == 960


@pytest.mark.parametrize(("encoder_type", "decoder_type"), BACKENDS)
def test_made_up_frames_fade_to_nothing(encoder_type: Callable[..., Any], decoder_type: Callable[..., Any]) -> None:
    encoder, decoder = encoder_type(OpusSettings()), decoder_type()
    for frame in frames(speech(0.5, 48_000), 960):
        decoder.decode(encoder.encode(frame.tobytes()), None)
    levels = [float(np.abs(decoder.decode(None, None).astype(int)).mean()) for _ in range(15)]
    assert levels[0] > 50
    assert levels[-1] < 0.1 * levels[0]


def error_of(truth: Int16, heard: Int16) -> float:
    """Mean square error in dB relative to the signal."""
    difference = heard.astype(float) - truth
    return float(10 * np.log10(np.mean(np.square(difference)) / np.mean(np.square(truth, dtype=float))))


def colour_error(truth: Int16, heard: Int16, rate: int) -> float:
    """Mean difference in dB between the spectra of 20 ms, in bands of 200 Hz up to 3.4 kHz: what the ear goes by."""

    def bands(samples: Int16) -> npt.NDArray[np.float64]:
        windows = samples[: len(samples) - len(samples) % (rate // 50)].reshape(-1, rate // 50) * np.hanning(rate // 50)
        power = np.square(np.abs(np.fft.rfft(windows)))[:, :68].reshape(len(windows), 17, 4).sum(axis=2)
        return np.asarray(10 * np.log10(power / rate + 1e4))

    return float(np.abs(bands(truth) - bands(heard)).mean())


@pytest.mark.parametrize("name", CODECS)
def test_concealment_is_nearer_to_the_voice_than_silence(name: str) -> None:
    encoder, decoder, mute = make_encoder(name, context()), make_decoder(name, context()), make_decoder(name, context())
    said = speech(8.5, encoder.sample_rate)
    draw = random.Random(2)
    concealed, silent, whole, lost = [], [], [], []
    reference = make_decoder(name, context())
    for index, frame in enumerate(frames(said, encoder.frame)):
        payload = encoder.encode(frame)
        whole.append(reference.decode(payload))
        if draw.random() < 0.1:
            lost.append(index)
            concealed.append(decoder.decode(None))
            silent.append(np.zeros(encoder.frame, np.int16))
        else:
            concealed.append(decoder.decode(payload))
            silent.append(mute.decode(payload))
    truth, better, worse = (np.concatenate([each[index] for index in lost]) for each in (whole, concealed, silent))
    assert colour_error(truth, better, encoder.sample_rate) < 0.6 * colour_error(truth, worse, encoder.sample_rate)


@needs_libopus
def test_a_copy_in_the_next_packet_is_nearer_to_the_voice_than_concealment() -> None:
    """In-band FEC, RFC 6716 section 2.1.7."""
    encoder = make_encoder("opus", context(), OpusSettings(bitrate=32_000, expected_loss=20))
    said = speech(8.5, 48_000)
    payloads = [encoder.encode(frame) for frame in frames(said, 960)]
    reference, corrected, concealed = (make_decoder("opus", context()) for _ in range(3))
    truth, with_copy, without = [], [], []
    for index, payload in enumerate(payloads):
        truth.append(reference.decode(payload))
        if index % 10 == 5:
            with_copy.append(corrected.decode(None, payloads[index + 1]))
            without.append(concealed.decode(None))
        else:
            with_copy.append(corrected.decode(payload))
            without.append(concealed.decode(payload))
    whole = np.concatenate(truth)
    assert error_of(whole, np.concatenate(with_copy)) < error_of(whole, np.concatenate(without)) - 3.0


def test_without_the_c_library_pyav_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sansio_sip_media.codecs.opus.libopus.load", lambda: None)
    encoder, decoder = make_encoder("opus", context()), make_decoder("opus", context())
    said = speech(8.5, 48_000)
    heard = np.concatenate([decoder.decode(encoder.encode(frame)) for frame in frames(said, 960)])
    assert likeness(said, heard, 48_000).same
    assert len(decoder.decode(None)) == 960
    assert isinstance(decoder, OpusDecoder)
    assert isinstance(decoder._backend, PyAvDecoder)


def test_the_systems_library_serves_where_the_wheel_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr("sansio_sip_media.codecs.libopus.metadata.files", none)
    library = load.__wrapped__()
    if library is None:
        pytest.skip("the system has no libopus")
    monkeypatch.setattr(libopus_module, "load", lambda: library)
    said = speech(8.5, 48_000)
    encoder, decoder = LibOpusEncoder(OpusSettings()), LibOpusDecoder()
    heard: list[Any] = [decoder.decode(encoder.encode(frame.tobytes()), None) for frame in frames(said, 960)]
    assert likeness(said, np.concatenate(heard), 48_000).same
    concealed = decoder.decode(None, None)
    assert concealed is not None
    assert concealed.shape == (960,)


def test_without_any_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libopus_module, "_candidates", lambda: ["no-such-library.so"])
    assert load.__wrapped__() is None
    monkeypatch.setattr(libopus_module, "load", lambda: None)
    with pytest.raises(RuntimeError, match="install PyAV from its wheel"):
        LibOpusDecoder()


@needs_libopus
def test_settings_that_libopus_refuses_are_named() -> None:
    with pytest.raises(ValueError, match="refused 11"):
        LibOpusEncoder(OpusSettings(complexity=11))


class Tape:
    """An oracle that writes down, and one that answers from what was written."""

    def __init__(self, rows: list[tuple[str, tuple[object, ...], object]] | None = None) -> None:
        self.replays = rows is not None
        self.rows = rows if rows is not None else []
        self._next = iter(list(self.rows))

    def consult(
        self, name: str, compute: Callable[[], Any], *inputs: object, disclosure: Disclosure = Disclosure.PLAIN
    ) -> Any:
        assert disclosure is Disclosure.PRIVATE
        if self.replays:
            recorded, asked, result = next(self._next)
            assert (recorded, asked) == (name, inputs)
            return result
        result = compute()
        self.rows.append((name, inputs, result))
        return result


def test_a_recorded_run_comes_again_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(tape: Tape) -> list[bytes]:
        own = Context(Entropy(random.Random(1)), tape)
        encoder, decoder = make_encoder("opus", own), make_decoder("opus", own)
        heard = []
        for index, frame in enumerate(frames(speech(0.5, 48_000), 960)):
            payload = encoder.encode(frame)
            assert isinstance(payload, Private)
            heard.append(decoder.decode(None if index == 7 else payload).tobytes())
        heard.append(decoder.decode(b"\xff\xff\xff").tobytes())
        return heard

    tape = Tape()
    first = run(tape)
    assert {name for name, _, _ in tape.rows} == {"opus.encode", "opus.decode"}

    def refuse(*_: object) -> None:
        raise AssertionError("a replay must not touch the library")

    monkeypatch.setattr(opus_module, "_encoder_backend", refuse)
    monkeypatch.setattr(opus_module, "_decoder_backend", refuse)
    assert run(Tape(tape.rows)) == first


# From a frame of the jitter buffer to sound


class Counting:
    """A decoder that gives its payload's first octet, and remembers what it was asked."""

    sample_rate, clock_rate, frame, errors = 8_000, 8_000, 160, 0

    def __init__(self) -> None:
        self.asked: list[tuple[bytes | None, bytes | None]] = []

    def decode(self, payload: bytes | None, following: bytes | None = None) -> Int16:
        self.asked.append((payload, following))
        return np.full(160, payload[0] if payload else 0, dtype=np.int16)

    def duration(self, payload: bytes) -> int:
        return 160


@pytest.mark.parametrize(
    ("frame", "asked", "samples"),
    [
        (Frame(b"\x05", 160), [(b"\x05", None)], 160),
        (Frame(None, 160, following=b"\x06"), [(None, b"\x06")], 160),
        (Frame(b"\x05", 160, folded=b"\x06"), [(b"\x05", None), (b"\x06", None)], 160),
    ],
)
def test_a_frame_is_decoded_made_up_or_folded(
    frame: Frame, asked: list[tuple[bytes | None, bytes | None]], samples: int
) -> None:
    decoder = Counting()
    protocol: Decoder = decoder
    assert len(decode_frame(protocol, frame)) == samples
    assert decoder.asked == asked
