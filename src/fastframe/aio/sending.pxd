cimport cython

from .operation cimport Operation
from .receiving cimport ReceivingForm

cdef Py_ssize_t CORK_SIZE
cdef Py_ssize_t UNJOINED_SIZE


cdef class SendingForm(ReceivingForm):
    cdef public object _closed_waiter
    cdef public object _drain_waiters
    cdef public object _fragment_lock
    cdef public object _look_timer

    cdef object _begin_send(self, message)
    cpdef object _write_in_time(self, Py_ssize_t waiting)


@cython.final
cdef class Sending(Operation):
    cdef SendingForm _sink
    cdef object _message
    cdef object _rest


@cython.locals(operation=Sending)
cdef Sending _sending(SendingForm sink, object message)
