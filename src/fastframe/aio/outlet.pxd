cimport cython


@cython.final
cdef class Outlet:
    cdef int _descriptor
    cdef bint _is_clear
    cdef Py_ssize_t _limit
    cdef Py_ssize_t _piece
    cdef object _rest
    cdef object _transport

    cpdef object write(self, data)
    cdef bint _is_direct(self) except -1
