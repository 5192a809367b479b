"""Writes docs/reference/parity.md: each row of the reference, what it is here, and the tests that drive it.

Run: PYTHONPATH=tests:media:transports:. python -m parity.page
"""

from collections.abc import Mapping
from pathlib import Path

from parity.rows import faults, proofs

__all__ = ["PAGE", "ROWS", "page"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "parity.md"

HEAD = """# The reference, row by row

Everything that the reference has, what it is called here, and the tests that drive it over a real SIP exchange: in
virtual time, and over loopback sockets on asyncio and on trio (`test_loopback...`). Written by
`python -m parity.page`; a test fails when a row has no test, or this page names one that is no more.

Commands are methods of `Client`, by these names on the machine and on the clients of both loops. Events are values with
`event.name` and `event.as_dict()` in the reference's spelling.
"""

# By id: the reference's name, ours, and what it does.
ROWS: Mapping[str, tuple[str, str, str]] = {
    "M01": ("version", "`client.version`", "of this package"),
    "M02": ("isLoggedIn", "`client.is_logged_in`", "between Login and Logout"),
    "M03": ("login", "`login(username, password)`", "REGISTER with digest; LoginFailed says why not"),
    "M04": ("loginWithAccessToken", "`login_with_access_token(token)`", "the ten token errors by name"),
    "M05": (
        "loginWithAccessTokenGenerator",
        "`login_with_access_token_generator(generator)`",
        "asked again a minute before each token ends",
    ),
    "M06": ("logout", "`logout()`", "ends calls, takes the binding away, beats a reconnect"),
    "M07": ("call", "`call(number, extra_headers)`", "bad headers are reported and left out"),
    "M08": ("answer", "`answer(call_uuid, action)`", "the others are rejected, ignored or go on ringing"),
    "M09": ("hangup", "`hangup()`", "CANCEL or BYE, whichever fits"),
    "M10": ("reject", "`reject(call_uuid)`", "486; the latest call without a UUID"),
    "M11": ("ignore", "`ignore(call_uuid)`", "silent here, and the caller is told nothing"),
    "M12": ("sendDtmf", "`send_dtmf(digit)`", "telephone-event, INFO or sound, by `Options.dtmf_options`"),
    "M13": ("mute", "`mute()`", "silence goes out at the same pace"),
    "M14": ("unmute", "`unmute()`", "and speech again"),
    "M15": ("setRingTone", "`set_ring_tone(value)`", "bell of a country, nothing, or a medium by path or URL"),
    "M16": ("setRingToneBack", "`set_ring_tone_back(value)`", "the same; False has early media heard"),
    "M17": ("setConnectTone", "`set_connect_tone(value)`", "dial tone until it rings there"),
    "M18": ("setDebug", "`set_debug(level)`", "level of the logger `sansio_sip`; ALL has SIP, without secrets"),
    "M19": ("getPeerConnection", "`get_peer_connection()`", "addresses, protection and figures of the media"),
    "M20": ("submitCallQualityFeedback", "`submit_call_quality_feedback(...)`", "checked, sent until it has arrived"),
    "M21": ("getCallUUID", "`get_call_uuid()`", "of the active call"),
    "M22": ("getLastCallUUID", "`get_last_call_uuid()`", "of the call answered last"),
    "M23": ("startNoiseReduction", "`start_noise_reduction()`", "in a call, and in those that follow"),
    "M24": ("stopNoiseReduction", "`stop_noise_reduction()`", "and no more"),
    "M25": ("isConnected", "`is_connected()`", "always a bool"),
    "M26": ("isConnecting", "`is_connecting()`", "while the connection is being opened"),
    "M27": ("isRegistered", "`is_registered()`", "while a binding is granted"),
    "M28": ("register", "`register()`", "for who is connected and not registered"),
    "M29": ("unregister", "`unregister()`", "the connection stays"),
    "M30": ("disconnect", "`disconnect()`", "the binding goes first"),
    "M31": ("getContactUri", "`get_contact_uri()`", "where this client alone is reached"),
    "M32": ("redirect", "`redirect(uri)`", "302 to another client of the user"),
    "M33": ("getCurrentSession", "`get_current_session()`", "the active call, or the one that rings"),
    "M34": ("setIdentifier", "`set_identifier(identifier)`", "a name in each line of the log"),
    "M35": ("webRTC", "`webrtc()`", "DTLS, SRTP and Opus tried out"),
    "M36": ("supportedBrowsers", "`supported_browsers()`", "those that the tests call"),
    "M37": ("getIncomingCalls", "`get_incoming_calls()`", "all that ring, oldest first"),
    "M38": ("getErrorStringByErrorCodes", "`get_error_string_by_error_codes(code)`", "the words for a token error"),
    "A01": ("availableDevices", "`available_devices(filter)`", "those of the back end"),
    "A02": ("revealAudioDevices", "`reveal_audio_devices(arg)`", "tries the microphone, or gives its sound"),
    "A03": ("microphoneDevices.set", "`microphone_devices.set(id)`", "in a call too, within 100 ms"),
    "A04": ("microphoneDevices.get", "`microphone_devices.get()`", "what was set"),
    "A05": ("microphoneDevices.reset", "`microphone_devices.reset()`", "the default again"),
    "A06": ("speakerDevices.set", "`speaker_devices.set(id)`", "the far end and all tones but the ringtone"),
    "A07": ("speakerDevices.get", "`speaker_devices.get()`", "what was set"),
    "A08": ("speakerDevices.reset", "`speaker_devices.reset()`", "the default again"),
    "A09": ("speakerDevices.media", "`speaker_devices.media(source)`", "`dtmf` or `ringback`, to be tried out"),
    "A10": ("ringtoneDevices.set", "`ringtone_devices.set(id)`", "the ringtone alone"),
    "A11": ("ringtoneDevices.get", "`ringtone_devices.get()`", "what was set"),
    "A12": ("ringtoneDevices.reset", "`ringtone_devices.reset()`", "the default again"),
    "A13": ("ringtoneDevices.media", "`ringtone_devices.media()`", "the ringtone, to be tried out"),
    "E01": ("onLogin", "`Login`", "once a login"),
    "E02": ("onLoginFailed", "`LoginFailed`", "with its cause by name"),
    "E03": ("onLogout", "`Logout`", "once a logout"),
    "E04": ("onCalling", "`Calling`", "a call has been started"),
    "E05": ("onCallRemoteRinging", "`CallRemoteRinging`", "first answer of the far end, once"),
    "E06": ("onCallConnected", "`CallConnected`", "the telephone there rings, by word of the service"),
    "E07": ("onCallAnswered", "`CallAnswered`", "the call is up"),
    "E08": ("onMediaConnected", "`MediaConnected`", "audio can flow"),
    "E09": ("onCallTerminated", "`CallTerminated`", "an answered call has ended"),
    "E10": ("remoteAudioStatus", "`RemoteAudioStatus`", "whether audio arrives, by word of the service"),
    "E11": ("onIncomingCall", "`IncomingCall`", "a call rings here"),
    "E12": ("onIncomingCallCanceled", "`IncomingCallCanceled`", "the caller gave up"),
    "E13": ("onIncomingCallIgnored", "`IncomingCallIgnored`", "it is silent here"),
    "E14": ("onCallFailed", "`CallFailed`", "a call ended before it was answered"),
    "E15": ("onMediaPermission", "`MediaPermission`", "whether there is a microphone to be had"),
    "E16": ("onWebrtcNotSupported", "`WebrtcNotSupported`", "what is missing for it"),
    "E17": ("mediaMetrics", "`MediaMetrics`", "see Q1 to Q9"),
    "E18": ("audioDeviceChange", "`AudioDeviceChange`", "one was added or removed"),
    "E19": ("onConnectionChange", "`ConnectionChange`", "the connection came or went, with its code"),
    "E20": ("onNoiseReductionReady", "`NoiseReductionReady`", "once a login, where it is enabled"),
    "E21": ("onWebSocketConnected", "`WebSocketConnected`", "at each opening; both spellings are heard"),
    "E22": ("volume", "`Volume`", "60 times a second for who listens"),
    "E23": ("onDtmfReceived", "`DtmfReceived`", "key and duration"),
    "E24": ("onPermissionDenied", "`PermissionDenied`", "the token does not allow it"),
    "Q1": ("high_jitter", "`MediaMetrics`", "what arrives comes unevenly"),
    "Q2": ("high_rtt", "`MediaMetrics`", "the way there and back is long"),
    "Q3": ("high_packetloss", "`MediaMetrics`", "packets are lost"),
    "Q4": ("low_mos", "`MediaMetrics`", "the score of the three"),
    "Q5": ("no_audio_received", "`MediaMetrics`", "one side is silent"),
    "Q6": ("ice_timeout", "`MediaMetrics`", "addresses are not found in time"),
    "Q7": ("no_microphone_access", "`MediaMetrics`", "nothing comes from the microphone"),
    "Q8": ("ice_connection", "`MediaMetrics`", "the way is lost and found"),
    "Q9": ("speaking_on_mute", "`MediaMetrics`", "somebody speaks who is muted"),
    "C01": ("callUUID", "`call_uuid`", "names the call"),
    "C02": ("direction", "`direction`", "INCOMING or OUTGOING"),
    "C03": ("src", "`src`", "who calls"),
    "C04": ("dest", "`dest`", "who is called"),
    "C05": ("extraHeaders", "`extra_headers`", "those that begin with X-PH"),
    "C06": ("Reason", "`reason`", "why it ended"),
    "C07": ("Protocol", "`protocol`", "Q.850 or SIP, as the far end says"),
    "C08": ("Code", "`code`", "always a number"),
    "C09": ("Originator", "`originator`", "who ended it"),
    "C10": ("state", "`state`", "ringing, answered, and the ends"),
    "C11": ("stirShakenState", "`stir_shaken_state`", "what the service says of the caller's number"),
}

PARTS = (
    ("Variables and methods", "M"),
    ("Audio devices", "A"),
    ("Events", "E"),
    ("Metrics", "Q"),
    ("CallInfo", "C"),
)


def page() -> str:
    found = proofs()
    lines = [HEAD]
    for title, letter in PARTS:
        lines += [f"## {title}\n", "| id | reference | here | what it does | tests |", "|--|--|--|--|--|"]
        for row in sorted(row for row in ROWS if row[0] == letter):
            reference, here, words = ROWS[row]
            lines.append(f"| {row} | {reference} | {here} | {words} | {_tests(found.get(row, []))} |")
        lines.append("")
    lines += ["## Faults\n", "What the reference gets wrong, by its number, and the tests that this does not.\n"]
    lines += ["| fault | tests |", "|--|--|"]
    lines += [f"| {number} | {_tests(found.get(f'fault{number}', []))} |" for number in faults()]
    return "\n".join(lines) + "\n"


def _tests(names: list[str]) -> str:
    return "<br>".join(f"`{name.partition('::')[2]}` ({name.partition('::')[0]})" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
