"""`connect` without a terminal: lines of a pipe in, messages out, and how it says what went wrong."""

from __future__ import annotations

import http
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from cli_support import (
    FASTFRAME,
    LIMIT,
    Peer,
    certificate,
    command,
    complaint,
    environment,
    line_with,
    output,
    peer,
    running,
    serving,
)

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and Unix sockets are not Windows'")


def connect(
    uri: str, *arguments: str, given: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return command("connect", uri, *arguments, given=given, env=env)


def connect_reading(uri: str, *arguments: str, file: IO[bytes]) -> subprocess.CompletedProcess[bytes]:
    """The same, with a file as its input."""
    return subprocess.run(
        [*FASTFRAME, "connect", uri, *arguments],
        stdin=file,
        capture_output=True,
        timeout=LIMIT,
        check=False,
        env=environment(),
    )


@contextmanager
def echo_server(library: str) -> Iterator[str]:
    if library == "fastframe":
        with serving() as uri:
            yield uri
    else:
        with peer() as said:
            yield said.uri


both_servers = pytest.mark.parametrize("library", ["fastframe", "websockets"])


# Lines in, messages out.


@both_servers
def test_each_line_is_a_message_and_no_answer_is_lost(library: str) -> None:
    # websockets drops the answers that it has not sent when our close frame comes.
    lines = [f"line {number}" for number in range(3000)]
    with echo_server(library) as uri:
        finished = connect(uri, given="\n".join(lines).encode())
    assert finished.stdout.decode().splitlines() == lines
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.decode().splitlines()[-1] == "closed: 1000 normal closure"


def test_without_waiting_the_server_s_own_close_ends_it() -> None:
    # Our server takes its messages before it answers the close frame.
    with serving() as uri:
        finished = connect(uri, "--wait", "0", given=b"one\ntwo\n")
    assert (finished.returncode, finished.stdout) == (0, b"one\ntwo\n")


def test_waiting_for_ever_gets_the_latest_answer() -> None:
    def late(said: Peer, connection: Any) -> None:
        questions = [connection.recv(), connection.recv()]
        # Nothing comes any more until we close: the client's input is at its end.
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.3)
        for question in questions:
            connection.send(f"answer to {question}")

    with peer(late) as said:
        finished = connect(said.uri, "--wait", "inf", given=b"one\ntwo\n")
    assert (finished.returncode, finished.stdout) == (0, b"answer to one\nanswer to two\n")
    assert finished.stderr.decode().splitlines()[-1] == "closed by the server: 1000 normal closure"


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\n\na\n", ["", "", "a"]),
        (b"/ping\n/close\n//\n", ["/ping", "/close", "//"]),
        ("Grüße, 世界\n".encode(), ["Grüße, 世界"]),
        (b"x" * 200_000 + b"\ny", ["x" * 200_000, "y"]),
    ],
    ids=["nothing", "no-end", "end", "crlf", "empty-lines", "slashes", "utf-8", "long"],
)
def test_lines_are_sent_as_they_are(given: bytes, messages: list[str]) -> None:
    with peer(Peer.listen) as said:
        finished = connect(said.uri, "--wait", "0", given=given)
        assert finished.returncode == 0, finished.stderr
        assert [said.hears() for _ in messages] == messages
        assert said.hears() == (1000, "")


def test_commands_are_obeyed_if_asked(tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(b"\x00\xff")
    (tmp_path / "text").write_text("Grüße", "utf-8")
    lines = [
        "/text /ping",
        "/binary 48 65",
        f"/file {tmp_path / 'a file'}",
        f"/file text {tmp_path / 'text'}",
    ]
    lines += ["/ping", "/close 4001 had enough", "never sent"]
    with peer(Peer.listen) as said:
        finished = connect(said.uri, "--commands", given="\n".join(lines).encode())
        heard = [said.hears() for _ in range(5)]
    assert heard == ["/ping", b"He", b"\x00\xff", "Grüße", (4001, "had enough")]
    assert finished.returncode == 0
    assert finished.stderr.decode().splitlines()[-1].startswith("closed: 4001")


def test_a_pong_is_shown_with_its_time() -> None:
    with peer() as said:
        finished = connect(said.uri, "--commands", "--wait", "0.1", given=b"/ping\n/ping again\n")
    assert finished.returncode == 0
    pongs = [line for line in finished.stderr.decode().splitlines() if line.startswith("pong after ")]
    assert len(pongs) == 2
    for line in pongs:
        assert 0 < float(line.removeprefix("pong after ").removesuffix(" ms")) < LIMIT * 1000


@pytest.mark.parametrize(
    ("arguments", "given", "line"),
    [
        ([], b"fine\n\xff\xfe\n", "fastframe: line 2 of the input is not UTF-8"),
        (["--commands"], b"/fly\n", "fastframe: there is no command /fly"),
        (["--commands"], b"/file /no/such\x1b/file\n", "fastframe: cannot read /no/such\\x1b/file: "),
    ],
)
def test_a_line_that_cannot_be_sent_ends_it(arguments: list[str], given: bytes, line: str) -> None:
    with peer() as said:
        finished = connect(said.uri, *arguments, given=given)
    assert finished.returncode == 1
    assert finished.stderr.decode().splitlines()[-1].startswith(line)


def test_an_input_that_cannot_be_read_ends_it(tmp_path: Path) -> None:
    with peer() as said, (tmp_path / "unreadable").open("wb") as unreadable:
        finished = connect_reading(said.uri, file=unreadable)
    assert finished.returncode == 1
    assert finished.stderr.decode().splitlines()[-1].startswith("fastframe: cannot read the input: ")


# What is printed.


def everything(said: Peer, connection: Any) -> None:
    for message in ("two\nlines \x1b[2J\x9b2J", b"\x00\x01\xff", "x" * 5000, ""):
        connection.send(message)


def test_a_pipe_gets_a_line_a_message_without_control_characters() -> None:
    with peer(everything) as said:
        finished = connect(said.uri, "--wait", "inf")
    assert finished.stdout.decode().split("\n") == [
        r"two\nlines \x1b[2J\x9b2J",
        "(3 bytes) 00 01 ff",
        "x" * 5000,
        "",
        "",
    ]


def test_raw_output_is_what_came() -> None:
    with peer(everything) as said:
        finished = connect(said.uri, "--wait", "inf", "--raw")
    assert finished.stdout == b"two\nlines \x1b[2J\xc2\x9b2J\n\x00\x01\xff" + b"x" * 5000 + b"\n\n"


def test_an_encoding_that_lacks_a_character_gets_its_number() -> None:
    with peer() as said:
        env = environment(PYTHONIOENCODING="ascii")
        finished = connect(said.uri, "--wait", "0.3", given="Grüße".encode(), env=env)
    assert (finished.returncode, finished.stdout) == (0, b"Gr\\xfc\\xdfe\n")


def test_a_reader_that_has_had_enough_ends_it_quietly() -> None:
    def endless(said: Peer, connection: Any) -> None:
        while True:
            connection.send("more")

    with peer(endless) as said, running("connect", said.uri, "--wait", "inf") as process:
        assert output(process).readline() == b"more\n"
        output(process).close()
        assert process.wait(LIMIT) == 1
        assert process.stderr is not None
        assert len(process.stderr.read().splitlines()) == 1


# How it ends.


@pytest.mark.parametrize(
    ("close_code", "reason", "status", "words"),
    [
        (1000, "", 0, "closed by the server: 1000 normal closure"),
        (1001, "going \x1b[2J", 0, r"closed by the server: 1001 going away, going \x1b[2J"),
        (1011, "oh no", 1, "closed by the server: 1011 internal error, oh no"),
        (4999, "", 1, "closed by the server: 4999"),
    ],
)
def test_the_exit_status_tells_how_the_server_closed(
    close_code: int, reason: str, status: int, words: str
) -> None:
    closing = peer(lambda said, connection: connection.close(close_code, reason))
    # The input has no end of its own: what still waits for a line must not hold up the end.
    with closing as said, running("connect", said.uri) as process:
        assert process.wait(LIMIT) == status
        assert process.stderr is not None
        assert process.stderr.read().decode().splitlines()[1:] == [words]


def test_a_connection_that_is_lost_is_a_failure() -> None:
    def vanish(said: Peer, connection: Any) -> None:
        connection.socket.shutdown(socket.SHUT_RDWR)

    with peer(vanish) as said:
        finished = connect(said.uri, "--wait", "inf")
    assert finished.returncode == 1
    line = finished.stderr.decode().splitlines()[-1]
    assert line.startswith("fastframe: the connection failed: no close frame received or sent")


def test_a_server_that_breaks_the_protocol_is_a_failure() -> None:
    def break_it(said: Peer, connection: Any) -> None:
        connection.socket.sendall(b"\x83\x00")
        said.listen(connection)

    with peer(break_it) as said:
        finished = connect(said.uri, "--wait", "inf", "--timeout", "1")
    assert finished.returncode == 1
    assert "fastframe: the connection failed: sent 1002" in finished.stderr.decode()


def test_a_command_that_was_not_obeyed_is_a_failure() -> None:
    def close_soon(_: Peer, connection: Any) -> None:
        connection.recv()

    with peer(close_soon) as said, running("connect", said.uri, "--commands") as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(b"one\n")
        assert said.hears() == (1000, "")
        # It waits a moment, lest somebody is still writing.
        process.stdin.write(b"/ping\ntwo\n")
        assert process.wait(LIMIT) == 1
        assert process.stderr.read().endswith(b"closed before all of the input was sent\n")


def test_input_that_was_not_sent_is_a_failure(tmp_path: Path) -> None:
    def close_soon(said: Peer, connection: Any) -> None:
        connection.recv()
        connection.close(1000)

    (tmp_path / "input").write_bytes((b"x" * 100_000 + b"\n") * 300)
    with peer(close_soon, close_timeout=1) as said, (tmp_path / "input").open("rb") as file:
        finished = connect_reading(said.uri, "--no-compression", file=file)
    assert finished.returncode == 1
    assert finished.stderr.decode().splitlines()[1:] == [
        "closed by the server: 1000 normal closure",
        "fastframe: the connection was closed before all of the input was sent",
    ]


@unix_only
def test_an_interrupt_closes_with_1001_quietly() -> None:
    with peer() as said, running("connect", said.uri) as process:
        line_with(process.stderr, "connected")
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 130
        assert said.hears() == (1001, "")
        assert process.stderr is not None
        assert process.stderr.read() == b""


@unix_only
def test_an_interrupt_while_connecting_is_quiet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        with running("connect", uri) as process:
            accepted, _ = silent.accept()
            with accepted:
                assert accepted.recv(1)
                process.send_signal(signal.SIGINT)
                assert process.wait(LIMIT) == 130
                assert process.stderr is not None
                assert process.stderr.read() == b""


# The handshake and the way there.


def test_what_is_asked_for_reaches_the_server() -> None:
    with peer(subprotocols=["chat"]) as said:
        arguments = [
            "--header",
            "X-One: 1",
            "--header",
            "X-Two:  two words ",
            "--origin",
            "https://example.com",
        ]
        arguments += ["--subprotocol", "superchat", "--subprotocol", "chat", "--no-compression"]
        finished = connect(said.uri, *arguments, "--wait", "0")
        headers = said.requests.get(timeout=LIMIT).headers
    assert finished.returncode == 0
    assert (headers["X-One"], headers["X-Two"], headers["Origin"]) == (
        "1",
        "two words",
        "https://example.com",
    )
    assert headers["Sec-WebSocket-Protocol"] == "superchat, chat"
    assert "Sec-WebSocket-Extensions" not in headers
    assert finished.stderr.decode().splitlines()[0] == f"connected to {said.uri}, subprotocol chat"


def test_verbose_shows_the_handshake_but_no_secrets() -> None:
    with peer() as said:
        uri = said.uri.replace("ws://", "ws://user:open-sesame@")
        finished = connect(uri, "--verbose", "--header", "Cookie: open-sesame", "--wait", "0")
    shown = finished.stderr.decode()
    assert "open-sesame" not in shown
    lines = shown.splitlines()
    for line in (
        "  GET / HTTP/1.1",
        "  Upgrade: websocket",
        "  Authorization: (not shown)",
        "  Cookie: (not shown)",
        "  HTTP/1.1 101 Switching Protocols",
    ):
        assert line in lines
    assert lines.index("  GET / HTTP/1.1") < lines.index("  HTTP/1.1 101 Switching Protocols")
    assert any(line.startswith("  Sec-WebSocket-Extensions: permessage-deflate; server") for line in lines)
    assert lines[-2] == f"connected to {said.uri}, permessage-deflate"


def forbid(connection: Any, request: Any) -> Any:
    return connection.respond(http.HTTPStatus.FORBIDDEN, "members only\x1b[2J\nsecond line\n")


def test_a_rejected_handshake_is_one_line_with_its_status() -> None:
    with peer(process_request=forbid) as said:
        line = complaint(connect(said.uri), 1)
    assert line == (
        f"fastframe: cannot connect to {said.uri}: the server answered with HTTP status 403 Forbidden:"
        r" members only\x1b[2J"
    )


def test_a_rejected_handshake_is_shown_whole_if_asked() -> None:
    with peer(process_request=forbid) as said:
        finished = connect(said.uri, "--verbose")
    assert finished.returncode == 1
    lines = finished.stderr.decode().splitlines()
    assert lines[0] == "  HTTP/1.1 403 Forbidden"
    assert lines[-3:-1] == [r"  members only\x1b[2J", "  second line"]


def test_a_page_is_not_shown_in_one_line() -> None:
    def page(connection: Any, request: Any) -> Any:
        response = connection.respond(http.HTTPStatus.NOT_FOUND, "<html>")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/html"
        return response

    with peer(process_request=page) as said:
        line = complaint(connect(said.uri), 1)
    assert line.endswith("the server answered with HTTP status 404 Not Found")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nobody_there_is_one_line(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    line = complaint(connect(f"ws://{host}:{port}/"), 1)
    assert line == f"fastframe: cannot connect to ws://{host}:{port}/: connection refused"


def test_a_host_that_is_none_is_one_line() -> None:
    line = complaint(connect("ws://user:open-sesame@no-such-host.invalid/"), 1)
    assert line.startswith("fastframe: cannot connect to ws://no-such-host.invalid/: ")
    assert "open-sesame" not in line


def test_a_server_that_does_not_answer_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        line = complaint(connect(uri, "--timeout", "0.2"), 1)
    assert line == f"fastframe: cannot connect to {uri}: no answer within 0.2 s"


def test_a_certificate_is_checked_unless_told_otherwise(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with serving("--tls-cert", cert, "--tls-key", key) as uri:
        line = complaint(connect(uri), 1)
        assert line.startswith(f"fastframe: cannot connect to {uri}: the certificate is refused: self")
        assert line.endswith("(--insecure accepts any)")
        insecure = connect(uri, "--insecure", "--wait", "0.3", given=b"Hello")
        assert (insecure.returncode, insecure.stdout) == (0, b"Hello\n")
        trusted = connect(uri, "--wait", "0.3", given=b"Hello", env=environment(SSL_CERT_FILE=cert))
        assert (trusted.returncode, trusted.stdout) == (0, b"Hello\n")


def test_tls_with_a_server_that_speaks_none_is_one_line() -> None:
    with serving() as uri:
        line = complaint(connect(uri.replace("ws://", "wss://")), 1)
    assert "TLS failed: " in line


@unix_only
def test_a_unix_socket_is_a_way_too(tmp_path: Path) -> None:
    path = str(tmp_path / "echo.sock")
    with running("serve", "--unix", path) as process:
        line_with(output(process), "echoing")
        finished = connect("ws://localhost/", "--unix", path, "--wait", "0.3", given=b"near")
        assert (finished.returncode, finished.stdout) == (0, b"near\n")


def test_a_proxy_is_asked_first() -> None:
    asked: queue.Queue[bytes] = queue.Queue()

    def refuse(listening: socket.socket) -> None:
        way, _ = listening.accept()
        with way:
            asked.put(way.recv(4096))
            way.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(LIMIT)
        thread = threading.Thread(target=refuse, args=(listening,))
        thread.start()
        proxy = f"http://127.0.0.1:{listening.getsockname()[1]}"
        line = complaint(connect("ws://example.com/", "--proxy", proxy), 1)
        thread.join(LIMIT)
    assert asked.get(timeout=LIMIT).startswith(b"CONNECT example.com:80 HTTP/1.1\r\n")
    assert "403" in line


def test_no_proxy_goes_straight() -> None:
    with peer() as said:
        # Nobody listens on that port.
        env = environment(http_proxy="http://127.0.0.1:9", all_proxy="http://127.0.0.1:9")
        assert "proxy 127.0.0.1:9" in complaint(connect(said.uri, env=env), 1)
        finished = connect(said.uri, "--no-proxy", "--wait", "0.3", given=b"straight", env=env)
    assert (finished.returncode, finished.stdout) == (0, b"straight\n")
