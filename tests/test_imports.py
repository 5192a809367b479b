"""Who may import what, and what the pure packages may not touch.

When this fails, move code; do not add an exception.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "sansio_sip"
MEDIA = ROOT / "media" / "sansio_sip_media"
TRANSPORTS = ROOT / "transports"
APPS = ROOT / "apps" / "sansio_sip_cli"

PURE = sorted([*CORE.rglob("*.py"), *MEDIA.rglob("*.py")])

# What acts, waits, or knows the time.
BANNED_MODULES = frozenset(
    {
        "asyncio",
        "trio",
        "anyio",
        "curio",
        "socket",
        "ssl",
        "select",
        "selectors",
        "threading",
        "multiprocessing",
        "concurrent",
        "subprocess",
        "signal",
        "time",
        "secrets",
        "uuid",
        "logging",
        "pathlib",
        "os",
        "io",
        "tempfile",
        "shutil",
        "sched",
        "queue",
    }
)

# Randomness comes from `Context.entropy`; in the simulation from its seed.
BANNED_CLOCKS = frozenset({"now", "utcnow", "today"})
BANNED_NAMES = frozenset({"open", "input", "print", "id", "breakpoint"})

# Layers of the core, lowest first: a module may import its own layer and those below.
LAYERS = (
    ("errors", "frozen", "timers", "effects", "machine", "context", "trace", "trace_codec", "pcapng"),
    ("sip", "sdp", "dtmf", "auth"),
    (
        "web_socket",
        "back_off",
        "connection",
        "connection_outputs",
        "connection_state",
        "http_client",
        "keepalive",
        "places",
        "server_url",
        "side_streams",
        "signalling",
        "tls_identity",
    ),
    ("softphone", "server", "simulation", "conformance"),
)

# Inside sip, lowest first. Modules that are not named here only have to stay free of cycles.
SIP_LAYERS = (
    ("grammar", "status"),
    ("uri",),
    ("headers",),
    ("message", "transport"),
    ("parser", "verdict", "digest"),
    ("transactions",),
    ("dialog",),
    ("registration", "invite_session"),
    ("user_agent",),
)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute names of the modules that a file imports, wherever in the file it does so."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] in ("media", "transports", "apps"):
        parts = parts[1:]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = [] if not node.level else parts[: len(parts) - node.level]
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module, node.lineno
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_pure_code_touches_nothing(path: Path) -> None:
    for module, line in imports(path):
        assert module.split(".")[0] not in BANNED_MODULES, f"line {line} imports {module}"
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in BANNED_NAMES, f"line {node.lineno} calls {node.func.id}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in BANNED_CLOCKS, f"line {node.lineno} asks a clock"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            assert node.attr in ("Random",), f"line {node.lineno} uses random.{node.attr}: draw from the context"


def layer(name: str, layers: tuple[tuple[str, ...], ...]) -> int:
    for index, names in enumerate(layers):
        if name in names:
            return index
    raise AssertionError(f"{name} has no layer: say in this test where it belongs")


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=name_of)
def test_core_modules_import_downwards(path: Path) -> None:
    own = path.relative_to(CORE).with_suffix("").parts
    if own == ("__init__",):
        return
    for module, line in imports(path):
        parts = module.split(".")
        assert parts[0] not in ("sansio_sip_media", "sansio_sip_asyncio", "sansio_sip_trio", "sansio_sip_cli"), line
        if parts[0] != "sansio_sip" or len(parts) == 1:
            continue
        assert layer(parts[1], LAYERS) <= layer(own[0], LAYERS), f"line {line} imports {module}"
        if own[0] == parts[1] == "sip" and len(parts) > 2:
            ranks = {name: rank for rank, names in enumerate(SIP_LAYERS) for name in names}
            rank = ranks.get(own[1], len(SIP_LAYERS))
            assert ranks.get(parts[2], 0) <= rank, f"line {line} imports {module}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {}
    for path in PURE:
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[1:] if parts[0] == "media" else parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    graph = {
        name: sorted({module for module, _ in imports(path) if module in modules and not name.startswith(module)})
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for module in graph[name]:
                visit(module, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", sorted(MEDIA.rglob("*.py")), ids=name_of)
def test_media_imports_only_what_it_may(path: Path) -> None:
    allowed = {"errors", "timers", "effects", "machine", "context", "sdp", "dtmf", "softphone", "tls_identity"}
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] == "sansio_sip" and len(parts) > 1:
            assert parts[1] in allowed, f"line {line} imports {module}"
        if parts[:2] == ["sansio_sip", "softphone"] and len(parts) > 2:
            assert parts[2] == "media_plane", f"line {line} imports {module}"
        assert parts[0] not in ("sansio_sip_asyncio", "sansio_sip_trio", "sansio_sip_cli"), f"line {line}: {module}"
        if parts[0] == "aioice":
            assert path == MEDIA / "ice" / "stun.py", f"line {line}: only ice/stun.py imports aioice"


@pytest.mark.parametrize("path", sorted(TRANSPORTS.rglob("*.py")), ids=name_of)
def test_drivers_know_nothing_of_the_command_or_of_each_other(path: Path) -> None:
    runtime = path.relative_to(TRANSPORTS).parts[0]
    other = {
        "sansio_sip_asyncio": ("trio", "sansio_sip_trio"),
        "sansio_sip_pipecat": ("trio", "sansio_sip_trio"),
        "sansio_sip_trio": ("asyncio", "sansio_sip_asyncio"),
    }
    for module, line in imports(path):
        head = module.split(".")[0]
        assert head != "sansio_sip_cli", f"line {line} imports {module}"
        assert head not in other.get(runtime, ("trio", "asyncio")), f"line {line} imports {module}"


LOADED = {"asyncio", "socket", "ssl", "av", "numpy", "OpenSSL", "aioice"}


def test_importing_the_core_loads_nothing_that_acts() -> None:
    modules = ", ".join(
        "sansio_sip." + ".".join(path.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(CORE.rglob("*.py"))
        if path != CORE / "__init__.py"
    )
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, {modules}\nprint(*({LOADED} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert found.stdout.split() == []
