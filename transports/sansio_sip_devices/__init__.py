"""Audio devices for clients: sound hardware, files, arrays and functions. Give one to `open_client(devices=...)`.

`PortAudioDevices` needs the extra `devices`, and imports it when it is made.
"""

from .backend import AudioBackend, DeviceError, Microphone, Speaker
from .portaudio import PortAudioDevices
from .virtual import Pipe, Recording, VirtualDevices

__all__ = [
    "AudioBackend",
    "DeviceError",
    "Microphone",
    "Pipe",
    "PortAudioDevices",
    "Recording",
    "Speaker",
    "VirtualDevices",
]
