"""The transport of each profile."""

from sansio_sip.context import Context
from sansio_sip.softphone.media_plane import MediaOptions, MediaProfile

from .crypto import CryptoProvider
from .ice.connectivity import IceServers
from .plain_transport import PlainTransport
from .sdes_transport import SdesTransport
from .transport import MediaTransport
from .webrtc_transport import WebRtcTransport

__all__ = ["transport_of"]


def transport_of(
    profile: MediaProfile, context: Context, crypto: CryptoProvider | None, options: MediaOptions, *, controlling: bool
) -> MediaTransport:
    """A new one. `controlling`: whether we make the offer (RFC 8445 section 6.1.1)."""
    match profile:
        case MediaProfile.WEBRTC:
            servers = IceServers(
                options.stun_servers,
                options.turn_servers,
                options.relay_only,
                options.ca_file,
                options.tls_verify,
            )
            return WebRtcTransport(context, crypto, controlling=controlling, servers=servers)
        case MediaProfile.SRTP:
            return SdesTransport(context, crypto, options.disconnect_timeout)
        case MediaProfile.RTP:
            return PlainTransport(options.disconnect_timeout)
