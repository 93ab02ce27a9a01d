/* The limit: a server that does nothing that an echo, or a fan-out, can do without.
 *
 * With a number as its argument it sends each message to all that are
 * connected, as often as the number says, the copies together. Otherwise it echoes.
 * With a second one that is not 0 it never sleeps, as the load does not: see load.c.
 *
 * One recv and one send per readiness, no limits, no UTF-8 check, no closing
 * timeouts, and the bytes of a frame are sent on before the rest of it has come.
 * It ends when its standard input does. */

#include "base.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024, HEAD_SIZE = 4096 };

struct client {
    int fd;
    bool is_open, closing;
    char *head; /* the request as far as it has come, until it is answered */
    size_t head_size;
    unsigned char header[14]; /* of the frame that is coming in */
    unsigned header_size;
    uint64_t left, at; /* bytes of its payload that are to come, and that have come */
    unsigned char *unsent;
    size_t unsent_start, unsent_size;
};

static int poller;
static size_t copies; /* of each message to everybody; 0: to its sender alone */
static struct client **clients; /* all, where there are copies */
static size_t client_count, client_room;
static unsigned char input[READ_SIZE], output[2 * READ_SIZE];

static void watch(struct client *client, int what, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = client};
    if (epoll_ctl(poller, what, client->fd, &event) != 0) fail("epoll: %s", strerror(errno));
}

static void join(struct client *client) {
    if (client_count == client_room) {
        client_room = 2 * client_room + 64;
        clients = realloc(clients, client_room * sizeof *clients);
        if (!clients) fail("out of memory");
    }
    clients[client_count++] = client;
}

static void leave(const struct client *client) {
    for (size_t place = 0; place < client_count; place++) {
        if (clients[place] == client) clients[place] = clients[--client_count];
    }
}

static void drop(struct client *client) {
    if (copies) leave(client);
    close(client->fd);
    free(client->head);
    free(client->unsent);
    free(client);
}

/* Sends, and keeps what the socket does not take; nothing more is read until it does. */
static bool send_all(struct client *client, const unsigned char *data, size_t size) {
    ssize_t count = send(client->fd, data, size, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) return false;
    if (count < 0) count = 0;
    if ((size_t)count == size) return true;
    client->unsent_size = size - (size_t)count;
    client->unsent_start = 0;
    client->unsent = allocate(client->unsent_size);
    memcpy(client->unsent, data + count, client->unsent_size);
    watch(client, EPOLL_CTL_MOD, EPOLLOUT);
    return true;
}

static bool send_rest(struct client *client) {
    ssize_t count = send(client->fd, client->unsent + client->unsent_start, client->unsent_size, MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN;
    client->unsent_start += (size_t)count, client->unsent_size -= (size_t)count;
    if (client->unsent_size) return true;
    free(client->unsent);
    client->unsent = NULL;
    watch(client, EPOLL_CTL_MOD, EPOLLIN);
    return !client->closing;
}

/* Bytes of the request taken in; 0 if the client is to be dropped. */
static size_t read_request(struct client *client, const unsigned char *data, size_t size) {
    if (!client->head) client->head = allocate(HEAD_SIZE);
    if (client->head_size + size >= HEAD_SIZE) return 0;
    memcpy(client->head + client->head_size, data, size);
    client->head_size += size;
    client->head[client->head_size] = 0;
    if (!strstr(client->head, "\r\n\r\n")) return size;
    size_t length = 0;
    const char *key = header_field(client->head, "Sec-WebSocket-Key", &length);
    if (!key || length != 24) return 0;
    char accept[29], answer[256];
    accept_value(key, accept);
    int count = snprintf(answer, sizeof answer,
                         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
    client->is_open = true;
    free(client->head);
    client->head = NULL;
    return send_all(client, (unsigned char *)answer, (size_t)count) ? size : 0;
}

/* Bytes of a frame's header that are there to be known how long it is. */
static unsigned header_need(const struct client *client) {
    if (client->header_size < 2) return 2;
    unsigned length = client->header[1] & 0x7F;
    return 4 + (length < 126 ? 2 : length == 126 ? 4 : 10);
}

/* Writes the echo's header; returns its size. */
static size_t begin_frame(struct client *client, unsigned size, unsigned char *out) {
    uint64_t length = client->header[1] & 0x7F;
    if (length >= 126) {
        length = 0;
        for (unsigned byte = 2; byte < size - 4; byte++) length = length << 8 | client->header[byte];
    }
    client->left = length, client->at = 0;
    if ((client->header[0] & 0x0F) == CLOSE) client->closing = true;
    return write_header(out, client->header[0], 0, length);
}

/* Turns what came into what goes back; returns its size, at most twice that of the input. */
static size_t echo(struct client *client, const unsigned char *data, size_t size, unsigned char *out) {
    unsigned char *start = out;
    const unsigned char *end = data + size;
    while (data < end) {
        unsigned need = header_need(client);
        if (client->header_size < need) {
            client->header[client->header_size++] = *data++;
            need = header_need(client);
            if (client->header_size < need) continue;
            out += begin_frame(client, need, out);
        }
        size_t take = client->left < (uint64_t)(end - data) ? (size_t)client->left : (size_t)(end - data);
        mask_bytes(out, data, take, client->header + need - 4, client->at);
        client->at += take, client->left -= take;
        data += take, out += take;
        if (!client->left) client->header_size = 0;
    }
    return (size_t)(out - start);
}

/* Sends a whole message to everybody; who does not take it is dropped when it is next heard of. */
static void fan_out(const unsigned char *message, size_t size) {
    static unsigned char joined[READ_SIZE];
    if (size * copies > sizeof joined) fail("a message of %zu bytes is too long to fan out", size);
    for (size_t copy = 0; copy < copies; copy++) memcpy(joined + copy * size, message, size);
    for (size_t place = 0; place < client_count; place++) {
        struct client *client = clients[place];
        if (client->unsent) fail("a client of a fan-out does not read");
        if (client->is_open) (void)send_all(client, joined, size * copies);
    }
}

static bool readable(struct client *client) {
    ssize_t count = recv(client->fd, input, READ_SIZE, 0);
    if (count < 0) return errno == EAGAIN;
    if (count == 0) return false;
    if (!client->is_open) return read_request(client, input, (size_t)count) != 0;
    size_t size = echo(client, input, (size_t)count, output);
    if (copies && !client->closing) {
        if (client->left || client->header_size) fail("a message to fan out came in parts");
        if (size) fan_out(output, size);
        return true;
    }
    if (size && !send_all(client, output, size)) return false;
    return !client->closing || client->unsent;
}

static void accept_clients(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct client *client = allocate(sizeof *client);
        client->fd = fd;
        if (copies) join(client);
        watch(client, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int listen_anywhere(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    if (bind(listener, (struct sockaddr *)&here, size) || listen(listener, 1024)
        || getsockname(listener, (struct sockaddr *)&here, &size)) {
        fail("listen: %s", strerror(errno));
    }
    printf("port %d\n", ntohs(here.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count_of_arguments, char **arguments) {
    if (count_of_arguments > 1) copies = strtoul(arguments[1], NULL, 10);
    bool spins = count_of_arguments > 2 && strtoul(arguments[2], NULL, 10);
    raise_descriptor_limit();
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_anywhere();
    struct client at_listener = {.fd = listener}, at_input = {.fd = 0};
    watch(&at_listener, EPOLL_CTL_ADD, EPOLLIN);
    watch(&at_input, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(poller, events, 256, spins ? 0 : -1);
        for (int index = 0; index < count; index++) {
            struct client *client = events[index].data.ptr;
            if (client == &at_input) return 0;
            if (client == &at_listener) accept_clients(listener);
            else if (!(client->unsent ? send_rest(client) : readable(client))) drop(client);
        }
    }
}
