# UTF-8 (RFC 3629): validation, and str from what is valid.

def is_valid_utf8(data, /):
    """Tell whether `data` is UTF-8, whole (RFC 3629).

    Args:
        data: any bytes-like object.

    Raises:
        TypeError: `data` is not bytes-like.
    """
    cdef Source source
    cdef bint valid
    if PyBytes_CheckExact(data) and <size_t>PyBytes_GET_SIZE(data) < GIL_FREE_SIZE:
        source.data = <const uint8_t *>PyBytes_AS_STRING(data)
        source.size = <size_t>PyBytes_GET_SIZE(data)
        return ff_utf8_prefix(kernels.utf8_valid, source.data, source.size) == source.size
    open_source(&source, data)
    try:
        if source.size < GIL_FREE_SIZE:
            valid = ff_utf8_prefix(kernels.utf8_valid, source.data, source.size) == source.size
        else:
            with nogil:
                valid = ff_utf8_prefix(kernels.utf8_valid, source.data, source.size) == source.size
    finally:
        close_source(&source)
    return valid


@cython.final
cdef class Utf8Validator:
    """Validates UTF-8 (RFC 3629) that comes in chunks, cut anywhere.

    The interface is that of wsaccel's and Autobahn's validators. It belongs to
    one thread at a time.

    Attributes:
        state: UTF8_ACCEPT between code points, UTF8_REJECT once invalid, other
            positive numbers inside a code point.
        codepoint: the code point that `decode` is putting together.
        i: bytes consumed by `validate` so far.
    """

    cdef unsigned _state
    cdef readonly uint32_t codepoint
    cdef readonly uint64_t i

    UTF8_ACCEPT = FF_UTF8_ACCEPT
    UTF8_REJECT = FF_UTF8_REJECT

    @property
    def state(self):
        return self._state

    def validate(self, data, /):
        """Validate the next chunk.

        Args:
            data: any bytes-like object.

        Returns:
            A tuple: whether the text is valid so far; whether it ends on a
            code point; the index in `data`, and the index in all the text, of
            the first invalid byte, or of the end if there is none.

        Raises:
            TypeError: `data` is not bytes-like.
        """
        cdef Source source
        cdef size_t index, size
        open_source(&source, data)
        try:
            size = source.size
            index = ff_utf8_feed(kernels.utf8_valid, &self._state, source.data, size)
        finally:
            close_source(&source)
        self.i += index
        return (index == size, self._state == FF_UTF8_ACCEPT, index, self.i)

    def decode(self, byte, /):
        """Feed one byte.

        Args:
            byte: 0 to 255.

        Returns:
            The new `state`; at UTF8_ACCEPT, `codepoint` is complete.

        Raises:
            ValueError: `byte` is out of range.
        """
        byte = whole(byte)
        if not 0 <= byte <= 255:
            raise _mistakes.not_a_byte(byte)
        cdef uint8_t octet = <uint8_t>byte
        cdef unsigned before = self._state
        self._state = ff_utf8_step(before, octet)
        if self._state == FF_UTF8_REJECT:
            pass  # what was read of the code point stays
        elif before != FF_UTF8_ACCEPT:
            self.codepoint = self.codepoint << 6 | (octet & 0x3F)
        elif octet < 0x80:
            self.codepoint = octet
        elif octet < 0xE0:
            self.codepoint = octet & 0x1F
        else:
            self.codepoint = octet & (0x0F if octet < 0xF0 else 0x07)
        return self._state

    def reset(self):
        """Start a new text."""
        self._state = FF_UTF8_ACCEPT
        self.codepoint = 0
        self.i = 0


cdef object str_of_valid_utf8(const uint8_t *data, size_t size):
    """A str of `size` bytes that are known to be valid UTF-8."""
    cdef uint8_t largest = 0
    cdef size_t length
    if kernels.utf8_count == NULL:
        return PyUnicode_DecodeUTF8(<const char *>data, <Py_ssize_t>size, NULL)
    length = kernels.utf8_count(data, size, &largest)
    if length == 1:
        # CPython keeps one object for each of the first 256 characters.
        return PyUnicode_DecodeUTF8(<const char *>data, <Py_ssize_t>size, NULL)
    # The largest byte is a lead byte, which bounds the code points: C3 starts
    # the last below U+0100, EF the last below U+10000 (RFC 3629 section 3).
    if largest < 0x80:
        text = PyUnicode_New(<Py_ssize_t>length, 0x7F)
        memcpy(PyUnicode_DATA(text), data, size)
    elif largest < 0xC4:
        text = PyUnicode_New(<Py_ssize_t>length, 0xFF)
        kernels.utf8_to_ucs1(<uint8_t *>PyUnicode_DATA(text), data, size)
    elif largest < 0xF0:
        text = PyUnicode_New(<Py_ssize_t>length, 0xFFFF)
        kernels.utf8_to_ucs2(<uint16_t *>PyUnicode_DATA(text), data, size)
    else:
        text = PyUnicode_New(<Py_ssize_t>length, 0x10FFFF)
        kernels.utf8_to_ucs4(<uint32_t *>PyUnicode_DATA(text), data, size)
    return text


cdef inline size_t unfinished_code_point(const uint8_t *data, size_t size) noexcept:
    """Bytes of the code point `data` is cut in, from its lead byte on: 3 at most (RFC 3629 section 3)."""
    cdef size_t start = size - 1
    while start and size - start < 3 and data[start] < 0xC0:
        start -= 1
    return size - start


cdef object text_error(const uint8_t *data, size_t size, size_t before):
    """Why `data`, which starts a code point, is no text: None if it only lacks an end.

    `before` bytes of the message came before it.
    """
    cdef unsigned state = FF_UTF8_ACCEPT
    cdef size_t index = ff_utf8_feed(kernels.utf8_valid, &state, data, size)
    if index < size:
        return _violations.text_not_utf8(data[index], before + index)
    return _violations.text_truncated(before + size)
