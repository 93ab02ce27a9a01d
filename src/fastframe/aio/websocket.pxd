from .protocol cimport SocketProtocol

cdef Py_ssize_t UNJOINED_SIZE


cdef class CallbackForm(SocketProtocol):
    cdef bint _has_erred
    cdef bint _holds_reading
