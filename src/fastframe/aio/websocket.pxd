from .protocol cimport SocketProtocol


cdef class CallbackForm(SocketProtocol):
    cdef public bint _has_erred
