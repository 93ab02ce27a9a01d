"""Who may connect, decided in the opening handshake: tokens, cookies, origins, and what ends with a token.

    export SECRET=$(python -c 'import secrets; print(secrets.token_hex(32))')
    python examples/authentication/server.py --origin https://app.example
    export TOKEN=$(python examples/authentication/server.py --issue ada --lifetime 60)
    python -m fastframe connect ws://localhost:8765/ --header "Authorization: Bearer $TOKEN"

- A program shows its token in `Authorization`. A page cannot set that header: its site sets the token as a
  cookie (`Set-Cookie: token=...; Secure; HttpOnly; SameSite=Strict`), and the browser sends it along. In a
  URL it would end in logs.
- Browsers send cookies with every page's WebSocket, a stranger's too. So the Origin has to be one of ours:
  403.
- Without a valid token the answer is 401 with `WWW-Authenticate` (RFC 6750), and there never is a
  connection.
- A connection outlives the request that opened it. When the token expires it is closed with EXPIRED, which
  tells a client to get another one; with 1006 it would just try again.

A token is "name.expiry.signature" here, HMAC-SHA-256 of the standard library. Whatever issues yours (an
OpenID provider's JWT, a session in a database): `session_of` is the place to check it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import os
import signal
import sys
import time
from dataclasses import dataclass

from fastframe import Headers, Request, Response, WebSocketStream, serve

EXPIRED = 4401
"""Codes from 4000 on are an application's own (RFC 6455 section 7.4.2)."""


@dataclass(frozen=True)
class Session:
    """Who a valid token is about."""

    name: str
    expiry: int
    """Seconds since 1970."""


class Tokens:
    """Issues tokens and checks them.

    Args:
        secret: known to the servers that issue or check them, and to nobody else.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def issue(self, name: str, lifetime: float) -> str:
        """A token for `lifetime` seconds."""
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"{name!r} has characters that a header or cookie may not have")
        signed = f"{name}.{int(time.time() + lifetime)}"
        return f"{signed}.{self._signature(signed)}"

    def check(self, token: str) -> Session | None:
        """None if it is not one of ours, or has expired."""
        signed, _, signature = token.rpartition(".")
        # Not ==: how long that takes tells how much of a guess is right.
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            return None
        name, _, expiry = signed.rpartition(".")
        return Session(name, int(expiry)) if time.time() < int(expiry) else None

    def _signature(self, signed: str) -> str:
        return hmac.new(self._secret, signed.encode(), hashlib.sha256).hexdigest()


class Gate:
    """Lets in those who have a valid token, and sees them out when it expires."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def process_request(self, _: object, request: Request) -> Response | None:
        """Refuse who has no valid token."""
        if self.session_of(request) is not None:
            return None
        shown = "Authorization" in request.headers
        challenge = 'Bearer realm="fastframe"' + (', error="invalid_token"' if shown else "")
        return Response(401, [("WWW-Authenticate", challenge)], b"Who are you?\n")

    def session_of(self, request: Request) -> Session | None:
        """Whose request it is."""
        token = token_of(request.headers)
        return None if token is None else self._tokens.check(token)

    async def handle(self, ws: WebSocketStream) -> None:
        """Serve somebody until the token expires."""
        assert ws.request is not None, "it is open"
        session = self.session_of(ws.request)
        if session is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(talk(ws, session), session.expiry - time.time())
                return
        await ws.close(EXPIRED, "the token has expired")


def token_of(headers: Headers) -> str | None:
    """A program's token or a page's, None without one."""
    authorization = headers.get_all("Authorization")
    if authorization:
        scheme, _, token = authorization[0].partition(" ")
        return token.strip() if scheme.lower() == "bearer" and len(authorization) == 1 else None
    # Each by itself (RFC 6265 section 5.4): http.cookies drops all behind one that it does not like.
    for cookie in "; ".join(headers.get_all("Cookie")).split(";"):
        name, _, value = cookie.partition("=")
        if name.strip() == "token":
            return value.strip()
    return None


async def talk(ws: WebSocketStream, session: Session) -> None:
    """The application."""
    await ws.send(f"Hello {session.name}")
    async for message in ws:
        await ws.send(message)


async def main(gate: Gate, host: str, port: int, origins: list[str]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    # None: programs send no Origin, and browsers always do.
    allowed = [*origins, None]
    async with serve(
        gate.handle, host, port, process_request=gate.process_request, origins=allowed
    ) as server:
        print(f"listening on ws://{host}:{server.sockets[0].getsockname()[1]}/", flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A server for those who have a token.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--origin", action="append", default=[], help="of our pages (may be repeated)")
    parser.add_argument("--issue", metavar="NAME", help="print a token for NAME instead of serving")
    parser.add_argument("--lifetime", type=float, default=3600, metavar="SECONDS", help="of that token")
    chosen = parser.parse_args()
    secret = os.environ.get("SECRET", "").encode()
    if len(secret) < 32:
        sys.exit("SECRET in the environment needs 32 characters at least: nobody must guess it")
    if chosen.issue:
        try:
            print(Tokens(secret).issue(chosen.issue, chosen.lifetime))
        except (ValueError, OverflowError) as error:
            sys.exit(str(error))
    else:
        asyncio.run(main(Gate(Tokens(secret)), chosen.host, chosen.port, chosen.origin))
