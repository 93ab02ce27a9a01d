cimport cython

from .operation cimport Arrival, Operation
from .protocol cimport SocketProtocol


cdef class ReceivingForm(SocketProtocol):
    cdef public object _answer_timer
    cdef Arrival _arrival
    cdef public object _chunks
    cdef public bint _is_deaf
    cdef public list _messages
    cdef public NextMessage _next
    cdef Py_ssize_t _place
    cdef Py_ssize_t _queued
    cdef public bint _streams

    @cython.locals(messages=list, place=cython.Py_ssize_t)
    cdef object _take(self)
    cdef Py_ssize_t _count(self) except -1
    cpdef bint _has_untaken(self)
    cpdef Arrival _more(self)
    cdef Arrival _wait(self)
    cdef object _queue(self, list messages, Py_ssize_t size)
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
