cimport cython

cdef class SocketTransport


@cython.final
cdef class Outlet:
    cdef int _descriptor
    cdef bint _is_clear
    cdef Py_ssize_t _limit
    cdef SocketTransport _ours
    cdef Py_ssize_t _piece
    cdef object _rest
    cdef object _transport

    cdef bint is_closing(self) except -1

    @cython.locals(sent=cython.Py_ssize_t)
    cpdef object write(self, data)
    cdef bint _is_direct(self) except -1


@cython.final
cdef class Poller:
    cdef object _epoll
    cdef bint _is_released
    cdef object _loop
    cdef dict _transports

    cdef _open(self)
    cdef watch(self, int descriptor, SocketTransport transport)
    cdef forget(self, int descriptor)

    @cython.locals(only=SocketTransport, transport=SocketTransport)
    cpdef dispatch(self)


@cython.final
cdef class SocketTransport:
    cdef object __weakref__
    cdef int _descriptor
    cdef bint _ends_with_read
    cdef bint _has_ended
    cdef Py_ssize_t _high
    cdef bint _in_read
    cdef bint _is_closing
    cdef bint _is_lost
    cdef bint _is_paused
    cdef object _loop
    cdef Py_ssize_t _low
    cdef object _peername
    cdef Poller _poller
    cdef object _protocol
    cdef bint _reads
    cdef Py_ssize_t _size
    cdef object _socket
    cdef object _waiting

    cpdef pause_reading(self)
    cpdef resume_reading(self)

    @cython.locals(filled=cython.int)
    cdef _read(self)

    @cython.locals(room=cython.Py_ssize_t, size=cython.Py_ssize_t)
    cdef bint _read_once(self) except -1

    @cython.locals(upper=cython.Py_ssize_t, lower=cython.Py_ssize_t)
    cpdef set_write_buffer_limits(self, high=*, low=*)
    cdef _end(self)

    @cython.locals(sent=cython.Py_ssize_t)
    cpdef object write(self, data)

    @cython.locals(sent=cython.Py_ssize_t)
    cdef _send_waiting(self)
    cdef _hold_back(self)
    cdef _shut_down(self)
    cdef _force_close(self, error)
    cdef _failed(self, Exception error, str what)
    cdef _lose(self, error)
    cdef _drop(self)
    cdef _made_socket(self)
    cdef _close(self)


@cython.locals(ours=SocketTransport)
cdef int _descriptor_of(transport) except -2
