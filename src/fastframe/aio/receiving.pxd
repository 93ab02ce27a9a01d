cimport cython

from .operation cimport Arrival, Operation
from .protocol cimport SocketProtocol


cdef class ReceivingForm(SocketProtocol):
    cdef public object _answer_timer
    cdef public Arrival _arrival
    cdef public object _chunks
    cdef public object _closed_error
    cdef public bint _is_deaf
    cdef public object _messages
    cdef public NextMessage _next
    cdef public Py_ssize_t _queued
    cdef public bint _streams

    cdef object _take(self)
    cdef bint _has_untaken(self)
    cdef Arrival _more(self)
    cdef Arrival _wait(self)
    cdef object _queue(self, list messages, size)
    cdef object _took_all(self)


@cython.final
cdef class NextMessage(Operation):
    cdef ReceivingForm _source


@cython.final
cdef class Receiving(Operation):
    cdef ReceivingForm _source


@cython.locals(operation=Receiving)
cdef Receiving _receiving(ReceivingForm source)


@cython.locals(operation=NextMessage)
cdef NextMessage _next_message(ReceivingForm source)
