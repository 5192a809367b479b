"""The pytest plugin: with `--sip-target`, or `--sip-listen` for a target that calls, the cases for it become tests.

Its fixtures put phones on a simulated network: see `fixtures`.

It is loaded into every run of pytest, so it imports nothing of the kit until one of its options is given.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from .fixtures import sip_phone, sip_world

__all__ = ["SipCase", "pytest_addoption", "pytest_collection_modifyitems", "sip_phone", "sip_world"]

_SETTING = pytest.StashKey[Any]()
_LIVELY = pytest.StashKey["bool | None"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sip", "conformance of a SIP user agent or registrar (sansio-sip)")
    group.addoption("--sip-target", metavar="URL", help="where it is: udp:HOST:PORT, tcp:HOST:PORT, ws://HOST:PORT")
    group.addoption("--sip-as", default="uas", choices=["uas", "uac", "registrar"], help="what it is (default: uas)")
    group.addoption("--sip-uri", metavar="URI", help="whom requests are for; the address that is registered")
    group.addoption("--sip-password", metavar="WORD", default="", help="for its challenges")
    group.addoption("--sip-listen", metavar="HOST:PORT", help="where a target that calls finds us (--sip-as uac)")
    group.addoption("--sip-corpus", metavar="PATH", type=Path, help="a folder of more messages to try")
    group.addoption("--sip-seed", metavar="N", type=int, default=0, help="of simulated networks (fixture sip_world)")
    group.addoption("--sip-timeout", metavar="SECONDS", type=float, default=2.0, help="in which an answer is due")


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    target, listen = config.getoption("--sip-target"), config.getoption("--sip-listen")
    if target is None and listen is None:
        return
    from sansio_sip.conformance import Role

    from .setting import ANYWHERE, BadSetting, Setting, listening_at

    try:
        setting = Setting.of(
            target=target,
            role=Role(config.getoption("--sip-as")),
            uri=config.getoption("--sip-uri"),
            password=config.getoption("--sip-password"),
            timeout=config.getoption("--sip-timeout"),
            corpus=config.getoption("--sip-corpus"),
            bind=listening_at(listen) if listen is not None else ANYWHERE,
        )
    except BadSetting as error:
        raise pytest.UsageError(str(error)) from None
    session.stash[_SETTING] = setting
    session.stash[_LIVELY] = None
    items.extend(SipCase.from_parent(session, name=f"sip[{case.name}]", case=case) for case in setting.cases)


class SipCase(pytest.Item):
    """One case as a test: what fails fails it, what is not applicable or silent is skipped with the reason."""

    def __init__(self, *, case: Any, **more: Any) -> None:
        super().__init__(**more)
        self.case = case

    def runtest(self) -> None:
        from sansio_sip.conformance import Verdict

        result = asyncio.run(self._try())
        if result.verdict is Verdict.FAIL:
            raise NotConformant(f"{self.case.level}, {self.case.rfc} {self.case.section}: {result.detail}")
        if result.verdict is not Verdict.PASS:
            pytest.skip(f"{result.verdict.value}: {result.detail}")

    async def _try(self) -> Any:
        from sansio_sip.conformance import Result, RunFinished, Verdict
        from sansio_sip_asyncio.driver import open_driver

        run = self.session.stash[_SETTING].run([self.case], lively=self.session.stash[_LIVELY])
        finished: list[RunFinished] = []
        drivers: list[Any] = []

        def deliver(output: Any) -> None:
            if isinstance(output, RunFinished):
                finished.append(output)
                for driver in drivers:
                    driver.finish()

        async with open_driver(run, deliver) as driver:
            drivers.append(driver)
            if finished:
                driver.finish()
            await driver.finished()
        self.session.stash[_LIVELY] = run.lively
        (end,) = finished
        return end.results[0] if end.results else Result(self.case, Verdict.FAIL, end.error)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotConformant):
            return f"{self.case.title}\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return Path(self.session.path), None, f"{self.case.rfc} {self.case.section} {self.case.name}"


class NotConformant(Exception):
    """The target did not do as the RFC says."""
