from ..connection cimport Connection
from .facts cimport SocketFacts


cdef class SocketProtocol(SocketFacts):
    cdef public object _buffer
    cdef object _buffers
    cdef public object _close_timer
    cdef bint _corked
    cdef object _explanation
    cdef bint _flush_scheduled
    cdef public bint _in_place
    cdef public object _keepalive
    cdef public object _loop
    cdef public object _opening
    cdef public object _owner
    cdef public object _policy
    cdef public object _pongs
    cdef public bint _reading_paused
    cdef public object _settings
    cdef public Py_ssize_t _untaken
    cdef bint _was_full
    cdef public bint _writing_paused

    cdef object _flush(self)
    cdef object _flush_if_open(self)
    cdef object _handle(self, Connection connection, list items, Py_ssize_t size)
