"""The attributes of `Connection` in C, when connection.py is compiled."""


cdef class Connection:
    cdef public object _decoder
    cdef public object _encoder
    cdef public object _pong
    cdef public object append_message
    cdef public object close_received
    cdef public object close_sent
    cdef public bint congested
    cdef public Py_ssize_t control_frames
    cdef public object deflate
    cdef public bint ending
    cdef public object failure
    cdef public bint is_fragmenting
    cdef public object received_first
    cdef public object role
    cdef public object state

    cpdef list receive(self, data, size=*)
    cpdef get_buffer(self, minimum)
    cpdef list received(self, size)
    cpdef send_encoded(self, frames)
    cpdef take(self)
