"""The words of the command line, and the help that explains them."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from .. import __version__

__all__ = ["parser"]

_MAX_SIZE = 16 * 1024 * 1024

# As programs that have one write it (RFC 6454 section 6.2): in lower case, and with no path, not even "/".
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://[^\s/?#@]*?(?P<port>:\d+)?")
_PORTS_LEFT_OUT = [("http", ":80"), ("https", ":443")]

_DESCRIPTION = """\
The WebSocket engine of Python: try it, look into a server, give a client something to talk with, or run a
program that uses another library with this engine inside it."""

_EXAMPLES = """\
examples:
  python -m fastframe demo                          a page in your browser that shows it at work
  python -m fastframe serve                         an echo server on ws://localhost:8765/
  python -m fastframe connect ws://localhost:8765/  talk with it
  python -m fastframe accelerate app.py             run a program with faster libraries
  python -m fastframe install-check                 which libraries that would be
  python -m fastframe info                          what is installed, for a bug report
  python -m fastframe COMMAND --help                more about a command

A command that fails prints one line and exits with 1; one that is not understood exits with 2."""

_DEMO_EXAMPLES = """\
examples:
  python -m fastframe demo
      open the URL that it prints, in two tabs: they see each other
  python -m fastframe demo --port 0 --seconds 60
      on any free port, for a minute
  python -m fastframe demo --host 192.168.1.5
      for a phone in the same network, at this machine's address there

Ctrl-C ends it. Exit status: 0, 1 if it cannot listen, 2 for a wrong command line."""

_SERVE_EXAMPLES = """\
examples:
  python -m fastframe serve
      on this machine alone, ws://localhost:8765/
  python -m fastframe serve --host 0.0.0.0 --port 8443 --tls-cert cert.pem --tls-key key.pem
      for other machines, over TLS
  python -m fastframe serve --origin https://example.com --origin none
      for the pages of one site, and for programs, which send no Origin
  python -m fastframe serve --unix /tmp/echo.sock
      on a Unix socket: python -m fastframe connect ws://localhost/ --unix /tmp/echo.sock

Ctrl-C ends it; connections that are open are closed with 1001."""

_CONNECT_EXAMPLES = """\
examples:
  python -m fastframe connect ws://localhost:8765/
      each line that you type is a text message; /help lists the commands, Ctrl-D closes
  python -m fastframe connect wss://example.com/chat --subprotocol chat --header 'Authorization: Bearer ...'
      offer a subprotocol, add a header field
  python -m fastframe connect ws://localhost:8765/ --frames
      see what that becomes on the wire: opcodes, sizes, pings, close codes
  echo '{"op": "time"}' | python -m fastframe connect wss://example.com/api
      each line of the input is a message; closes when nothing has come for a second (--wait)
  python -m fastframe connect wss://example.com/feed --raw --wait inf </dev/null | jq .
      print what comes until the server closes, as it came

Exit status: 0 after a clean close, 1 after anything else, 2 for a wrong command line, 130 after Ctrl-C
while no line was being typed, 143 after SIGTERM."""


_ACCELERATE_EXAMPLES = """\
examples:
  python -m fastframe accelerate app.py --port 80
      as python app.py --port 80, and every library that it imports and that there is an adapter for is faster
  python -m fastframe accelerate -m uvicorn app:app
      as python -m uvicorn app:app
  python -m fastframe accelerate --verbose --library websockets --library wsproto=mask app.py
      these two alone, wsproto not beyond its masking; and say what has been done
  python -m fastframe accelerate --strict --library tornado app.py
      do not run it without

The command install-check tells which adapters go in, and how deep they can. Where one does not, the program
runs with its library as it is, and one line to standard error says so.

Exit status: the program's own; 1 if it was not run, 2 for a wrong command line."""

_CHECK_EXAMPLES = """\
examples:
  python -m fastframe install-check
      all that is installed here
  python -m fastframe install-check websockets wsproto
      these two, which have to be there
  python -m fastframe install-check --json | jq .websockets.depth

Exit status: 0 if the adapter of every library that is installed goes in at its full depth, 1 if one does not
or a library that was named is not installed, 2 for a wrong command line."""


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command line with one line."""

    def __init__(self, **options: Any) -> None:
        # An abbreviation that works today would change its meaning with a new option.
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser; what it returns has `run`, the command's function."""
    made = _Parser(prog="python -m fastframe", description=_DESCRIPTION, epilog=_EXAMPLES)
    made.add_argument("--version", action="version", version=f"fastframe {__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_serve(commands)
    _add_connect(commands)
    _add_accelerate(commands)
    _add_install_check(commands)
    _add_info(commands)
    _add_demo(commands)
    _add_bench(commands)
    _add_tour(commands)
    return made


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="an echo server",
        description="Sends every message back to who sent it, until it is interrupted.",
        epilog=_SERVE_EXAMPLES,
    )
    serve.set_defaults(run=_run_serve, fail=serve.error)
    where = serve.add_argument_group("where to listen")
    where.add_argument("--host", default="localhost", help="name or address (default: %(default)s)")
    where.add_argument(
        "--port", type=_port, default=8765, help="port (default: %(default)s; 0: any that is free)"
    )
    where.add_argument("--unix", type=_path, metavar="PATH", help="a Unix socket, instead of host and port")
    where.add_argument(
        "--tls-cert", type=_path, metavar="FILE", help="certificate chain in PEM: serve wss://"
    )
    where.add_argument(
        "--tls-key", type=_path, metavar="FILE", help="its private key, if it is not in the same file"
    )
    whom = serve.add_argument_group("what to accept")
    whom.add_argument(
        "--origin",
        action="append",
        type=_accepted_origin,
        metavar="ORIGIN",
        help="accept pages of this origin, such as https://example.com, and no others; none: clients that"
        " send no Origin, as programs do (may be repeated; default: everybody)",
    )
    whom.add_argument(
        "--subprotocol", action="append", metavar="NAME", help="agree on it (may be repeated, best first)"
    )
    _add_messages(whom, "agree on")
    serve.add_argument("--uvloop", action="store_true", help="run on uvloop (the extra uvloop)")


def _add_connect(commands: Any) -> None:
    connect = commands.add_parser(
        "connect",
        help="talk with a server: lines are sent, messages shown",
        description="Sends each line as a text message and shows what comes. At a terminal, lines that begin"
        " with a\nslash are commands (/help lists them); the extra cli gives it line editing and history.",
        epilog=_CONNECT_EXAMPLES,
    )
    connect.set_defaults(run=_run_connect, fail=connect.error)
    connect.add_argument("uri", metavar="URI", type=_uri, help="such as ws://localhost:8765/")
    asking = connect.add_argument_group("the handshake")
    asking.add_argument(
        "--header", action="append", type=_header, metavar="'NAME: VALUE'", help="add it (may be repeated)"
    )
    asking.add_argument("--origin", metavar="ORIGIN", help="send this Origin, as a browser does")
    asking.add_argument(
        "--subprotocol", action="append", metavar="NAME", help="offer it (may be repeated, best first)"
    )
    _add_messages(asking, "offer")
    asking.add_argument("--verbose", action="store_true", help="show the handshake")
    asking.add_argument(
        "--frames",
        action="store_true",
        help="show each frame as it passes, and the handshake before, a line each",
    )
    way = connect.add_argument_group("the way there")
    way.add_argument("--insecure", action="store_true", help="accept any certificate, whoever's it is")
    way.add_argument(
        "--unix", type=_path, metavar="PATH", help="connect to a Unix socket; the URI says what to ask for"
    )
    proxy = way.add_mutually_exclusive_group()
    proxy.add_argument("--proxy", type=_proxy, metavar="URL", help="go through this proxy")
    proxy.add_argument(
        "--no-proxy", action="store_true", help="go through none, whatever the environment says"
    )
    way.add_argument(
        "--timeout",
        type=_positive_seconds,
        default=10.0,
        metavar="SECONDS",
        help="that connecting may take, and the closing handshake (default: %(default)g)",
    )
    piped = connect.add_argument_group("as part of a pipeline")
    piped.add_argument(
        "--wait",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="after the end of the input, close once nothing has come for so long (default: %(default)g;"
        " 0: at once; inf: wait for the server to close)",
    )
    piped.add_argument("--commands", action="store_true", help="obey lines that begin with a slash")
    piped.add_argument(
        "--raw", action="store_true", help="print texts and bytes as they came; not on a terminal"
    )


def _add_messages(group: Any, verb: str) -> None:
    group.add_argument(
        "--compression",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=f"{verb} permessage-deflate, or not (default: yes)",
    )
    group.add_argument(
        "--max-size",
        type=_size,
        default=_MAX_SIZE,
        metavar="BYTES",
        help="in a message that comes at most (default: %(default)s)",
    )


def _add_accelerate(commands: Any) -> None:
    accelerate = commands.add_parser(
        "accelerate",
        help="run a program with this engine inside the libraries that it uses",
        usage="python -m fastframe accelerate [option ...] PROGRAM [argument ...]\n"
        "       python -m fastframe accelerate [option ...] -m MODULE [argument ...]",
        description="Runs a program as python itself would. When it imports a library that there is an"
        " adapter\nfor, our codec goes into it; what the program sees of the library stays the same. All that"
        " follows\nthe program's name is the program's.",
        epilog=_ACCELERATE_EXAMPLES,
    )
    accelerate.set_defaults(run=_run_accelerate, fail=accelerate.error)
    accelerate.add_argument(
        "--library",
        action="append",
        type=_library,
        metavar="NAME[=DEPTH]",
        help="use this adapter, down to this depth, and those named likewise alone (default: all, as deep as"
        " they go)",
    )
    accelerate.add_argument(
        "--strict",
        action="store_true",
        help="run the program only if every adapter that is to be used goes in; their libraries are imported"
        " for it",
    )
    accelerate.add_argument(
        "--verbose", action="store_true", help="say, in a line each, which libraries have got an adapter"
    )
    accelerate.add_argument(
        "-m", action="store_true", dest="as_module", help="run a module, as python -m does"
    )
    # "A...": a word that is no option, and whatever follows it.
    accelerate.add_argument(
        "program",
        nargs="A...",
        metavar="PROGRAM",
        help="a file, or a folder or archive that has a __main__.py",
    )


def _add_install_check(commands: Any) -> None:
    check = commands.add_parser(
        "install-check",
        help="which libraries are there for accelerate, and what would be done to them",
        description="Imports the libraries that there are adapters for and that are installed, and tells"
        " their\nversions, how deep each adapter would go in, or why it would not. Nothing is changed.",
        epilog=_CHECK_EXAMPLES,
    )
    check.set_defaults(run=_run_install_check)
    check.add_argument("libraries", nargs="*", type=_library_name, metavar="NAME", help="default: all")
    check.add_argument("--json", action="store_true", help="print it as JSON")


def _add_info(commands: Any) -> None:
    info = commands.add_parser(
        "info",
        help="which half of the codec runs, on what: paste it into a bug report",
        description="Prints the half of the codec in use, its kernels, versions, and which extras are there."
        "\nFASTFRAME_EXTENSION=0 chooses the pure half, FASTFRAME_EXTENSION=1 insists on the compiled one.",
        epilog="examples:\n  python -m fastframe info\n  python -m fastframe info --json | jq -r .backend",
    )
    info.set_defaults(run=_run_info)
    info.add_argument("--json", action="store_true", help="print it as JSON")


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="a page in your browser that shows this engine at work",
        description="Serves a page and its WebSockets from one port, and prints the URL to open. Only this"
        " machine\ncan reach it, and only pages of its own may connect, unless told otherwise.",
        epilog=_DEMO_EXAMPLES,
    )
    demo.set_defaults(run=_run_demo, fail=demo.error)
    demo.add_argument("--host", default="127.0.0.1", help="name or address (default: %(default)s)")
    demo.add_argument("--port", type=_port, help="port (default: 8766, or any that is free if it is taken)")
    demo.add_argument(
        "--origin",
        action="append",
        type=_page_origin,
        metavar="ORIGIN",
        help="a further origin of the page, such as that of a proxy in front (may be repeated)",
    )
    demo.add_argument(
        "--seconds",
        type=_positive_seconds,
        default=math.inf,
        metavar="SECONDS",
        help="end by itself after so long (default: run until Ctrl-C)",
    )


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="speeds of the codec on this machine, in a few seconds",
        description="Times the codec beside a plain copy of the same bytes: a first look. The benchmarks"
        "\nwith other libraries, servers and clients are in the repository (make bench, make bench-servers).",
        epilog="examples:\n  python -m fastframe bench\n"
        "  FASTFRAME_EXTENSION=0 python -m fastframe bench\n      the pure half",
    )
    bench.set_defaults(run=_run_bench)


def _add_tour(commands: Any) -> None:
    tour = commands.add_parser(
        "tour",
        help="a self-checking tour of the codec in the terminal, with speeds",
        description="Masks, frames, cuts, decodes and validates, checks every result and prints it, with the"
        "\nspeeds beside a plain copy of the same bytes. Exits with 1 if a check fails.",
        epilog="examples:\n  python -m fastframe tour\n  python -m fastframe tour --seed 7",
    )
    tour.set_defaults(run=_run_tour)
    tour.add_argument(
        "--seed", type=int, metavar="N", help="repeat the random part of a run (default: a new seed, printed)"
    )


# The commands are imported when they are run: info needs no event loop.


def _run_serve(chosen: argparse.Namespace) -> int:
    from .serve import run

    return run(chosen)


def _run_connect(chosen: argparse.Namespace) -> int:
    from .connect import run

    return run(chosen)


def _run_accelerate(chosen: argparse.Namespace) -> Callable[[], None]:
    from .accelerate import prepare

    return prepare(chosen)


def _run_install_check(chosen: argparse.Namespace) -> int:
    from .install_check import run

    return run(chosen.libraries, as_json=chosen.json)


def _run_info(chosen: argparse.Namespace) -> int:
    from .info import run

    return run(as_json=chosen.json)


def _run_demo(chosen: argparse.Namespace) -> int:
    from .demo import run

    return run(chosen)


def _run_bench(_: argparse.Namespace) -> int:
    from ..tour import run_speeds

    return run_speeds()


def _run_tour(chosen: argparse.Namespace) -> int:
    from ..tour import run

    return run(chosen.seed)


# What argparse calls to check a word.


def _checked(check: Callable[[str], Any], word: str) -> Any:
    try:
        return check(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _uri(word: str) -> str:
    from ..uri import parse_uri

    _checked(parse_uri, word)
    return word


def _proxy(word: str) -> str:
    from ..proxies import parse_proxy

    _checked(parse_proxy, word)
    return word


def _path(word: str) -> str:
    if not word:
        raise argparse.ArgumentTypeError("it is empty")
    return word


def _accepted_origin(word: str) -> str:
    return word if word in ("none", "null") else _origin(word)


def _page_origin(word: str) -> str:
    origin = _origin(word)
    if not origin.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{word!r} is not the origin of a page")
    return origin


def _origin(word: str) -> str:
    origin = word.lower()
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise argparse.ArgumentTypeError(f"{word!r} is not of the form scheme://host or scheme://host:port")
    if (found["scheme"], found["port"]) in _PORTS_LEFT_OUT:
        raise argparse.ArgumentTypeError(f"{word!r}: browsers leave {found['port']} out")
    return origin


def _header(word: str) -> tuple[str, str]:
    from ..http_headers import Headers

    name, colon, value = word.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{word!r} is not of the form 'Name: value'")
    field = (name, value.strip())
    _checked(lambda _: Headers([field]), word)
    return field


def _library_name(word: str) -> str:
    from ..adapters import depths_of

    _checked(depths_of, word)
    return word


def _library(word: str) -> tuple[str, str | None]:
    from ..adapters import depths_of

    name, equals, depth = word.partition("=")
    depths = _checked(depths_of, name)
    if equals and depth not in depths:
        raise argparse.ArgumentTypeError(f"{name} has no depth {depth!r}, but {', '.join(depths)}")
    return name, depth if equals else None


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 5 and int(word) < 65536):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number in 0..65535")
    return int(word)


def _size(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 18):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number of bytes")
    return int(word)


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number of seconds")
    return seconds


def _positive_seconds(word: str) -> float:
    seconds = _seconds(word)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{word!r} is not a positive number of seconds")
    return seconds
