# The C kernels and the choice among them.

cdef extern from "base.h":
    ctypedef struct ff_kernels:
        const char *name
        int (*supported)() noexcept nogil
        int (*mask)(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) noexcept nogil
        int (*utf8_valid)(const uint8_t *p, size_t n) noexcept nogil
        size_t (*utf8_count)(const uint8_t *p, size_t n, uint8_t *largest) noexcept nogil
        void (*utf8_to_ucs1)(uint8_t *dst, const uint8_t *p, size_t n) noexcept nogil
        void (*utf8_to_ucs2)(uint16_t *dst, const uint8_t *p, size_t n) noexcept nogil
        void (*utf8_to_ucs4)(uint32_t *dst, const uint8_t *p, size_t n) noexcept nogil

    uint32_t ff_load32(const void *p) noexcept nogil

cdef extern from "mask.h":
    uint32_t ff_key_at(uint32_t key, size_t offset) noexcept nogil

cdef extern from "utf8.h":
    enum:
        FF_UTF8_ACCEPT
        FF_UTF8_REJECT

    ctypedef int (*utf8_valid_function)(const uint8_t *, size_t) noexcept nogil
    unsigned ff_utf8_step(unsigned state, uint8_t byte) noexcept nogil
    size_t ff_utf8_prefix(utf8_valid_function valid, const uint8_t *p, size_t n) noexcept nogil
    size_t ff_utf8_feed(utf8_valid_function valid, unsigned *state, const uint8_t *p, size_t n) noexcept nogil

cdef extern from "header.h":
    enum:
        FF_FIN
        FF_MAX_HEADER
        FF_RESERVED_BITS
        FF_RESERVED_OPCODE
        FF_FRAGMENTED_CONTROL
        FF_WRONG_MASK
        FF_CONTROL_TOO_LONG
        FF_LENGTH_TOP_BIT
        FF_LENGTH_NOT_MINIMAL_16
        FF_LENGTH_NOT_MINIMAL_64
        FF_FRAME_TOO_BIG
        FF_MASKED
        FF_MAX_CONTROL

    ctypedef struct ff_header:
        uint64_t payload_length
        uint32_t masking_key
        uint8_t first
        uint8_t masked
        uint8_t size

    ctypedef struct ff_expectation:
        uint64_t max_payload_length
        uint8_t allowed_rsv
        uint8_t role_known
        uint8_t mask_bit

    int ff_parse_header(
        const uint8_t *p, size_t n, const ff_expectation *expect, ff_header *out
    ) noexcept nogil
    size_t ff_header_size(uint64_t payload_length, int masked) noexcept nogil
    size_t ff_write_header(
        uint8_t *p, uint8_t first, uint64_t payload_length, int masked, uint32_t key
    ) noexcept nogil
    bint FF_IS_CONTROL(unsigned opcode) noexcept nogil
    bint FF_IS_OPCODE(unsigned opcode) noexcept nogil

cdef extern from "cpu.h":
    const ff_kernels ff_all_kernels[]
    size_t FF_KERNEL_COUNT
    const ff_kernels *ff_choose_kernels(const char *name) noexcept nogil


cdef const ff_kernels *kernels_of_environment() except NULL:
    """The kernels that FASTFRAME_KERNEL names, or the best this processor runs."""
    name = os.environ.get("FASTFRAME_KERNEL", "")
    cdef bytes c_name = name.encode()
    cdef const ff_kernels *chosen = ff_choose_kernels(<const char *>c_name if c_name else NULL)
    if chosen == NULL:
        choices = ", ".join(KERNELS)
        raise ImportError(f"FASTFRAME_KERNEL must be one of {choices} on this machine, got {name!r}")
    return chosen


KERNELS = tuple(
    [ff_all_kernels[i].name.decode() for i in range(FF_KERNEL_COUNT) if ff_all_kernels[i].supported()]
)
cdef const ff_kernels *kernels = kernels_of_environment()
KERNEL = kernels.name.decode()

# From this many bytes on a kernel runs without the GIL. Below, taking it back
# from a busy thread costs more than the others gain (docs/architecture, "The GIL").
cdef size_t GIL_FREE_SIZE = 1024 * 1024
