cimport cython

from ..connection cimport Connection
from .protocol cimport SocketProtocol


@cython.final
cdef class Prepared:
    cdef dict _compressed
    cdef bint _compresses
    cdef object _opcode
    cdef public object plain
    cdef public object size

    cdef object _compress(self, deflate)


@cython.locals(
    protocol=SocketProtocol, connection=Connection, sent=list, skipped=list, may_be_behind=cython.bint
)
cdef list _send_to_all(connections, Prepared prepared, limit)


cdef class _Cork:
    cdef object __weakref__
    cdef Py_ssize_t _size
    cdef set _waiting
    cdef public bint is_drawn

    @cython.locals(protocol=SocketProtocol)
    cdef object _flush(self)
