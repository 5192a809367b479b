"""`phone`: a telephone in the terminal."""

import asyncio
from pathlib import Path
from typing import Any

import click

from sansio_sip_cli.account import account_options, warn_unless
from sansio_sip_cli.build import Recording, build_phone
from sansio_sip_cli.exit_status import DONE, INTERRUPTED
from sansio_sip_cli.phone_commands import Run
from sansio_sip_cli.runtimes import RUNTIMES, go_first

__all__ = ["phone"]

# Seconds for BYE and the end of the registration.
PARTING = 3.0


@click.command()
@account_options
@click.option(
    "--audio",
    default="device",
    metavar="device|none|WAV",
    show_default=True,
    help="The sound hardware (extra `devices`), silence, or a file to speak in a loop.",
)
def phone(audio: str, **options: Any) -> int:
    """Use ACCOUNT as a telephone, in the terminal: calls, keys, hold, mute, transfer, levels, quality, SIP.

    ACCOUNT is a SIP address, such as sip:alice@example.com. The function keys at the bottom say what can be done.
    """
    try:
        from .screen import PhoneScreen
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in ("textual", "rich"):
            raise
        raise click.ClickException(f"{name} is not installed; pip install 'sansio-sip[phone]'") from None
    from sansio_sip_asyncio.driver import open_driver
    from sansio_sip_devices import DeviceError

    from .line import Line
    from .sound import backend, pump

    run = Run.of(options, allow_multiple_incoming=True)
    if run.runtime != "asyncio" or run.as_json:
        raise click.UsageError("phone is for people, on asyncio: leave out --runtime trio and --json")
    warn_unless(tls_verify=run.account.tls_verify)
    warning = ""
    try:
        devices = backend(audio)
    except DeviceError as error:
        devices, warning = None, f"no sound: {error}"
    recording = Recording(Path(run.trace), full=run.trace_audio) if run.trace is not None else None

    interrupted = False

    async def main() -> None:
        line = Line(build_phone(recording=recording), run.account, registers=run.registers)
        screen = PhoneScreen(line)

        def interrupt() -> None:
            """Leaves the screen, and parts politely; asked again, at once."""
            nonlocal interrupted
            if interrupted:
                line.closed.set()
            interrupted = True
            screen.exit()

        async with (
            open_driver(line.machine, line.deliver) as driver,
            RUNTIMES["asyncio"].interrupts(interrupt),
        ):
            # It ends by an error alone, and a screen without a phone is no use.
            ended = asyncio.create_task(driver.finished())
            ended.add_done_callback(lambda _: screen.exit())
            line.open(driver)
            if warning:
                line.tell(warning)
            sound = asyncio.create_task(pump(line, devices)) if devices is not None else None
            try:
                await screen.run_async()
            finally:
                if sound is not None:
                    sound.cancel()
                    await asyncio.wait([sound])
                if ended.done():
                    await ended
                ended.cancel()
                await line.part(PARTING)

    go_first()
    try:
        asyncio.run(main())
    finally:
        if recording is not None:
            recording.close()
    return INTERRUPTED if interrupted else DONE
