"""The other end of a host process: sockets and frames by hand, with nothing of any library."""

from __future__ import annotations

import base64
import hashlib
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent.parent.parent
SECONDS = 30
"""Within which everything answers."""

DEFLATE = "permessage-deflate"


def xor(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 section 5.3, as one big number."""
    block = int.from_bytes((key * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ block).to_bytes(len(payload), "big")


def frame(opcode: int, payload: bytes, *, masked: bool, fin: bool = True, rsv: int = 0) -> bytes:
    """One frame, RFC 6455 section 5.2 word for word."""
    size = len(payload)
    short = size if size < 126 else 126 if size < 65536 else 127
    header = bytes([fin << 7 | rsv << 4 | opcode, masked << 7 | short])
    header += b"" if size < 126 else struct.pack("!H" if size < 65536 else "!Q", size)
    if not masked:
        return header + payload
    key = os.urandom(4)
    return header + key + xor(payload, key)


class Got(NamedTuple):
    """A frame as it came, unmasked."""

    first: int
    payload: bytes
    masked: bool


class Peer:
    """One connection, after its opening handshake."""

    def __init__(self, connection: socket.socket, *, masks: bool, deflates: bool) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(SECONDS)
        self.socket = connection
        self.masks = masks
        self.deflates = deflates
        self._compressor = zlib.compressobj(wbits=-15)
        self._decompressor = zlib.decompressobj(wbits=-15)
        self._buffer = bytearray()

    def frame(self, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
        return frame(opcode, payload, masked=self.masks, fin=fin, rsv=rsv)

    def deflated(self, payload: bytes) -> bytes:
        """Compressed, in the context of all before it (RFC 7692 section 7.2.1)."""
        return (self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def inflated(self, payload: bytes) -> bytes:
        return self._decompressor.decompress(payload + b"\0\0\xff\xff")

    def _more(self) -> bool:
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data)

    def _take(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not self._more():
                return None
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def head(self) -> bytes:
        """An HTTP head, to its empty line."""
        while b"\r\n\r\n" not in self._buffer:
            assert self._more(), f"no handshake: {self._buffer!r}"
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return bytes(head)

    def get(self) -> Got | None:
        """The next frame; None at the end of the stream."""
        start = self._take(2)
        if start is None:
            return None
        size, masked = start[1] & 0x7F, bool(start[1] & 0x80)
        if size > 125:
            extended = self._take(2 if size == 126 else 8)
            assert extended is not None
            size = int.from_bytes(extended, "big")
        key = self._take(4) if masked else None
        payload = self._take(size)
        assert payload is not None
        return Got(start[0], xor(payload, key) if key else payload, masked)

    def close(self) -> None:
        self.socket.close()


def _accept_value(key: str) -> str:
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


class HostProcess:
    """A process of hosts.py."""

    def __init__(self, name: str, role: str) -> None:
        self.role = role
        self._deflates = name.endswith("-deflate")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "drop_ins.adapters.hosts", name],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            text=True,
        )
        self._answers: queue.Queue[list[str]] = queue.Queue()
        self._opens: queue.Queue[bool] = queue.Queue()
        self._ends: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.pid = self._process.pid
        self.port = int(self._answers.get(timeout=SECONDS)[1])
        self._listener = socket.create_server(("127.0.0.1", 0))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ended"):
                self._ends.put(line.strip())
            elif line.startswith("open"):
                self._opens.put(True)
            else:
                self._answers.put(line.split())
        self._answers.put(["ended"])
        self._opens.put(False)
        self._ends.put("the process has ended")

    def command(self, *words: object) -> int:
        """Run a command; returns the process time in nanoseconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._answers.get(timeout=SECONDS)
        assert answer[0] == "done", answer
        return int(answer[1])

    def forget_ends(self) -> None:
        """What a test that failed has left must not be taken for the next one's."""
        with suppress(queue.Empty):
            while True:
                self._ends.get_nowait()

    def ended(self) -> str:
        """How the host tells that a conversation ended."""
        return self._ends.get(timeout=SECONDS)

    def meet(self) -> Peer:
        """A new connection with the host."""
        offer = f"Sec-WebSocket-Extensions: {DEFLATE}\r\n" if self._deflates else ""
        if self.role == "server":
            peer = Peer(
                socket.create_connection(("127.0.0.1", self.port)), masks=True, deflates=self._deflates
            )
            peer.socket.sendall(
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                + offer.encode()
                + b"\r\n"
            )
            head = peer.head()
            assert head.startswith(b"HTTP/1.1 101 ")
            assert (b"permessage-deflate" in head) is self._deflates
            return peer
        self._listener.settimeout(SECONDS)
        self.command("connect", self._listener.getsockname()[1])
        peer = Peer(self._listener.accept()[0], masks=False, deflates=self._deflates)
        fields = dict(line.split(": ", 1) for line in peer.head().decode().split("\r\n")[1:])
        key = {name.lower(): value for name, value in fields.items()}["sec-websocket-key"]
        peer.socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {_accept_value(key)}\r\n{offer}\r\n".encode()
        )
        assert self._opens.get(timeout=SECONDS)
        return peer

    def end(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._listener.close()
