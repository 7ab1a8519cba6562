"""The TCP sockets of this process, read from the kernel (proc(5), tcp(7)).

gRPC opens and closes sockets without reporting them, so each descriptor is examined. There may be
thousands, while gRPC's threads use the processor. So the kernel is asked through the C library
without releasing Python's lock: releasing and reacquiring it for each socket takes a hundred times
longer than the system call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import termios
from collections.abc import Iterator

#: States of a socket (`enum tcp_state`): connected, and for new connections.
ESTABLISHED, LISTENS = 1, 10
#: Seconds that the kernel keeps a connection which has sent nothing.
_SILENCE = 10
_DESCRIPTORS = "/proc/self/fd"
#: Socket options that attach and detach a filter (socket(7), asm-generic/socket.h); `socket` has no
#: names for them.
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
#: Of the kernel's classic packet filter, which sees the TCP header (linux/filter.h): where a random
#: number is read.
_RANDOM = 0xFFFFF000 + 56
#: Of `struct sock_filter`: what to do, how many to pass over if so and if not, and an operand.
_INSTRUCTION = struct.Struct("=HBBI")
#: Of `struct tcp_info` (linux/tcp.h): `tcpi_state`; `tcpi_last_data_sent` and
#: `tcpi_last_data_recv`, in milliseconds; and `tcpi_bytes_received`.
_INFO = struct.Struct("=B43xI4xI72xQ")
#: Of `struct sockaddr_in` and `sockaddr_in6` (ip(7), ipv6(7)): the port.
_PORT = struct.Struct("!2xH")
_SIZE = struct.Struct("=I")

# `PyDLL` keeps Python's lock. Its functions are separate from those that other code gets from
# `ctypes`.
_library = ctypes.PyDLL(None)
_library.getsockopt.argtypes = [ctypes.c_int] * 3 + [ctypes.c_void_p] * 2
_library.getsockname.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 2
_library.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]


class Tcp:
    """A TCP socket of this process, with its state in the kernel.

    `state` is as in `enum tcp_state`, `silence` is in milliseconds, `received` in bytes.
    """

    __slots__ = ("descriptor", "port", "received", "silence", "state")

    def __init__(self, descriptor: int, told: tuple[int, int, int, int], port: int) -> None:
        self.descriptor = descriptor
        self.state, spoke, heard, self.received = told
        self.silence = min(spoke, heard)
        self.port = port

    def await_data(self) -> None:
        """Have a listening socket accept only connections that have sent data."""
        with _copy(self.descriptor) as own:
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _SILENCE)

    def admit(self, part: float) -> None:
        """Have the kernel drop all but `part` (0 to 1) of the requests for a connection.

        Raises `OSError` if the socket is not there any more, or the kernel does not filter.
        """
        with _copy(self.descriptor) as own:
            if own.getsockname()[1] != self.port:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            if part < 1:
                code = ctypes.create_string_buffer(_filter(part))
                program = struct.pack("@HP", len(code) // _INSTRUCTION.size, ctypes.addressof(code))
                own.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
            else:
                own.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)

    def end(self) -> bool:
        """Shut the connection down in both directions; `False` if it has ended by itself."""
        try:
            # A duplicate stays valid even if the descriptor is closed or reused.
            with _copy(self.descriptor) as own:
                if own.getsockname()[1] != self.port:
                    return False
                own.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
        return True


class Kernel:
    """Asks the kernel about descriptors. For one thread, since answers share a buffer."""

    def __init__(self) -> None:
        self._answer = bytearray(_INFO.size)
        self._size = bytearray(_SIZE.size)
        # The addresses of the two buffers, valid for the life of this object.
        self._kept = [
            (ctypes.c_char * len(place)).from_buffer(place) for place in (self._answer, self._size)
        ]
        self._to, self._length = map(ctypes.addressof, self._kept)

    def tcp_sockets(self) -> Iterator[Tcp]:
        """Return each TCP socket of this process."""
        for descriptor in descriptors():
            told = self._tcp_info(descriptor)
            if told is not None:
                yield Tcp(descriptor, told, self._port(descriptor))

    def unread(self, found: Tcp) -> bool:
        """Tell whether bytes are waiting to be read."""
        self._answer[: _SIZE.size] = bytes(_SIZE.size)
        _library.ioctl(found.descriptor, termios.FIONREAD, self._to)
        return bool(_SIZE.unpack_from(self._answer)[0])

    def _tcp_info(self, descriptor: int) -> tuple[int, int, int, int] | None:
        _SIZE.pack_into(self._size, 0, _INFO.size)
        failed = _library.getsockopt(
            descriptor, socket.IPPROTO_TCP, socket.TCP_INFO, self._to, self._length
        )
        # It is not a TCP socket, or was closed.
        return None if failed else _INFO.unpack_from(self._answer)

    def _port(self, descriptor: int) -> int:
        _SIZE.pack_into(self._size, 0, _INFO.size)
        failed = _library.getsockname(descriptor, self._to, self._length)
        port: int = 0 if failed else _PORT.unpack_from(self._answer)[0]
        return port


def _filter(part: float) -> bytes:
    """Return a program that drops segments with SYN and without ACK, all but `part` of them.

    Accepted sockets may inherit it, which changes nothing for them: they get no such segments.
    """
    instructions = (
        (0x30, 0, 0, 13),  # load the octet of control bits (RFC 9293, section 3.1)
        (0x54, 0, 0, 0x12),  # keep ACK and SYN
        (0x15, 0, 3, 0x02),  # unless SYN stands alone, go on three below
        (0x20, 0, 0, _RANDOM),  # load a random number of 32 bits
        (0x35, 0, 1, int(part * 2**32)),  # unless it is at least so much, go on one below
        (0x06, 0, 0, 0),  # drop the segment
        (0x06, 0, 0, 0xFFFFFFFF),  # take all of it
    )
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)


def descriptors() -> list[int]:
    """Return all descriptors of this process."""
    return [int(name) for name in os.listdir(_DESCRIPTORS)]  # noqa: PTH208  # often, and iterdir is slower


def _copy(descriptor: int) -> socket.socket:
    """Return a socket for a duplicate of a descriptor."""
    copy = os.dup(descriptor)
    try:
        # With the family given, Python need not ask for it; the addresses are right for IPv4 too.
        return socket.socket(socket.AF_INET6, socket.SOCK_STREAM, fileno=copy)
    except OSError:
        os.close(copy)
        raise
