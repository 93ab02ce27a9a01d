# Masking (RFC 6455 section 5.3).

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define FF_HAS_GIL 0
    #else
    #define FF_HAS_GIL 1
    #endif
    """
    bint FF_HAS_GIL


cdef inline void run_mask(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) noexcept:
    if n < GIL_FREE_SIZE:
        kernels.mask(dst, src, n, key)
    else:
        with nogil:
            kernels.mask(dst, src, n, key)


def apply_mask(data, mask):
    """Mask or unmask `data` (RFC 6455 section 5.3).

    Args:
        data: any bytes-like object, contiguous or not.
        mask: the masking key, 4 bytes.

    Returns:
        New bytes of the same size. Nothing keeps a reference to `data`.

    Raises:
        TypeError: an argument is not bytes-like.
        ValueError: `mask` is not 4 bytes.
    """
    cdef Source source
    cdef uint32_t key
    open_source(&source, data)
    try:
        key = read_key(mask, "mask")
        result = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>source.size)
        run_mask(<uint8_t *>PyBytes_AS_STRING(result), source.data, source.size, key)
    finally:
        close_source(&source)
    return result


def apply_mask_inplace(buffer, mask, offset=0):
    """Mask or unmask `buffer` where it lies (RFC 6455 section 5.3).

    Args:
        buffer: a writable, contiguous bytes-like object.
        mask: the masking key, 4 bytes.
        offset: bytes of this payload that came before `buffer`.

    Raises:
        TypeError: `buffer` is not bytes-like, or read-only, or not contiguous.
        ValueError: `mask` is not 4 bytes, or `offset` is negative.
    """
    cdef uint32_t key = read_key(mask, "mask")
    cdef Py_buffer view
    if offset is not 0:
        offset = index(offset)
        if offset < 0:
            raise _mistakes.negative("offset", offset)
        key = ff_key_at(key, <size_t>(offset & 3))
    if FF_HAS_GIL and PyByteArray_CheckExact(buffer) and <size_t>PyByteArray_GET_SIZE(buffer) < GIL_FREE_SIZE:
        # Nothing else runs until it is done, so nobody can resize the buffer.
        kernels.mask(
            <uint8_t *>PyByteArray_AS_STRING(buffer),
            <uint8_t *>PyByteArray_AS_STRING(buffer),
            <size_t>PyByteArray_GET_SIZE(buffer),
            key,
        )
        return
    if not PyObject_CheckBuffer(buffer):
        raise TypeError(f"a bytes-like object is required, not '{type(buffer).__name__}'")
    try:
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    except BufferError:
        raise _mistakes.not_writable() from None
    except ValueError:
        memoryview(buffer)  # what was released or closed says so once more; the others are numpy's
        raise _mistakes.not_writable() from None
    try:
        run_mask(<uint8_t *>view.buf, <uint8_t *>view.buf, <size_t>view.len, key)
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class Masker:
    """Masks one payload that comes in chunks (RFC 6455 section 5.3).

    It belongs to one thread at a time.

    Args:
        masking_key: 4 bytes.

    Raises:
        TypeError: `masking_key` is not bytes-like.
        ValueError: `masking_key` is not 4 bytes.

    Attributes:
        offset: bytes of the payload processed so far.
    """

    cdef uint32_t key
    cdef readonly uint64_t offset

    def __init__(self, masking_key):
        self.key = read_key(masking_key, "masking_key")
        self.offset = 0

    def process(self, data):
        """Mask or unmask the next chunk.

        Args:
            data: any bytes-like object.

        Returns:
            New bytes of the same size.
        """
        cdef Source source
        cdef uint32_t key
        open_source(&source, data)
        try:
            result = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>source.size)
            key = ff_key_at(self.key, <size_t>self.offset)
            run_mask(<uint8_t *>PyBytes_AS_STRING(result), source.data, source.size, key)
            self.offset += source.size
        finally:
            close_source(&source)
        return result
