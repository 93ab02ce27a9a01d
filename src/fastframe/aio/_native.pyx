# cython: language_level=3
"""What the modules beside this one would do in Python, if Python let them: one slot, and system calls.

The slot is the one by which the interpreter resumes a coroutine without an
exception that carries its result (`PyAsyncMethods.am_send`). Cython has no
name for it. What it does here is what `Operation.__next__` does.
"""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from libc.errno cimport errno

from .operation cimport Operation

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) noexcept

    ctypedef struct PyAsyncMethods:
        sendfunc am_send

    ctypedef struct PyTypeObject:
        PyAsyncMethods *tp_as_async

cdef extern from *:
    """
    #include <errno.h>
    static int is_passing(int error) {
        return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
    }
    #ifdef _WIN32
    static Py_ssize_t receive_now(int descriptor, void *data, Py_ssize_t size) {
        (void)descriptor; (void)data; (void)size;
        errno = EBADF;
        return -1; /* a socket is no file here */
    }
    static Py_ssize_t send_now(int descriptor, const void *data, Py_ssize_t size) {
        (void)descriptor; (void)data; (void)size;
        return -1; /* a socket is no file here: `Outlet` never comes to this */
    }
    #else
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0 /* macOS: Python ignores SIGPIPE */
    #endif
    static Py_ssize_t receive_now(int descriptor, void *data, Py_ssize_t size) {
        return recv(descriptor, data, (size_t)size, 0);
    }
    static Py_ssize_t send_now(int descriptor, const void *data, Py_ssize_t size) {
        return send(descriptor, data, (size_t)size, MSG_NOSIGNAL);
    }
    #endif
    #ifdef __linux__
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <sys/epoll.h>
    #include <unistd.h>
    /* As Python's sockets tell it. */
    static PyObject *ip_address(const struct sockaddr_storage *address) {
        char host[INET6_ADDRSTRLEN] = "";
        if (address->ss_family == AF_INET) {
            struct sockaddr_in four;
            memcpy(&four, address, sizeof four);
            inet_ntop(AF_INET, &four.sin_addr, host, sizeof host);
            return Py_BuildValue("si", host, (int)ntohs(four.sin_port));
        }
        if (address->ss_family == AF_INET6) {
            struct sockaddr_in6 six;
            memcpy(&six, address, sizeof six);
            inet_ntop(AF_INET6, &six.sin6_addr, host, sizeof host);
            return Py_BuildValue("siII", host, (int)ntohs(six.sin6_port), (unsigned)ntohl(six.sin6_flowinfo),
                                 (unsigned)six.sin6_scope_id);
        }
        Py_RETURN_NONE;
    }
    static PyObject *accept_now(int listening) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        PyObject *peername, *both = NULL;
        memset(&address, 0, sizeof address);
        int accepted = accept4(listening, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (accepted < 0) {
            if (is_passing(errno) || errno == ECONNABORTED) Py_RETURN_NONE;
            return PyErr_SetFromErrno(PyExc_OSError);
        }
        peername = ip_address(&address);
        if (peername != NULL) both = Py_BuildValue("iN", accepted, peername);
        if (both == NULL) close(accepted);
        return both;
    }
    enum { MOST_AT_ONCE = 256 };
    static PyObject *ready_now(int poller) {
        struct epoll_event events[MOST_AT_ONCE];
        int count = epoll_wait(poller, events, MOST_AT_ONCE, 0);
        if (count < 0 && !is_passing(errno)) return PyErr_SetFromErrno(PyExc_OSError);
        PyObject *descriptors = PyList_New(count < 0 ? 0 : count);
        for (int index = 0; descriptors != NULL && index < count; index++) {
            PyObject *descriptor = PyLong_FromLong(events[index].data.fd);
            if (descriptor == NULL) Py_CLEAR(descriptors);
            else PyList_SET_ITEM(descriptors, index, descriptor);
        }
        return descriptors;
    }
    #else
    /* There is no epoll: neither `Listener` nor `Poller` is used. */
    static PyObject *refuse(void) {
        errno = ENOSYS;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    static PyObject *accept_now(int listening) {
        (void)listening;
        return refuse();
    }
    static PyObject *ready_now(int poller) {
        (void)poller;
        return refuse();
    }
    #endif
    """
    object accept_now(int listening)
    object ready_now(int poller)
    int is_passing(int error) nogil
    Py_ssize_t receive_now(int descriptor, void *data, Py_ssize_t size) nogil
    Py_ssize_t send_now(int descriptor, const void *data, Py_ssize_t size) nogil

ctypedef int (*resumefunc)(Operation, PyObject **) noexcept


cdef int resume(Operation operation, PyObject **result) except -1:
    value = operation.step()
    Py_INCREF(value)
    result[0] = <PyObject *>value
    return operation.is_done


cdef PySendResult am_send(PyObject *operation, PyObject *argument, PyObject **result) noexcept:
    result[0] = NULL
    # The exception of a step is the interpreter's to see, not this function's to handle.
    cdef int is_done = (<resumefunc>resume)(<Operation>operation, result)
    return PYGEN_ERROR if is_done < 0 else PYGEN_RETURN if is_done else PYGEN_NEXT


def complete(type kind):
    """Give a kind of `Operation` its slot."""
    (<PyTypeObject *>kind).tp_as_async.am_send = am_send


def send(int descriptor, data):
    """Write to a socket that does not block.

    Args:
        descriptor: its file descriptor.
        data: bytes-like.

    Returns:
        How many bytes the system has taken; 0 for any error.
    """
    cdef Py_buffer view
    cdef Py_ssize_t sent
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    # To take the GIL back from a busy thread can cost more than to send this much.
    if view.len < 262144:
        sent = send_now(descriptor, view.buf, view.len)
    else:
        with nogil:
            sent = send_now(descriptor, view.buf, view.len)
    PyBuffer_Release(&view)
    return sent if sent > 0 else 0


def receive(int descriptor, buffer):
    """Read from a socket that does not block.

    Args:
        descriptor: its file descriptor.
        buffer: writable, at least one byte.

    Returns:
        How many bytes have come; 0 at the end, -1 if there are none now.

    Raises:
        OSError: the connection is broken.
    """
    cdef Py_buffer view
    cdef Py_ssize_t size
    cdef int error
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    if view.len <= 262144:
        size = receive_now(descriptor, view.buf, view.len)
        error = errno
    else:
        with nogil:
            size = receive_now(descriptor, view.buf, view.len)
            error = errno
    PyBuffer_Release(&view)
    if size < 0 and not is_passing(error):
        raise OSError(error, os.strerror(error))
    return size


def ready(poller):
    """Ask an epoll what is ready, without waiting.

    Args:
        poller: a `select.epoll`.

    Returns:
        Descriptors, 256 at most.

    Raises:
        OSError: the system refuses.
    """
    return ready_now(poller.fileno())


def accept(listening):
    """Accept a connection.

    Args:
        listening: a socket that does not block.

    Returns:
        A descriptor that does not block, which is the caller's to close, and
        the address of the peer, None if that is not one of IP; or None if
        nobody is there.

    Raises:
        OSError: the system refuses.
    """
    return accept_now(listening.fileno())
