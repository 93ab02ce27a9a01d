"""The server that is attacked: ``python victim.py coroutine|callback|uvicorn asyncio|uvloop``.

Behind that may come the files of a certificate and its key, for TLS, and a word: "renegotiable" to let
clients renegotiate (not with uvicorn); "flooded" to let them send records that are not encrypted, and to have
the system keep as little as it can of what is sent and received.

It says "port N", and ends with its standard input. Time limits are short, so
that attacks on them are; all limits in bytes are the defaults.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from typing import Any

from fastframe import WebSocket, WebSocketStream, serve

TIMES: dict[str, float] = {
    "open_timeout": 1.0,
    "close_timeout": 0.6,
    "ping_interval": 0.8,
    "ping_timeout": 0.8,
}
PUSHED = b"x" * 65_536
OP_ALLOW_CLIENT_RENEGOTIATION = 1 << 8
"""Of OpenSSL 3, which older ones have no use for; `ssl` does not name it."""
CIPHERS = "ALL:ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"
ORIGINS = ["http://good.example", None]


async def handler(ws: WebSocketStream) -> None:
    path = ws.request.path if ws.request else "/"
    if path == "/deaf":  # takes nothing
        await ws.wait_closed()
    elif path == "/push":  # does nothing but send
        while True:
            await ws.send(PUSHED)
    else:
        async for message in ws:
            await ws.send(message)


class Callbacks(WebSocket):
    def on_open(self) -> None:
        if self.request and self.request.path == "/push":
            self.slow_consumer = "drop_oldest"
            self.push()

    def push(self) -> None:
        if self.ready_state == 1:
            self.send(PUSHED)
            self._loop.call_later(0.0005, self.push)

    def on_message(self, message: str | bytes) -> None:
        self.send(message)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The same for uvicorn."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while scope["path"] == "/deaf":
        await asyncio.sleep(0.3)
        await send({"type": "websocket.send", "text": ""})  # which tells when the client has left
    while scope["path"] == "/push":
        await send({"type": "websocket.send", "bytes": PUSHED})
    while (event := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})


async def announce(sock: socket.socket) -> None:
    """Say the port, and wait until the standard input ends."""
    # First what opens files by itself, while it is imported: from here on descriptors are counted.
    ending = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print("port", sock.getsockname()[1], flush=True)
    await ending


def listening(*words: str) -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    if words == ("flooded",):
        # Those that it accepts have it from it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    return sock


async def run_ours(form: str, *tls: str) -> None:
    kind: Any = handler if form == "coroutine" else Callbacks
    options: Any = TIMES | {"origins": ORIGINS, "ssl": tls_of(*tls) if tls else None}
    sock = listening(*tls[2:])
    async with serve(kind, sock=sock, **options):
        await announce(sock)


def tls_of(certificate: str, key: str, *words: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if words == ("renegotiable",):
        context.options |= OP_ALLOW_CLIENT_RENEGOTIATION
    elif words == ("flooded",):
        context.set_ciphers(CIPHERS)
    elif ssl.OPENSSL_VERSION_INFO < (3,):
        context.options |= ssl.OP_NO_RENEGOTIATION
    return context


async def run_uvicorn(*tls: str) -> None:
    import uvicorn

    files = {"ssl_certfile": tls[0], "ssl_keyfile": tls[1], "ssl_ciphers": CIPHERS} if tls else {}
    sock = listening(*tls[2:])
    config = uvicorn.Config(
        application,
        ws="fastframe.uvicorn:WebSocketProtocol",
        lifespan="off",
        log_level="critical",
        ws_max_size=1024 * 1024,
        ws_ping_interval=TIMES["ping_interval"],
        ws_ping_timeout=TIMES["ping_timeout"],
        loop="none",
        **files,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([sock]))
    while not server.started:  # noqa: ASYNC110 - it tells in no other way
        await asyncio.sleep(0.01)
    await announce(sock)
    server.should_exit = server.force_exit = True
    await running


def main() -> None:
    form, loop, *tls = sys.argv[1:]
    running = run_uvicorn(*tls) if form == "uvicorn" else run_ours(form, *tls)
    if loop == "uvloop":
        import uvloop

        uvloop.run(running)
    else:
        asyncio.run(running)


if __name__ == "__main__":
    main()
