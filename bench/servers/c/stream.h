/* A non-blocking TCP connection, with TLS where it is built in and asked for. */

#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include "base.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

struct stream {
    int fd;
    uint32_t blocked_on; /* EPOLLIN or EPOLLOUT: what the last call would have waited for */
#ifdef WITH_TLS
    SSL *tls;
#endif
};

enum { WOULD_BLOCK = -1, GONE = -2 };

#ifdef WITH_TLS
static SSL_CTX *tls_context;

static void tls_start(void) {
    tls_context = SSL_CTX_new(TLS_client_method());
    if (!tls_context) fail("no TLS");
    /* The certificate was made for this run. */
    SSL_CTX_set_verify(tls_context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static ssize_t tls_result(struct stream *stream, int result) {
    if (result > 0) return result;
    switch (SSL_get_error(stream->tls, result)) {
    case SSL_ERROR_WANT_READ: stream->blocked_on = EPOLLIN; return WOULD_BLOCK;
    case SSL_ERROR_WANT_WRITE: stream->blocked_on = EPOLLOUT; return WOULD_BLOCK;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: ERR_clear_error(); return GONE;
    }
}
#endif

/* Starts to connect; each connection has a source address of its own of 127.0.0.0/16, so ports never run out. */
static void stream_connect(struct stream *stream, uint16_t port, uint32_t number, bool tls, bool slow) {
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (stream->fd < 0) fail("socket: %s", strerror(errno));
    int on = 1;
    setsockopt(stream->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* A slow consumer's system keeps little for it, so that it is the server's buffers that fill. */
    int little = 65536;
    if (slow) setsockopt(stream->fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    struct sockaddr_in here = {.sin_family = AF_INET};
    here.sin_addr.s_addr = htonl(0x7F000001 + number % 250 + (number / 250 % 250 << 8));
    if (bind(stream->fd, (struct sockaddr *)&here, sizeof here) != 0) fail("bind: %s", strerror(errno));
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(stream->fd, (struct sockaddr *)&there, sizeof there) != 0 && errno != EINPROGRESS) {
        fail("connect: %s", strerror(errno));
    }
    stream->blocked_on = EPOLLOUT;
#ifdef WITH_TLS
    stream->tls = NULL;
    if (tls) {
        stream->tls = SSL_new(tls_context);
        SSL_set_fd(stream->tls, stream->fd);
        SSL_set_connect_state(stream->tls);
    }
#else
    if (tls) fail("built without TLS");
#endif
}

/* Bytes read, 0 at the end of the stream, WOULD_BLOCK or GONE. */
static ssize_t stream_read(struct stream *stream, void *buffer, size_t size) {
#ifdef WITH_TLS
    if (stream->tls) return tls_result(stream, SSL_read(stream->tls, buffer, (int)size));
#endif
    ssize_t count = recv(stream->fd, buffer, size, 0);
    if (count >= 0) return count;
    stream->blocked_on = EPOLLIN;
    return errno == EAGAIN || errno == EINTR ? WOULD_BLOCK : GONE;
}

/* Bytes written, WOULD_BLOCK or GONE. */
static ssize_t stream_write(struct stream *stream, const void *data, size_t size) {
#ifdef WITH_TLS
    if (stream->tls) return tls_result(stream, SSL_write(stream->tls, data, size > 1 << 30 ? 1 << 30 : (int)size));
#endif
    ssize_t count = send(stream->fd, data, size, MSG_NOSIGNAL);
    if (count >= 0) return count;
    stream->blocked_on = EPOLLOUT;
    /* ENOTCONN: not connected yet. */
    return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? WOULD_BLOCK : GONE;
}

/* Whether bytes were received that epoll knows nothing of. */
static bool stream_pending(const struct stream *stream) {
#ifdef WITH_TLS
    return stream->tls && SSL_has_pending(stream->tls);
#else
    (void)stream;
    return false;
#endif
}

static void stream_close(struct stream *stream, bool reset) {
#ifdef WITH_TLS
    if (stream->tls) SSL_free(stream->tls);
    stream->tls = NULL;
#endif
    if (reset) {
        struct linger linger = {1, 0};
        setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    close(stream->fd);
    stream->fd = -1;
}

#endif
