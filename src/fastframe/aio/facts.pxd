from ..connection cimport Connection
from .transport cimport Outlet


cdef class SocketFacts:
    cdef object __weakref__
    cdef public object _backlog
    cdef public object _liveness
    cdef public Outlet _outlet
    cdef object _peer_address
    cdef public object _transport
    cdef public Connection connection
    cdef public object dropped_messages
    cdef public object request
    cdef public object response
    cdef public object subprotocol
