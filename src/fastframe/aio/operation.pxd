cimport cython


cdef class Operation:
    cdef public bint has_begun
    cdef public bint is_done

    cdef object step(self)
    cdef object begin(self)


@cython.final
cdef class Arrival:
    cdef public bint _asyncio_future_blocking
    cdef object _callback
    cdef object _context
    cdef bint _is_cancelled
    cdef object _loop
    cdef public bint is_awaited

    cpdef Arrival again(self)
    cpdef wake(self)
