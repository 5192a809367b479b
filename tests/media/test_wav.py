"""WAV files of every kind that a telephone meets, and those that are none."""

import io
import struct
import wave

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansio_sip.errors import ParseError
from sansio_sip_media.codecs.g711 import decode_table
from sansio_sip_media.wav import read_wav, wav_header

Int16 = npt.NDArray[np.int16]

RAMP = np.array([0, 256, -256, 32512, -32768, 12800], dtype=np.int16)


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def wav(
    data: bytes, *, kind: int = 1, channels: int = 1, rate: int = 8_000, bits: int = 16, extra: bytes = b"",
    before: bytes = b"",
) -> bytes:  # fmt: skip
    block = channels * ((bits + 7) // 8)
    layout = struct.pack("<HHIIHH", kind, channels, rate, rate * block, block, bits) + extra
    body = b"WAVE" + before + chunk(b"fmt ", layout) + chunk(b"data", data)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def read(data: bytes) -> list[int]:
    return list(map(int, read_wav(data)[0]))


@pytest.mark.parametrize(
    ("data", "kind", "bits"),
    [
        pytest.param(RAMP.astype("<i2").tobytes(), 1, 16, id="16 bits"),
        pytest.param((RAMP // 256 + 128).astype(np.uint8).tobytes(), 1, 8, id="8 bits"),
        pytest.param(
            b"".join((int(each) * 256).to_bytes(3, "little", signed=True) for each in RAMP), 1, 24, id="24 bits"
        ),
        pytest.param((RAMP.astype("<i4") * 65536).tobytes(), 1, 32, id="32 bits"),
        pytest.param((RAMP / 32768).astype("<f4").tobytes(), 3, 32, id="float"),
        pytest.param((RAMP / 32768).astype("<f8").tobytes(), 3, 64, id="double"),
    ],
)
def test_every_kind_of_sample_reads_the_same(data: bytes, kind: int, bits: int) -> None:
    assert read(wav(data, kind=kind, bits=bits)) == RAMP.tolist()


def test_the_extensible_format_says_its_kind_later() -> None:
    guid = struct.pack("<H", 3) + bytes.fromhex("000000001000800000aa00389b71")
    extra = struct.pack("<HHI", 22, 32, 4) + guid
    assert read(wav((RAMP / 32768).astype("<f4").tobytes(), kind=0xFFFE, bits=32, extra=extra)) == RAMP.tolist()


@pytest.mark.parametrize(("kind", "law"), [(6, "pcma"), (7, "pcmu")])
def test_g711_is_decoded(kind: int, law: str) -> None:
    assert read(wav(bytes(range(256)), kind=kind, bits=8)) == decode_table(law).tolist()


def test_channels_are_averaged() -> None:
    stereo = np.stack((RAMP, -(RAMP // 2)), axis=1).astype("<i2")
    expected = np.rint((RAMP.astype(float) - RAMP // 2) / 2).astype(int).tolist()
    assert read(wav(stereo.tobytes(), channels=2)) == expected


def test_floats_beyond_full_scale_clip_and_no_number_is_silence() -> None:
    samples = np.array([2.0, -2.0, np.inf, -np.inf, np.nan], dtype="<f4")
    assert read(wav(samples.tobytes(), kind=3, bits=32)) == [32767, -32768, 32767, -32768, 0]


def test_the_standard_library_writes_what_we_read() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(44_100)
        writer.writeframes(RAMP.tobytes())
    samples, rate = read_wav(file.getvalue())
    assert (samples.tolist(), rate) == (RAMP.tolist(), 44_100)


def test_the_standard_library_reads_what_we_write() -> None:
    file = io.BytesIO(wav_header(2 * len(RAMP), 16_000) + RAMP.tobytes())
    with wave.open(file) as reader:
        assert reader.getparams()[:4] == (1, 2, 16_000, len(RAMP))
        assert reader.readframes(100) == RAMP.tobytes()


@given(st.lists(st.integers(-32768, 32767), max_size=50), st.integers(4_000, 384_000))
def test_reading_undoes_writing(samples: list[int], rate: int) -> None:
    data = np.array(samples, dtype="<i2").tobytes()
    assert read(wav_header(len(data), rate) + data) == samples
    assert read_wav(wav_header(len(data), rate) + data)[1] == rate


def test_other_chunks_are_passed_over_and_odd_ones_are_filled() -> None:
    assert read(wav(RAMP.tobytes(), before=chunk(b"LIST", b"odd"))) == RAMP.tolist()


@pytest.mark.parametrize("octets", [0, 4, 10_000, 0xFFFFFFFF])
def test_a_size_that_was_never_put_right_gives_what_is_there(octets: int) -> None:
    header = wav_header(octets, 8_000)
    expected = RAMP.tolist()[: octets // 2] if octets == 4 else RAMP.tolist()
    assert read(header + RAMP.tobytes()) == expected


def test_a_file_cut_within_a_sample_gives_the_whole_ones() -> None:
    assert read((wav_header(100, 8_000) + RAMP.tobytes())[:-1]) == RAMP.tolist()[:-1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not begin with RIFF"),
        (b"ID3\x04" + bytes(40), "does not begin with RIFF"),
        (b"RIFF\x04\0\0\0WAVE", "without data"),
        (b"RIFF\x04\0\0\0WAVE" + chunk(b"data", b"xx"), "data before its format"),
        (b"RIFF\x04\0\0\0WAVE" + chunk(b"fmt ", b"xx"), "format that is too short"),
        (wav(b"", kind=2), "of format 2"),
        (wav(b"", kind=0xFFFE), "format that is too short"),
        (wav(b"", channels=0), "0 channels"),
        (wav(b"", channels=33), "33 channels"),
        (wav(b"", rate=100), "at 100 Hz"),
        (wav(b"", bits=64), "64 bits in 8 octets"),
        (wav(b"", kind=3, bits=16), "16 bits in 2 octets"),
    ],
)
def test_what_is_no_audio_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        read_wav(data)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + rest))
def test_any_octets_give_samples_or_a_parse_error(data: bytes) -> None:
    try:
        samples, rate = read_wav(data)
    except ParseError:
        return
    assert samples.dtype == np.int16
    assert rate > 0
