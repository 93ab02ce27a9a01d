cdef class Operation:
    cdef public bint has_begun
    cdef public bint is_done

    cdef object step(self)
    cdef object begin(self)
