/* One connection of the load generator: opening handshake, messages out, replies in, closing handshake.
 *
 * What a message means is the mode's business: `mode_opened`, `mode_message` and
 * `mode_ended`, which load.c defines, are called for it. */

#ifndef BENCH_CONNECTION_H
#define BENCH_CONNECTION_H

#include "options.h"
#include "replies.h"
#include "ring.h"
#include "stream.h"

enum state { VACANT, ASKING, AWAITING, OPEN, CLOSING };

struct connection {
    struct stream stream;
    enum state state;
    uint32_t watched; /* events that epoll has been told */
    bool slow;        /* sends, never reads */
    char key[25];
    char *head; /* the server's answer as far as it has come */
    size_t head_size;
    uint64_t started;
    /* Messages: how many may be sent by now, were sent, and came back. */
    uint64_t allowed, sent, replies;
    size_t send_slot, reply_slot, copy;
    size_t offset; /* bytes of the current frame that are written */
    uint64_t *sent_at;
    size_t sent_place, reply_place;
    struct reply reply;
};

enum { BUFFER_SIZE = 256 * 1024, HEAD_SIZE = 4096 };

static struct options options;
static struct ring ring;
static int poller;
static uint64_t now;
static uint64_t random_state = 0x243F6A8885A308D3u;
static unsigned char buffer[BUFFER_SIZE];

static void mode_opened(struct connection *connection);
static void mode_message(struct connection *connection);
static void mode_ended(struct connection *connection);

static void watch(struct connection *connection, uint32_t events) {
    if (connection->watched == events) return;
    struct epoll_event event = {.events = events, .data.ptr = connection};
    int what = connection->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(poller, what, connection->stream.fd, &event) != 0) fail("epoll: %s", strerror(errno));
    connection->watched = events;
}

static void connection_open(struct connection *connection, size_t first) {
    static uint32_t number;
    unsigned char random[16];
    for (int half = 0; half < 2; half++) {
        random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
        memcpy(random + 8 * half, &random_state, 8);
    }
    base64(random, 16, connection->key);
    connection->state = ASKING;
    connection->watched = 0;
    connection->head_size = 0;
    connection->allowed = connection->sent = connection->replies = 0;
    connection->send_slot = connection->reply_slot = first % ring.slots;
    connection->copy = connection->offset = connection->sent_place = connection->reply_place = 0;
    if (!connection->head) connection->head = allocate(HEAD_SIZE);
    if (!connection->sent_at) connection->sent_at = allocate((size_t)options.in_flight * sizeof(uint64_t));
    memset(&connection->reply, 0, sizeof connection->reply);
#ifdef WITH_DEFLATE
    if (options.deflate) reply_start_inflating(&connection->reply, ring.size);
#endif
    connection->started = clock_ns(CLOCK_MONOTONIC);
    stream_connect(&connection->stream, (uint16_t)options.port, number++, options.tls != 0, connection->slow);
    watch(connection, EPOLLIN | EPOLLOUT);
}

static void connection_end(struct connection *connection, bool reset) {
    stream_close(&connection->stream, reset);
    connection->state = VACANT;
#ifdef WITH_DEFLATE
    if (options.deflate) {
        inflateEnd(&connection->reply.inflater);
        free(connection->reply.packed);
        free(connection->reply.unpacked);
    }
#endif
}

static void ask(struct connection *connection) {
    char request[512];
    int size = snprintf(request, sizeof request,
                        "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        (unsigned)options.port, connection->key,
                        options.deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
    ssize_t count = stream_write(&connection->stream, request, (size_t)size);
    if (count == WOULD_BLOCK) {
        watch(connection, connection->stream.blocked_on);
        return;
    }
    if (count != size) fail("the server does not take a request: %s", strerror(errno));
    connection->state = AWAITING;
    watch(connection, EPOLLIN);
}

static void check_extensions(const char *head) {
    size_t length = 0;
    const char *answer = header_field(head, "Sec-WebSocket-Extensions", &length);
    if (!options.deflate) {
        if (answer) fail("handshake: an extension that was not offered");
        return;
    }
    if (!answer || strncmp(answer, "permessage-deflate", 18) != 0) fail("handshake: no permessage-deflate");
    const char *bits = strstr(answer, "client_max_window_bits=");
    if (bits && bits < answer + length && atoi(bits + 23) < DEFLATE_WINDOW) {
        fail("handshake: a window of %d bits, messages were compressed with %d", atoi(bits + 23), DEFLATE_WINDOW);
    }
}

/* Takes bytes of the server's answer in; returns how many. */
static size_t read_head(struct connection *connection, const unsigned char *data, size_t size) {
    size_t before = connection->head_size;
    size_t take = size < HEAD_SIZE - 1 - before ? size : HEAD_SIZE - 1 - before;
    memcpy(connection->head + before, data, take);
    connection->head_size += take;
    connection->head[connection->head_size] = 0;
    char *end = strstr(connection->head, "\r\n\r\n");
    if (!end) {
        if (connection->head_size == HEAD_SIZE - 1) fail("handshake: an answer of more than %d bytes", HEAD_SIZE);
        return take;
    }
    end[2] = 0;
    char accept[29];
    accept_value(connection->key, accept);
    size_t length = 0;
    const char *value = header_field(connection->head, "Sec-WebSocket-Accept", &length);
    if (strncmp(connection->head, "HTTP/1.1 101 ", 13) != 0) fail("handshake: %.60s", connection->head);
    if (!value || length != 28 || strncmp(value, accept, 28) != 0) fail("handshake: wrong Sec-WebSocket-Accept");
    check_extensions(connection->head);
    connection->state = OPEN;
    mode_opened(connection);
    return (size_t)(end - connection->head) + 4 - before;
}

static void wrote(struct connection *connection, size_t size) {
    connection->offset += size;
    for (;;) {
        size_t slot = connection->send_slot, frame = ring.starts[slot + 1] - ring.starts[slot];
        if (connection->offset < frame || connection->sent == connection->allowed) return;
        connection->offset -= frame;
        connection->send_slot = slot + 1 == ring.slots ? 0 : slot + 1;
        connection->sent++;
        connection->sent_at[connection->sent_place] = now;
        if (++connection->sent_place == (size_t)options.in_flight) connection->sent_place = 0;
    }
}

static void send_messages(struct connection *connection) {
    while (connection->sent < connection->allowed) {
        size_t slot = connection->send_slot;
        uint64_t left = connection->allowed - connection->sent;
        size_t run = left < ring.slots - slot ? (size_t)left : ring.slots - slot;
        size_t start = ring.starts[slot] + connection->offset;
        ssize_t count = stream_write(&connection->stream, ring.frames + start, ring.starts[slot + run] - start);
        if (count == WOULD_BLOCK) {
            watch(connection, (connection->slow ? 0 : EPOLLIN) | connection->stream.blocked_on);
            return;
        }
        if (count < 0) {
            mode_ended(connection);
            return;
        }
        wrote(connection, (size_t)count);
    }
    watch(connection, connection->slow ? EPOLLERR : EPOLLIN);
}

static void send_close(struct connection *connection) {
    unsigned char frame[] = {0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xE8 ^ 2}; /* 1000 */
    connection->state = CLOSING;
    stream_write(&connection->stream, frame, sizeof frame);
    watch(connection, EPOLLIN);
}

static void frame_came(struct connection *connection) {
    const struct reply *reply = &connection->reply;
    if (reply->opcode == CLOSE && connection->state != CLOSING) {
        unsigned code = reply->length < 2 ? 1005 : (unsigned)reply->control[0] << 8 | reply->control[1];
        fail("the server closed with %u: %.*s", code, reply->length < 2 ? 0 : (int)reply->length - 2,
             (const char *)reply->control + 2);
    }
    if (reply->opcode >= CLOSE) return;
    if (connection->state == CLOSING) fail("wrong reply: a message to nothing");
    mode_message(connection);
    connection->replies++;
    if (++connection->copy == (size_t)options.copies) {
        connection->copy = 0;
        connection->reply_slot = connection->reply_slot + 1 == ring.slots ? 0 : connection->reply_slot + 1;
    }
}

static void feed(struct connection *connection, const unsigned char *data, size_t size) {
    while (size) {
        size_t taken;
        if (connection->state == AWAITING) {
            taken = read_head(connection, data, size);
        } else {
            bool finished;
            const unsigned char *expected = ring_payload(&ring, connection->reply_slot);
            taken = reply_take(&connection->reply, &ring, expected, data, size, &finished);
            if (finished) frame_came(connection);
        }
        data += taken, size -= taken;
    }
}

static void receive(struct connection *connection) {
    do {
        ssize_t count = stream_read(&connection->stream, buffer, sizeof buffer);
        if (count == WOULD_BLOCK) return;
        now = clock_ns(CLOCK_MONOTONIC);
        if (count <= 0) {
            mode_ended(connection);
            return;
        }
        feed(connection, buffer, (size_t)count);
    } while (stream_pending(&connection->stream));
}

static void handle(struct connection *connection, uint32_t events) {
    if (connection->state == ASKING) {
        ask(connection);
        return;
    }
    if (connection->slow && connection->state == OPEN) {
        if (events & (EPOLLERR | EPOLLHUP)) mode_ended(connection);
        else send_messages(connection);
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(connection);
    if (connection->state == OPEN) send_messages(connection);
}

#endif
