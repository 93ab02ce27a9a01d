# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, binding=False, embedsignature=True, embedsignature.format=clinic
# cython: freethreading_compatible=True
"""The compiled half of the codec: `_codec_py`'s names and behaviour over C kernels.

The module keeps no state but the choice of kernels, made once at import.
Functions may be called from any thread. A decoder, encoder, validator or masker
belongs to one thread at a time; nothing locks it.
"""

import os
from operator import index

cimport cython

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBUF_SIMPLE,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_CheckBuffer,
    PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_CheckExact, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Occurred
from cpython.list cimport PyList_Append
from cpython.long cimport PyLong_AsLongAndOverflow
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.unicode cimport PyUnicode_AsUTF8String, PyUnicode_DecodeUTF8
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from . import _mistakes, _violations, masking_keys
from .errors import ProtocolError
from .frames import DEFAULT_MAX_FRAGMENTS as _DEFAULT_MAX_FRAGMENTS
from .frames import DEFAULT_MAX_MESSAGE_SIZE as _DEFAULT_MAX_MESSAGE_SIZE
from .frames import Close, Frame, FrameHeader, Opcode, Ping, Pong, Role

include "_compiled/kernels.pxi"
include "_compiled/memory.pxi"
include "_compiled/masking.pxi"
include "_compiled/utf8.pxi"
include "_compiled/header.pxi"
include "_compiled/frame_decoder.pxi"
include "_compiled/recorder.pxi"
include "_compiled/message_decoder.pxi"
include "_compiled/encoder.pxi"
include "_compiled/cimports.pxi"
