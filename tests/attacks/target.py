"""A victim that is watched while it is attacked: its memory, its descriptors, how soon it answers others."""

from __future__ import annotations

import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from attacks.process import Process, Variant
from raw_peer import REQUEST, RawFrame, split_frame
from wire import data_frame

from fastframe import Role

MIB = 1024 * 1024
SOCKET_TIMEOUT = 10.0

RETURN = 12
"""MiB that may stay: the allocator keeps some of what was freed."""

SETTLING = 6.0
"""Seconds in which memory and descriptors have to be back."""

QUIET_FACTOR, WORST = 20, 2.5
FLOOR = {"compiled": 0.25, "pure": 0.5}
"""A bystander's median may be so many times that of quiet, or so many seconds; each may be `WORST`."""


class Wire:
    """A connection of the attacker: a blocking socket."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(SOCKET_TIMEOUT)
        self.sock.connect(("127.0.0.1", port))
        self.data = b""

    def send(self, data: bytes) -> bool:
        """Send; False if the victim has closed."""
        try:
            self.sock.sendall(data)
        except (ConnectionError, BrokenPipeError):
            return False
        return True

    def flood(self, data: bytes, seconds: float, most: int = 200 * MIB) -> int:
        """Send again and again while it is taken; how many bytes were."""
        sent, end = 0, time.monotonic() + seconds
        self.sock.settimeout(0.3)
        with suppress(ConnectionError, TimeoutError):
            while time.monotonic() < end and sent < most:
                sent += self.sock.send(data)
        self.sock.settimeout(SOCKET_TIMEOUT)
        return sent

    def more(self) -> bool:
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionError:
            return False
        self.data += data
        return bool(data)

    def status(self) -> str:
        """The status of an HTTP answer, "closed" if there is none."""
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                return "closed"
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        return head.split()[1].decode()

    def frame(self) -> RawFrame | None:
        while True:
            split = split_frame(self.data)
            if split is not None:
                frame, self.data = split
                return frame
            if not self.more():
                return None

    def close_code(self) -> str:
        """The close code that comes, "closed" if the end comes without one."""
        while (frame := self.frame()) is not None:
            if frame.opcode == 8:
                return str(struct.unpack("!H", frame.payload[:2])[0])
        return "closed"

    def is_gone_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        self.sock.settimeout(0.1)
        while time.monotonic() < end:
            try:
                if not self.sock.recv(1 << 18):
                    return True
            except ConnectionError:
                return True
            except TimeoutError:
                pass
        return False

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Target(Process):
    """The victim's process."""

    def __init__(self, variant: Variant, *tls: str) -> None:
        super().__init__("victim.py", variant, *tls)
        line = self.line()
        assert line.startswith("port "), f"{variant} did not start"
        self.port = int(line.split()[1])
        self._wires: list[Wire] = []

    # Connections to it.

    def connect(self, receive_buffer: int | None = None) -> Wire:
        wire = Wire(self.port, receive_buffer)
        self._wires.append(wire)
        return wire

    def open(
        self, path: str = "/echo", headers: str = "", behind: bytes = b"", receive_buffer: int | None = None
    ) -> Wire:
        """A connection whose handshake is done."""
        wire = self.connect(receive_buffer)
        wire.send(request(path, headers) + behind)
        status = wire.status()
        assert status == "101", status
        return wire

    def close_all(self) -> None:
        for wire in self._wires:
            with suppress(OSError):
                wire.reset()
        self._wires.clear()

    # Watching.

    @contextmanager
    def watched(self, memory: float) -> Iterator[None]:
        """Hold it to its bounds while it is attacked, and to where it was before afterwards."""
        bystander = Bystander(self)
        quiet = bystander.median_of(30)
        before, descriptors = self.memory, self.descriptors
        bystander.start()
        try:
            yield
        finally:
            peak, latencies = bystander.finish()
            self.close_all()
        self._check_return(before, descriptors)
        assert peak - before <= memory, f"grew by {peak - before:.0f} MiB, {memory} at most"
        if latencies:
            median, worst = statistics.median(latencies), max(latencies)
            allowed = max(QUIET_FACTOR * quiet, FLOOR[self.variant.half])
            assert median <= allowed, f"a bystander's median was {median:.3f} s, quiet {quiet:.4f}"
            assert worst <= WORST, f"a bystander waited for {worst:.3f} s"

    def _check_return(self, memory: float, descriptors: int) -> None:
        end = time.monotonic() + SETTLING
        while time.monotonic() < end:
            if self.memory - memory <= RETURN and self.descriptors < descriptors:
                return  # the bystander's has gone, too
            time.sleep(0.02)
        grown = self.memory - memory
        raise AssertionError(f"{grown:.0f} MiB and {self.descriptors - descriptors + 1} descriptors are left")


class Bystander:
    """A well-behaved connection, and eyes on the victim's memory."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._wire = Wire(target.port)
        self._wire.send(request("/echo", ""))
        assert self._wire.status() == "101"
        self._stopping = threading.Event()
        self._latencies: list[float] = []
        self._peak = 0.0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _echo(self) -> float:
        began = time.perf_counter()
        assert self._wire.send(data_frame(Role.SERVER, 2, b"bystander"))
        while True:
            frame = self._wire.frame()
            assert frame is not None, "the bystander lost its connection"
            if frame.opcode == 9:
                self._wire.send(data_frame(Role.SERVER, 10, frame.payload))
            else:
                assert frame == RawFrame(2, b"bystander"), frame
                return time.perf_counter() - began

    def median_of(self, count: int) -> float:
        return statistics.median(self._echo() for _ in range(count))

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(0.01):
                self._latencies.append(self._echo())
                self._peak = max(self._peak, self._target.memory)
        except Exception as error:  # noqa: BLE001
            self._error = error

    def finish(self) -> tuple[float, list[float]]:
        self._stopping.set()
        self._thread.join(SOCKET_TIMEOUT + 1)
        self._wire.close()
        if self._error is not None:
            raise self._error
        return self._peak, self._latencies


def request(path: str, headers: str) -> bytes:
    return REQUEST.replace(b" / ", f" {path} ".encode())[:-2] + headers.encode("latin-1") + b"\r\n"
