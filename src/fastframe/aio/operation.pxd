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
    cdef tuple _cancelled_with
    cdef bint _is_spent
    cdef object _loop
    cdef public bint is_awaited

    cpdef Arrival again(self)
    cpdef wake(self)
