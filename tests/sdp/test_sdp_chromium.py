"""A browser takes our offers and answers, and we take its."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sdp.ends import webrtc_end

from sansio_sip.sdp.offer_answer import Codec, Negotiated, OfferAnswer, profile_of
from sansio_sip.sdp.parser import parse_description

pytestmark = pytest.mark.interop

PAGE = """<script>
const post = async (path, body) => (await fetch(path, {method: "POST", body})).text();
(async () => {
  try {
    const calling = new RTCPeerConnection();
    calling.addTransceiver("audio");
    await calling.setLocalDescription();
    const answer = await post("/answer", calling.localDescription.sdp);
    await calling.setRemoteDescription({type: "answer", sdp: answer});
    const again = await calling.createOffer({iceRestart: true});
    await calling.setLocalDescription(again);
    await calling.setRemoteDescription({type: "answer", sdp: await post("/answer", again.sdp)});
    const tracks = calling.getReceivers().map(receiver => receiver.track.kind);

    const called = new RTCPeerConnection();
    let streams = 0;
    called.ontrack = event => { streams = event.streams.length; };
    await called.setRemoteDescription({type: "offer", sdp: await post("/offer", "")});
    await called.setLocalDescription();
    await post("/accept", called.localDescription.sdp);
    await called.setRemoteDescription({type: "offer", sdp: await post("/offer", "sendonly")});
    await called.setLocalDescription();
    await post("/accept", called.localDescription.sdp);
    await post("/done", JSON.stringify({tracks, streams, state: called.signalingState}));
  } catch (error) { await post("/done", JSON.stringify({error: String(error)})); }
})();
</script>"""


class Peer:
    """Our two ends, behind the paths that the page posts to."""

    def __init__(self) -> None:
        self.answering = OfferAnswer(1)
        self.offering = OfferAnswer(2)
        self.answered: list[Negotiated] = []
        self.accepted: list[Negotiated] = []
        self.done: dict[str, object] = {}
        self.finished = threading.Event()

    def post(self, path: str, body: bytes) -> bytes:
        match path:
            case "/answer":
                offer = parse_description(body)
                assert profile_of(offer) == "webrtc"
                answer, negotiated = self.answering.accept_offer(offer, webrtc_end())
                self.answered.append(negotiated)
                return bytes(answer)
            case "/offer":
                return bytes(self.offering.create_offer(webrtc_end(body.decode() or "sendrecv")))
            case "/accept":
                self.accepted.append(self.offering.accept_answer(parse_description(body)))
            case _:
                self.done = json.loads(body)
                self.finished.set()
        return b""


@pytest.fixture
def served() -> Iterator[tuple[Peer, int]]:
    peer = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(PAGE.encode(), "text/html")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                reply = peer.post(self.path, body)
            except Exception as error:
                peer.done = {"error": repr(error)}
                peer.finished.set()
                raise
            self._reply(reply, "application/sdp")

        def _reply(self, body: bytes, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield peer, server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def test_chromium_takes_our_descriptions_and_we_take_its(served: tuple[Peer, int], tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this host")
    peer, port = served
    arguments = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    arguments += [f"--user-data-dir={tmp_path}", f"http://127.0.0.1:{port}/"]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert peer.finished.wait(60), "the browser has not finished"
    finally:
        process.terminate()
        process.wait(20)
    assert peer.done == {"tracks": ["audio"], "streams": 1, "state": "stable"}
    first, again = peer.answered
    assert first.codecs[0] == Codec("opus", 111, 48000, 2, "minptime=10;useinbandfec=1")
    assert first.dtmf is not None
    assert first.dtmf.clock_rate == 48000
    assert (first.dtls_role, again.dtls_role) == ("client", "client")
    assert first.ice is not None
    assert again.ice is not None
    assert first.ice.ufrag != again.ice.ufrag
    assert [(row.codecs[0].name, row.dtls_role, row.direction) for row in peer.accepted] == [
        ("opus", "server", "sendonly"),
        ("opus", "server", "sendonly"),
    ]
