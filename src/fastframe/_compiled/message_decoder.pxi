# Bytes in, messages out.

# Where the bytes of the frame under way go.
cdef enum Target:
    NO_FRAME
    MESSAGE
    CONTROL

# What a call of the decoder is for.
cdef enum Task:
    LEND
    DECODE_LENT
    TAKE_CHUNK


@cython.final
cdef class MessageDecoder:
    """Turns the bytes of a connection into messages, however they are cut.

    What comes out is what an application wants: ``str`` for a text message,
    ``bytes`` for a binary one, `Ping`, `Pong` and `Close` for the control
    frames, in the order in which they arrived. It belongs to one thread at a
    time, and is not to be called from within `inflate`.

    Args:
        role: which end we are; a server takes masked frames only, a client
            unmasked ones only (RFC 6455 section 5.1).
        max_message_size: bytes in a message at most, after inflating too;
            None for no limit.
        max_frame_size: bytes of payload in a frame at most; None for no limit.
        max_fragments: frames in a message at most, empty ones too; None for
            no limit.
        text_as_bytes: hand out text messages as bytes. They are validated as
            UTF-8 all the same.
        inflate: permessage-deflate's decompressor (RFC 7692 section 7.2.2):
            called with the whole compressed payload of a message that has RSV1
            set and with `max_message_size`, it returns the message as bytes,
            no more than that many. What it raises ends decoding.

    Attributes:
        error: the exception that ended decoding, or None.
        close: the `Close` that ended the conversation, or None. What comes
            after it is dropped (RFC 6455 section 5.5.1).
        retained: bytes held of an unfinished message, frame or header.
        control_frames: how many of the items of the last call are `Ping`,
            `Pong` or `Close`; 0 tells that all are messages.
        last_frames: the headers that came last, as `RecordedFrame`s, oldest
            first: eight that were in order, and the one that was refused. If a
            message in fragments goes on in them, its first frame comes before.
    """

    cdef ff_expectation expect
    cdef uint64_t max_message_size
    cdef uint64_t max_fragments
    cdef bint text_as_bytes
    cdef object inflate
    cdef object inflate_limit   # max_message_size as it was given

    # The frame under way.
    cdef ff_header header
    cdef HeaderBuffer kept
    cdef Target target
    cdef uint64_t missing       # bytes of its payload still to come
    cdef uint8_t control_size
    cdef uint8_t control[125]   # payload of a control frame

    # The message under way; its fragments land in one object.
    cdef Landing landing
    cdef uint8_t opcode         # 1 or 2; 0 while there is none
    cdef bint compressed
    cdef uint64_t fragments
    cdef uint64_t taken         # bytes of it that take_chunk has handed out
    cdef unsigned utf8_state

    cdef Recorder recorder
    cdef _Window window          # what get_buffer has handed out
    cdef object view
    cdef bint is_shared          # somebody may still write to what has landed
    cdef bint busy
    cdef readonly object error
    cdef readonly object close
    cdef readonly size_t control_frames

    def __init__(
        self,
        role,
        *,
        max_message_size=_DEFAULT_MAX_MESSAGE_SIZE,
        max_frame_size=None,
        max_fragments=_DEFAULT_MAX_FRAGMENTS,
        text_as_bytes=False,
        inflate=None,
    ):
        check_role(role)
        self.max_message_size = read_limit(max_message_size, "max_message_size")
        self.inflate_limit = max_message_size
        read_expectation(
            &self.expect,
            role,
            read_limit(max_frame_size, "max_frame_size"),
            0x40 if inflate is not None else 0,
        )
        self.max_fragments = read_limit(max_fragments, "max_fragments", 1)
        self.text_as_bytes = text_as_bytes
        self.inflate = inflate

    def __dealloc__(self):
        landing_clear(&self.landing)

    @property
    def retained(self):
        return self.kept.size + self.landing.size + self.control_size

    @property
    def last_frames(self):
        return recorded_frames(&self.recorder, &self.header, self.expect.mask_bit != 0)

    def receive(self, data, size=None):
        """Decode the next bytes.

        Args:
            data: any bytes-like object; it is not kept.
            size: how many of its bytes count; all if None.

        Returns:
            A list of what `data` completed: str, bytes, `Ping`, `Pong`, `Close`.

        Raises:
            ProtocolError: the peer broke RFC 6455; `decoded` has what came
                before the violation. Raised again by later calls.
            TypeError: `data` is not bytes-like.
            ValueError: `size` is out of range.
        """
        cdef Source source
        cdef list items = []
        cdef size_t available
        self.enter()
        open_source(&source, data)
        try:
            available = source.size if size is None else checked_size(size, source.size)
            self.busy = True
            self.decode(source.data, available, items)
        except BaseException as error:
            raise self.leave(error, items)
        finally:
            self.busy = False
            close_source(&source)
        return items

    def get_buffer(self, minimum=1):
        """Where the next bytes belong, so that they need not be copied there.

        Args:
            minimum: the least number of missing bytes that is worth it.

        Returns:
            A writable memoryview over the memory of the message under way, if
            at least `minimum` bytes of its current frame are missing; None
            otherwise: then the next bytes are for `receive`. It may be smaller
            than what is missing. It is ours, valid until the next call of a
            method of this decoder; write to it, call `received`, forget it.

        Raises:
            ValueError: `minimum` is not positive.
            MemoryError: from now on at every call.
        """
        minimum = whole(minimum)
        if minimum < 1:
            raise _mistakes.not_positive("minimum", minimum)
        if self.busy:
            raise _mistakes.reentered()
        self.forget_window()
        if self.target != MESSAGE or self.missing < minimum or self.error is not None:
            return None
        return self.guarded(LEND, 0)

    def received(self, size):
        """Decode the bytes that were written to the buffer of `get_buffer`.

        Args:
            size: how many, from the buffer's start.

        Returns:
            As `receive`.

        Raises:
            ProtocolError: as `receive`.
            ValueError: `size` is out of range, or no buffer was handed out.
        """
        size = whole(size)
        self.enter()
        if self.window is None:
            raise _mistakes.no_buffer_handed_out()
        return self.guarded(DECODE_LENT, checked_size(size, <size_t>self.window.size))

    def take_chunk(self):
        """Take what has come of the message under way; what comes later of it is the message then.

        Returns:
            str or bytes, as the message would be, empty if nothing has come
            since; a code point that is cut waits for its end. None if no
            message is under way, or a compressed one, which is inflated whole.

        Raises:
            MemoryError: from now on at every call that decodes.
        """
        if self.busy:
            raise _mistakes.reentered()
        self.forget_window()
        if self.opcode == 0 or self.compressed or self.error is not None:
            return None
        return self.guarded(TAKE_CHUNK, 0)

    cdef object guarded(self, Task task, size_t size):
        cdef list items = None
        # Objects are made from here on, which may start a collection, and that runs anybody's code.
        self.busy = True
        try:
            items = []
            if task == LEND:
                result = self.lent()
            elif task == DECODE_LENT:
                result = self.decode_lent(size, items)
            else:
                result = self.chunk()
        except BaseException as error:
            raise self.leave(error, items)
        self.busy = False
        return result

    cdef object lent(self):
        cdef _Window window
        # A part of what is missing will do, but not a sliver of it.
        cdef uint64_t room = min(self.missing, <uint64_t>65536)
        self.reserve(<size_t>room)
        window = _Window.__new__(_Window)
        window.owner = <object>self.landing.obj
        window.data = self.landing.data + self.landing.size
        room = <uint64_t>(self.landing.capacity - self.landing.size)
        window.size = <Py_ssize_t>min(self.missing, room)
        self.view = memoryview(window)
        self.window = window
        return self.view

    cdef list decode_lent(self, size_t size, list items):
        cdef uint8_t *data = self.landing.data + self.landing.size
        self.forget_window()
        if size:
            self.landed(size, kernels.mask(data, data, size, self.header.masking_key))
        if self.missing == 0:
            self.end_frame(items)
        return items

    cdef object chunk(self):
        cdef uint8_t cut[4]
        cdef size_t cut_size = 0
        if self.opcode == 1 and self.utf8_state != FF_UTF8_ACCEPT:
            cut_size = unfinished_code_point(self.landing.data, self.landing.size)
            memcpy(cut, self.landing.data + self.landing.size - cut_size, cut_size)
            self.landing.size -= cut_size
        self.taken += self.landing.size
        chunk = self.landed_object()
        self.landing.is_str = self.opcode == 1 and not (self.text_as_bytes or cut_size)
        if cut_size:
            self.reserve(cut_size)
            memcpy(self.landing.data, cut, cut_size)
            self.landing.size = cut_size
        return chunk

    cdef inline int enter(self) except -1:
        if self.busy:
            raise _mistakes.reentered()
        if self.error is not None:
            raise again(self.error)
        self.control_frames = 0
        return 0

    cdef object leave(self, object error, list items):
        if self.busy:
            # Beyond a violation nothing can be trusted, nor after a failure
            # in the middle of the bytes.
            self.busy = False
            self.error = error
            self.target = NO_FRAME
            landing_clear(&self.landing)
            if isinstance(error, ProtocolError):
                error.last_frames = self.last_frames
        return with_decoded(error, items)

    cdef int forget_window(self) except -1:
        if self.window is not None:
            try:
                self.view.release()
            except BufferError:
                pass  # somebody still looks at the memory; the _Window keeps it alive
            self.view = None
            # They have its memory for as long as they like, and it has been validated already.
            self.is_shared |= REFERENCES(<PyObject *>self.window) != 1
            self.window = None
        return 0

    cdef int decode(self, const uint8_t *p, size_t n, list items) except -1:
        cdef size_t used, take
        cdef int not_ascii
        if self.window is not None:
            self.forget_window()
        while n and self.close is None:
            if self.target == NO_FRAME:
                used = self.next_frame(p, n, items)
                if self.target == NO_FRAME:
                    return 0
                p += used
                n -= used
            take = <size_t>min(<uint64_t>n, self.missing)
            if self.target == CONTROL:
                kernels.mask(self.control + self.control_size, p, take, self.header.masking_key)
                self.control_size += <uint8_t>take
                self.header.masking_key = ff_key_at(self.header.masking_key, take)
                self.missing -= take
            elif take:
                self.reserve(take)
                not_ascii = kernels.mask(
                    self.landing.data + self.landing.size, p, take, self.header.masking_key
                )
                self.landed(take, not_ascii)
            p += take
            n -= take
            if self.missing == 0:
                self.end_frame(items)
        return 0

    cdef size_t next_frame(self, const uint8_t *p, size_t n, list items) except? 0:
        """Begin the next frame that is no message by itself; those that are come first.

        Returns the bytes up to its payload: all, if it has not begun.
        """
        cdef size_t used = 0, left = n
        cdef int size
        cdef uint64_t length
        cdef bint is_first = self.opcode == 0
        while left:
            size = next_header(&self.kept, p, left, &self.expect, &self.header, &used)
            if size < 0:
                record_refusal(&self.recorder, size, &self.header)
                raise header_violation(size, &self.header, &self.expect)
            p += used
            left -= used
            if size == 0:
                break
            record_header(&self.recorder, &self.header)
            length = self.header.payload_length
            if (
                length > left
                or not is_first
                or (self.header.first != 0x82 and self.header.first != 0x81)
                or length > self.max_message_size
            ):
                self.begin_frame()
                break
            # What nearly every frame is: whole, alone, not compressed.
            if self.header.first == 0x82:
                PyList_Append(items, self.whole_binary(p, <size_t>length))
            else:
                PyList_Append(items, self.whole_text(p, <size_t>length))
            p += length
            left -= <size_t>length
        return n - left

    cdef inline object whole_binary(self, const uint8_t *p, size_t n):
        message = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n)
        kernels.mask(<uint8_t *>PyBytes_AS_STRING(message), p, n, self.header.masking_key)
        return message

    cdef inline object whole_text(self, const uint8_t *p, size_t n):
        cdef uint8_t *data
        if n == 0 or self.text_as_bytes:
            return self.whole_text_slowly(p, n)
        # ASCII, which most text is, is a str at once: one pass.
        message = PyUnicode_New(<Py_ssize_t>n, 127)
        data = <uint8_t *>PyUnicode_DATA(message)
        if not kernels.mask(data, p, n, self.header.masking_key) and n > 1:
            return message
        if ff_utf8_prefix(kernels.utf8_valid, data, n) != n:
            raise text_error(data, n, 0)
        return str_of_valid_utf8(data, n)

    cdef object whole_text_slowly(self, const uint8_t *p, size_t n):
        if n == 0:
            return b"" if self.text_as_bytes else ""
        message = self.whole_binary(p, n)
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(message)
        if ff_utf8_prefix(kernels.utf8_valid, data, n) != n:
            raise text_error(data, n, 0)
        return message

    cdef int begin_frame(self) except -1:
        """Check the header against the message under way, before any of the payload is kept."""
        cdef uint8_t opcode = self.header.first & 0x0F
        cdef bint rsv1 = self.header.first & 0x40
        self.missing = self.header.payload_length
        if FF_IS_CONTROL(opcode):
            # RFC 7692 section 6.1: RSV1 is for data frames.
            if rsv1:
                raise _violations.compressed_control_frame(opcode)
            self.target = CONTROL
            return 0
        if opcode == 0:
            if self.opcode == 0:
                raise _violations.unexpected_continuation()
            if rsv1:
                raise _violations.compressed_continuation()
        else:
            if self.opcode != 0:
                raise _violations.expected_continuation(opcode)
            self.compressed = rsv1
            self.fragments = 0
            self.taken = 0
            self.is_shared = False
            self.utf8_state = FF_UTF8_ACCEPT
        if self.fragments >= self.max_fragments:
            raise _violations.too_many_fragments(self.max_fragments)
        if self.missing > self.wire_limit() - self.taken - self.landing.size:
            raise _violations.message_too_big(
                int(self.taken) + self.landing.size + self.missing, self.max_message_size
            )
        self.fragments += 1
        record_fragment(&self.recorder, &self.header)
        if opcode != 0:
            self.opcode = opcode
            self.landing.is_str = opcode == 1 and not (self.compressed or self.text_as_bytes)
        self.target = MESSAGE
        return 0

    cdef uint64_t wire_limit(self) noexcept:
        """Bytes of payload that the message under way may have."""
        cdef uint64_t limit = self.max_message_size
        # Fixed Huffman codes take up to 9 bits for a byte (RFC 1951 section
        # 3.2.6), so what deflates badly may be an eighth longer than it is.
        if self.compressed and limit < UINT64_MAX // 2:
            limit += limit // 8 + 64
        return limit

    cdef int reserve(self, size_t arriving) except -1:
        return landing_reserve(&self.landing, arriving, self.missing, self.header.first & FF_FIN)

    cdef int landed(self, size_t size, int not_ascii) except -1:
        """Account for `size` bytes, unmasked, behind what has landed; validate them if they are text."""
        cdef size_t index
        cdef uint8_t *data
        if self.opcode == 1 and not self.compressed and (not_ascii or self.utf8_state != FF_UTF8_ACCEPT):
            data = self.landing.data + self.landing.size
            index = ff_utf8_feed(kernels.utf8_valid, &self.utf8_state, data, size)
            if index < size:
                raise _violations.text_not_utf8(data[index], self.taken + self.landing.size + index)
        self.landing.size += size
        self.missing -= size
        self.header.masking_key = ff_key_at(self.header.masking_key, size)
        if not_ascii and self.landing.is_str:
            landing_replace(&self.landing, self.landing.capacity, False)
        return 0

    cdef int end_frame(self, list items) except -1:
        if self.target == CONTROL:
            self.target = NO_FRAME
            items.append(self.control_event())
            return 0
        self.target = NO_FRAME
        if self.header.first & FF_FIN:
            if self.compressed:
                items.append(self.inflated_message())
            else:
                items.append(self.message())
            self.opcode = 0
        return 0

    cdef object control_event(self):
        cdef uint8_t opcode = self.header.first & 0x0F
        payload = PyBytes_FromStringAndSize(<const char *>self.control, self.control_size)
        self.control_size = 0
        if opcode == 9:
            event = Ping(payload)
        elif opcode == 10:
            event = Pong(payload)
        else:
            event = self.close = Close.parse(payload)
            self.drop()
        self.control_frames += 1
        return event

    cdef int drop(self) except -1:
        """Nothing more will come of the message under way."""
        self.opcode = 0
        landing_clear(&self.landing)
        return 0

    cdef object message(self):
        if self.utf8_state != FF_UTF8_ACCEPT:
            raise _violations.text_truncated(self.taken + self.landing.size)
        return self.landed_object()

    cdef object landed_object(self):
        if self.landing.size == 0:
            landing_clear(&self.landing)
            return b"" if self.opcode == 2 or self.text_as_bytes else ""
        if self.opcode == 1 and self.is_shared:
            self.validate_once_more()
        if self.opcode == 2 or self.text_as_bytes or self.landing.is_str:
            return landing_take(&self.landing)
        text = str_of_valid_utf8(self.landing.data, self.landing.size)
        landing_clear(&self.landing)
        return text

    cdef int validate_once_more(self) except -1:
        """A str must not be made of what is no text any more: its kernels write as much as valid text has."""
        cdef uint8_t *data = self.landing.data
        cdef size_t n = self.landing.size
        if ff_utf8_prefix(kernels.utf8_valid, data, n) != n:
            raise text_error(data, n, self.taken)
        if self.landing.is_str and kernels.mask(data, data, n, 0):
            landing_replace(&self.landing, self.landing.capacity, False)
        return 0

    cdef object inflated_message(self):
        payload = landing_take(&self.landing)
        message = self.inflate(payload, self.inflate_limit)
        if not PyBytes_CheckExact(message):
            raise _mistakes.inflate_returned(message)
        cdef size_t n = <size_t>PyBytes_GET_SIZE(message)
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(message)
        if n > self.max_message_size:
            raise _violations.message_too_big(n, self.max_message_size)
        if self.opcode == 2:
            return message
        if ff_utf8_prefix(kernels.utf8_valid, data, n) != n:
            raise text_error(data, n, 0)
        return message if self.text_as_bytes else str_of_valid_utf8(data, n)
