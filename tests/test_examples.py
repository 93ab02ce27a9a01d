"""examples/: that each is described as it is; and echo and authentication, in processes of their own."""

from __future__ import annotations

import re
import time

import pytest
from examples_support import EXAMPLES, bounded, finished, free_port, server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

SECRET = "of the tests, and long enough to pass for one"
PROGRAMS = sorted(path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*/*.py"))


def commands_of(text: str) -> list[tuple[str, list[str]]]:
    """The programs and options of the commands in a text."""
    found = re.findall(r"python examples/(\S+\.py)([^\n|`]*)", text)
    return [(path, re.findall(r"--[a-z-]+", rest.partition("#")[0])) for path, rest in found]


def test_each_example_has_its_section_and_command() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    sections = re.findall(r"^## .*\[(\w+)\]\((\w+)\)", page, re.MULTILINE)
    folders = sorted(path.parent.name for path in EXAMPLES.glob("*/*.py"))
    assert sorted(name for name, _ in sections) == sorted(set(folders))
    assert all(name == target for name, target in sections)
    named = {path.partition("/")[0] for path, _ in commands_of(page)}
    assert named | {"cimport", "channels_app", "fastapi_app"} == set(folders)


@pytest.mark.parametrize("source", ["README.md", *PROGRAMS])
def test_commands_are_those_that_the_programs_have(source: str) -> None:
    for path, options in commands_of((EXAMPLES / source).read_text("utf-8")):
        program = (EXAMPLES / path).read_text("utf-8")
        for option in options:
            assert f'"{option}"' in program, (path, option)


@bounded
async def test_echo() -> None:
    async with server("echo/server.py") as running:
        words = ["Hello", "世界", "", "x" * 100_000]
        assert await finished("echo/client.py", "--uri", running.uri, *words) == (
            0,
            "".join(f"{word}\n" for word in words),
            "",
        )
        async with connect(running.uri, proxy=None) as ws:
            await ws.send(b"\0\xff")
            assert await ws.recv() == b"\0\xff"
            await running.end()
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert ws.close_code == 1001


@bounded
async def test_echo_without_a_server_says_so_in_a_line() -> None:
    status, output, log = await finished("echo/client.py", "--uri", f"ws://127.0.0.1:{free_port()}/", "x")
    assert (status, output, log.count("\n")) == (1, "", 1)
    assert log.startswith("no echo from ws://127.0.0.1:")


# Authentication.


async def token(name: str, lifetime: float) -> str:
    words = ["--issue", name, "--lifetime", str(lifetime)]
    status, output, log = await finished("authentication/server.py", *words, SECRET=SECRET)
    assert (status, log) == (0, "")
    return output.strip()


async def refusal(uri: str, headers: dict[str, str], origin: str | None = None) -> tuple[int, str | None]:
    with pytest.raises(InvalidStatus) as refused:
        await connect(uri, additional_headers=headers, origin=origin, proxy=None)
    response = refused.value.response
    return response.status_code, response.headers.get("WWW-Authenticate")


@bounded
async def test_authentication_by_header_and_by_cookie() -> None:
    ours = "https://app.example"
    bearer = {"Authorization": f"Bearer {await token('ada', 60)}"}
    cookie = {"Cookie": f"theme=dark; token={await token('alan', 60)}"}
    async with server("authentication/server.py", "--origin", ours, SECRET=SECRET) as running:
        async with connect(running.uri, additional_headers=bearer, proxy=None) as ws:
            assert await ws.recv() == "Hello ada"
            await ws.send("still there?")
            assert await ws.recv() == "still there?"
        async with connect(running.uri, additional_headers=cookie, origin=ours, proxy=None) as ws:
            assert await ws.recv() == "Hello alan"
        for other in ('prefs={"theme":"dark"}', "seen", "path=/x", "=", "", "token2=a"):
            behind = {"Cookie": f"{other}; {cookie['Cookie']}"}
            async with connect(running.uri, additional_headers=behind, origin=ours, proxy=None) as ws:
                assert await ws.recv() == "Hello alan", other
        # A stranger's page, in a browser that sends the cookie along.
        assert await refusal(running.uri, cookie, "https://evil.example") == (403, None)
        assert await refusal(running.uri, cookie, "null") == (403, None)


@bounded
async def test_authentication_refuses_with_401_and_a_challenge() -> None:
    valid = await token("ada", 60)
    name, expiry, signature = valid.split(".")
    bad = 'Bearer realm="fastframe", error="invalid_token"'
    async with server("authentication/server.py", SECRET=SECRET) as running:
        assert await refusal(running.uri, {}) == (401, 'Bearer realm="fastframe"')
        for forged in (
            f"Bearer eve.{expiry}.{signature}",
            f"Bearer {name}.{int(expiry) + 1}.{signature}",
            f"Bearer {name}.{expiry}.{signature[:-1]}",
            f"Bearer {await token('ada', -1)}",
            f"Basic {valid}",
            "Bearer",
            "Bearer é.ü",
        ):
            assert await refusal(running.uri, {"Authorization": forged}) == (401, bad), forged


@bounded
async def test_authentication_ends_with_the_token() -> None:
    async with server("authentication/server.py", SECRET=SECRET) as running:
        bearer = {"Authorization": f"Bearer {await token('ada', 4)}"}
        async with connect(running.uri, additional_headers=bearer, proxy=None) as ws:
            assert await ws.recv() == "Hello ada"
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == (4401, "the token has expired")
            expiry = int(bearer["Authorization"].split(".")[-2])
            assert expiry <= time.time() < expiry + 1.5
        assert (await refusal(running.uri, bearer))[0] == 401


@bounded
async def test_authentication_needs_a_secret_and_a_proper_name() -> None:
    status, _, log = await finished("authentication/server.py", SECRET="guessed")
    assert (status, log.count("\n")) == (1, 1) and "SECRET" in log
    status, _, log = await finished("authentication/server.py", "--issue", "a; b", SECRET=SECRET)
    assert (status, log.count("\n")) == (1, 1) and "'a; b'" in log
