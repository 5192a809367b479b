"""One user at several devices: the one that a call reaches sends it on to the one that is to have it.

In a browser these are tabs: each publishes its contact URI where the others find it (here: a dictionary), and the one
that is registered for calls redirects. It runs as it is on asyncio and on trio.
"""

from collections.abc import Callable, Mapping

from sansio_sip.softphone.events import CallAnswered, CallFailed, CallTerminated, IncomingCall
from sansio_sip_async import ClientHandle


async def serve(name: str, client: ClientHandle, tabs: Mapping[str, ClientHandle], choose: Callable[[str], str]) -> int:
    """Takes the calls of a tab, or sends them on, until the client is closed; gives the number of those it had.

    Args:
        tabs: every tab of the user, this one among them.
        choose: the name of the tab that is to have a caller.
    """
    had = 0
    async for event in client.events():
        match event:
            case IncomingCall(caller_id=caller) if (chosen := choose(caller)) != name:
                client.redirect(tabs[chosen].get_contact_uri())
            case IncomingCall():
                client.answer(event.call)
            case CallAnswered():
                had += 1
                print(f"{name} talks to {event.call_info.src}", flush=True)
            case CallFailed(cause="Redirected"):
                print(f"{name} has sent a call on", flush=True)
            case CallTerminated(hangup_info=info):
                print(f"{name}: {info.originator} has hung up", flush=True)
            case _:
                pass
    return had
