from ..connection cimport Connection
from .facts cimport SocketFacts


cdef class SocketProtocol(SocketFacts):
    cdef public object _buffer
    cdef public object _buffers
    cdef public object _close_timer
    cdef public bint _corked
    cdef public object _explanation
    cdef public bint _flush_scheduled
    cdef public bint _in_place
    cdef public object _keepalive
    cdef public object _loop
    cdef public object _opening
    cdef public object _owner
    cdef public object _policy
    cdef public object _pongs
    cdef public bint _reading_paused
    cdef public object _settings
    cdef public bint _was_full
    cdef public bint _writing_paused

    cdef object _flush(self)
