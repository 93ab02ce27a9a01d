# Reading from bytes-like objects, and the memory that payloads land in.

cdef extern from "Python.h":
    PyObject *PyBytes_NewUninitialised "PyBytes_FromStringAndSize"(const char *, Py_ssize_t) except NULL
    char *PyBytes_DATA "PyBytes_AS_STRING"(PyObject *) nogil
    PyObject *PyUnicode_NewUninitialised "PyUnicode_New"(Py_ssize_t, Py_UCS4) except NULL
    int PyUnicode_Resize(PyObject **, Py_ssize_t) except -1
    void *PyUnicode_DATA_OF "PyUnicode_DATA"(PyObject *) nogil
    void *PyUnicode_DATA(object) nogil
    bint PyUnicode_IS_COMPACT_ASCII(object) nogil
    Py_ssize_t PyUnicode_GET_LENGTH(object) nogil
    object PyUnicode_New(Py_ssize_t, Py_UCS4)
    Py_ssize_t REFERENCES "Py_REFCNT"(PyObject *) nogil


# A bytes-like object that is being read. The object itself keeps the memory
# in place: bytes cannot move, and all others are locked by their Py_buffer.
ctypedef struct Source:
    const uint8_t *data
    size_t size
    bint locked
    Py_buffer view


cdef inline int open_source(Source *source, object obj) except -1:
    if PyBytes_CheckExact(obj):
        source.locked = False
        source.data = <const uint8_t *>PyBytes_AS_STRING(obj)
        source.size = <size_t>PyBytes_GET_SIZE(obj)
        return 0
    return lock_source(source, obj)


cdef int lock_source(Source *source, object obj) except -1:
    source.locked = False
    try:
        PyObject_GetBuffer(obj, &source.view, PyBUF_SIMPLE)
    except (BufferError, ValueError):
        # Not contiguous, for which numpy has a ValueError. The copy lives as long as the Py_buffer over it.
        copy = memoryview(obj).tobytes()
        PyObject_GetBuffer(copy, &source.view, PyBUF_SIMPLE)
    source.locked = True
    source.data = <const uint8_t *>source.view.buf
    source.size = <size_t>source.view.len
    return 0


cdef inline void close_source(Source *source) noexcept:
    if source.locked:
        PyBuffer_Release(&source.view)


cdef inline object whole(object number):
    """An int itself, to be compared without running anybody's code."""
    return number if type(number) is int else index(number)


cdef uint32_t read_key(object key, str name) except? 0:
    """The 4 bytes of `key` as they lie in memory."""
    cdef Source source
    cdef uint32_t value
    open_source(&source, key)
    try:
        if source.size != 4:
            raise _mistakes.wrong_key_length(name, source.size)
        value = ff_load32(source.data)
    finally:
        close_source(&source)
    return value


cdef uint64_t read_limit(object limit, str name, int least=0) except? 0:
    """A limit, None for none; `least` is 0 or 1."""
    if limit is None:
        return UINT64_MAX
    if not isinstance(limit, int):
        raise _mistakes.not_whole(name, limit)
    if limit < least:
        raise _mistakes.not_positive(name, limit) if least else _mistakes.negative(name, limit)
    return UINT64_MAX if limit > UINT64_MAX else <uint64_t>limit


cdef int check_role(object role) except -1:
    if not isinstance(role, Role):
        raise _mistakes.not_a_role(role)
    return 0


cdef int read_expectation(
    ff_expectation *expect, object role, uint64_t max_payload_length, int allowed_rsv
) except -1:
    # RFC 6455 section 5.1: "a client MUST mask all frames that it sends",
    # "a server MUST NOT mask any frames that it sends to the client".
    expect.role_known = True
    expect.mask_bit = FF_MASKED if role is Role.SERVER else 0
    expect.max_payload_length = max_payload_length
    expect.allowed_rsv = <uint8_t>allowed_rsv
    return 0


# The payload under way, in the object that will be handed out: bytes, or a
# str for as long as it is text and all ASCII.
ctypedef struct Landing:
    PyObject *obj      # owned; NULL while there is nothing
    uint8_t *data      # its memory
    size_t size        # bytes that have landed
    size_t capacity    # 0 if they are somebody else's: then nothing lands behind them
    bint is_str

cdef extern from *:
    """
    #include <stdlib.h>

    /* glibc gives the end of its heap back to the system as soon as twice the largest block that was ever
     * freed lies idle there, and the next large message pays a page fault for each 4 KiB of it: as much as
     * for receiving and sending it. Who has freed 4 MiB once keeps up to 8 MiB. */
    static void ff_keep_freed_memory(void) {
    #ifdef __GLIBC__
        static int is_done;
        /* Without the GIL two threads may come here at once. */
        if (__atomic_exchange_n(&is_done, 1, __ATOMIC_RELAXED)) return;
        void *volatile block = malloc(4u << 20);
        free(block);
    #endif
    }

    /* As _PyBytes_Resize, which frees the object, too, where memory ends; for bytes that nobody else has
     * seen, so that they have no hash. */
    static PyObject *ff_resized_bytes(PyObject *bytes, size_t size) {
    #ifdef Py_TRACE_REFS /* such an interpreter has to be told of an object that moves */
        return _PyBytes_Resize(&bytes, (Py_ssize_t)size) ? NULL : bytes;
    #else
        bytes = (PyObject *)PyObject_Realloc(bytes, (size_t)PyBytes_Type.tp_basicsize + size);
        if (bytes == NULL) return PyErr_NoMemory();
        Py_SET_SIZE((PyVarObject *)bytes, (Py_ssize_t)size);
        PyBytes_AS_STRING(bytes)[size] = 0;
        return bytes;
    #endif
    }
    """
    void ff_keep_freed_memory() noexcept
    PyObject *ff_resized_bytes(PyObject *, size_t) except NULL

cdef size_t LARGE_SIZE = 64 * 1024

# Memory taken on the word of a header alone, before any of the payload came.
cdef size_t TRUSTED_SIZE = 1024 * 1024


cdef inline void landing_clear(Landing *landing) noexcept:
    Py_XDECREF(landing.obj)
    landing.obj = NULL
    landing.data = NULL
    landing.size = landing.capacity = 0
    landing.is_str = False


cdef inline void landing_adopt(Landing *landing, bytes data) noexcept:
    """Begin with bytes of somebody else's; what lands behind them is put into a copy."""
    landing_clear(landing)
    Py_INCREF(data)
    landing.obj = <PyObject *>data
    landing.data = <uint8_t *>PyBytes_DATA(landing.obj)
    landing.size = <size_t>PyBytes_GET_SIZE(data)


cdef PyObject *landing_allocate(Landing *landing, size_t capacity, bint as_str) except NULL:
    if capacity >= LARGE_SIZE:
        ff_keep_freed_memory()
    if as_str:
        return PyUnicode_NewUninitialised(<Py_ssize_t>capacity, 127)
    return PyBytes_NewUninitialised(NULL, <Py_ssize_t>capacity)


cdef int landing_replace(Landing *landing, size_t capacity, bint as_str) except -1:
    """Move what has landed into a new object."""
    cdef PyObject *obj = landing_allocate(landing, capacity, as_str)
    cdef uint8_t *data = <uint8_t *>(PyUnicode_DATA_OF(obj) if as_str else PyBytes_DATA(obj))
    if landing.size:
        memcpy(data, landing.data, landing.size)
    Py_XDECREF(landing.obj)
    landing.obj = obj
    landing.data = data
    landing.capacity = capacity
    landing.is_str = as_str
    return 0


cdef int landing_resize(Landing *landing, size_t capacity) except -1:
    """Where memory ends, what has landed stays as it is."""
    if landing.capacity == 0 or REFERENCES(landing.obj) != 1:
        # None yet, or somebody else's, or a buffer that was handed out is still looking at it.
        return landing_replace(landing, capacity, landing.is_str)
    if landing.is_str:
        PyUnicode_Resize(&landing.obj, <Py_ssize_t>capacity)
        landing.data = <uint8_t *>PyUnicode_DATA_OF(landing.obj)
    else:
        landing.obj = ff_resized_bytes(landing.obj, capacity)
        landing.data = <uint8_t *>PyBytes_DATA(landing.obj)
    landing.capacity = capacity
    return 0


cdef int landing_reserve(Landing *landing, size_t arriving, uint64_t announced, bint last) except -1:
    """Make room for `arriving` bytes.

    `announced` are those that the frame still lacks, and `last` tells that no
    frame follows it. Room for TRUSTED_SIZE is taken at once; beyond it memory
    only doubles, so that a peer has to send what it wants us to hold.
    """
    cdef size_t wanted = landing.size + arriving
    if wanted <= landing.capacity:
        return 0
    cdef uint64_t in_all = landing.size + announced
    cdef uint64_t capacity = min(in_all, TRUSTED_SIZE)
    capacity = max(capacity, 2 * <uint64_t>landing.capacity)
    if last:
        capacity = min(capacity, in_all)
    return landing_resize(landing, <size_t>max(capacity, <uint64_t>wanted))


cdef object landing_take(Landing *landing):
    """The bytes or str that has landed; nothing is left behind."""
    if landing.obj == NULL:
        return b""
    if landing.size < landing.capacity:
        landing_resize(landing, landing.size)
    cdef object result = <object>landing.obj
    landing_clear(landing)
    return result


@cython.final
cdef class _Window:
    """The memory behind a `get_buffer`, and what keeps it alive: the object that it is part of."""

    cdef object owner
    cdef uint8_t *data
    cdef Py_ssize_t size

    def __getbuffer__(self, Py_buffer *view, int flags):
        # Not by PyBuffer_FillInfo: Cython has put a reference to None into view.obj, which that would lose.
        view.obj = self
        view.buf = self.data
        view.len = self.size
        view.itemsize = 1
        view.readonly = 0
        view.ndim = 1
        view.format = <char *>b"B" if flags & PyBUF_FORMAT else NULL
        view.shape = &view.len if flags & PyBUF_ND else NULL
        view.strides = &view.itemsize if flags & PyBUF_STRIDES == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL

    def __releasebuffer__(self, Py_buffer *view):
        pass
