/* The load generator: opens connections, keeps messages in flight, checks every reply, counts.
 *
 * One process, one thread. It prints one line of JSON, or what was wrong, with
 * exit status 1: a single wrong byte in a reply ends the run.
 *
 * With a processor of its own it is told to spin: a load that sleeps is woken by
 * the server's `send`, and what that takes, several microseconds on a virtual
 * machine, would be counted as the server's. */

#include "base.h"
#include "connection.h"
#include "latency.h"

enum { HANDSHAKES_AT_ONCE = 64 };

static struct connection *connections;
static size_t connection_count, opening, opened, vacant_from, ended;
static struct latency latency;
static uint64_t counted; /* messages, deliveries or connections */
static uint64_t hard_deadline;
static uint64_t idle; /* nanoseconds of a load that spins in which there was nothing to do */
static bool measuring, stopping;
static const char *doing = "opening";
static uint64_t slow_dropped, unclosed;

static enum mode { ECHO_MODE, FANOUT, CONNECT, HOLD } mode;

/* Where this connection starts in the ring: elsewhere than the others, so that a reply to
 * another one is noticed. In a fan-out all expect the same. */
static size_t first_slot(size_t index) {
    return mode == FANOUT ? 0 : (size_t)((double)index * (double)ring.slots / (double)connection_count) + index;
}

static void open_more(void) {
    while (opening < HANDSHAKES_AT_ONCE && vacant_from < connection_count) {
        connection_open(&connections[vacant_from], first_slot(vacant_from));
        vacant_from++;
        opening++;
    }
}

static void run_until(uint64_t deadline, bool (*done)(void)) {
    struct epoll_event events[256];
    now = clock_ns(CLOCK_MONOTONIC);
    while (!(done && done())) {
        if (now >= deadline) return;
        if (now >= hard_deadline) fail("not done within %g s, while %s", options.timeout, doing);
        uint64_t before = now, until = deadline < hard_deadline ? deadline : hard_deadline;
        int count = epoll_wait(poller, events, 256, options.spin ? 0 : (int)((until - now) / 1000000) + 1);
        if (count < 0 && errno != EINTR) fail("epoll: %s", strerror(errno));
        now = clock_ns(CLOCK_MONOTONIC);
        if (count <= 0) {
            idle += now - before;
            continue;
        }
        for (int index = 0; index < count; index++) {
            struct connection *connection = events[index].data.ptr;
            if (connection->state != VACANT) handle(connection, events[index].events);
        }
        open_more();
        now = clock_ns(CLOCK_MONOTONIC);
    }
}

/* What the modes do with a connection. ------------------------------------ */

static uint64_t speaker_sent(void) { return connections[0].sent; }

static void mode_opened(struct connection *connection) {
    opening--;
    opened++;
    if (mode == CONNECT) connection->allowed = 1;
}

static void message_of_fanout(struct connection *connection) {
    static uint64_t delivered;
    if (connection->replies >= speaker_sent() * (uint64_t)options.copies) fail("wrong reply: a broadcast too many");
    delivered++;
    counted += measuring;
    if (delivered == connection_count * (uint64_t)options.copies) {
        delivered = 0;
        if (measuring) latency_add(&latency, now - connections[0].sent_at[0]);
        if (!stopping) {
            connections[0].allowed++;
            send_messages(&connections[0]);
        }
    }
}

static void mode_message(struct connection *connection) {
    if (mode == FANOUT) {
        message_of_fanout(connection);
        return;
    }
    if (connection->replies >= connection->sent) fail("wrong reply: a message to nothing");
    counted += measuring;
    if (mode == CONNECT) {
        if (measuring) latency_add(&latency, now - connection->started);
        send_close(connection);
        return;
    }
    if (measuring) latency_add(&latency, now - connection->sent_at[connection->reply_place]);
    if (++connection->reply_place == (size_t)options.in_flight) connection->reply_place = 0;
    if (!stopping && mode == ECHO_MODE) connection->allowed = connection->replies + 1 + (uint64_t)options.in_flight;
}

static void mode_ended(struct connection *connection) {
    bool expected = connection->state == CLOSING;
    if (connection->slow && connection->state == OPEN) {
        slow_dropped++;
    } else if (!expected) {
        fail("the server ended a connection, while %s", doing);
    }
    connection_end(connection, !expected);
    if (mode == CONNECT && !stopping) {
        opening++;
        connection_open(connection, (size_t)(connection->started % ring.slots));
    } else {
        ended++;
    }
}

/* The phases of a run. ---------------------------------------------------- */

static bool all_opened(void) { return opened >= connection_count; }

static bool all_answered(void) {
    for (size_t index = 0; index < connection_count; index++) {
        const struct connection *connection = &connections[index];
        uint64_t due = mode == FANOUT ? speaker_sent() * (uint64_t)options.copies : connection->allowed;
        if (!connection->slow && connection->state == OPEN && connection->replies != due) return false;
    }
    return true;
}

static bool all_ended(void) { return ended >= connection_count; }

/* Whether no slow connection has got rid of anything for a while. */
static bool slow_are_stuck(void) {
    static uint64_t seen, since;
    uint64_t sent = 0;
    for (size_t index = 0; index < connection_count; index++) {
        if (connections[index].slow) sent += connections[index].sent + connections[index].offset;
    }
    if (sent != seen || !since) seen = sent, since = now;
    return now - since > 200000000;
}

static uint64_t after(double seconds) { return clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9); }

/* Nanoseconds that the server has run, from the scheduler's books; 0 where they are not kept. */
static uint64_t server_time(void) {
    char path[64], line[128] = "";
    snprintf(path, sizeof path, "/proc/%d/schedstat", (int)options.pid);
    FILE *file = options.pid ? fopen(path, "r") : NULL;
    if (!file) return 0;
    char *read = fgets(line, sizeof line, file);
    fclose(file);
    return read ? strtoull(line, NULL, 10) : 0;
}

static void allow_all(uint64_t more) {
    for (size_t index = 0; index < connection_count; index++) {
        struct connection *connection = &connections[index];
        if (connection->state != OPEN) continue;
        connection->allowed = connection->sent + more;
        if (connection->slow) connection->allowed = (uint64_t)(options.slow_bytes / (double)(ring.size + 1)) + 1;
        send_messages(connection);
    }
}

static void measure(double *seconds, double *load_cpu, double *server_cpu) {
    if (options.slow) {
        doing = "waiting for the slow connections to be stuck";
        run_until(after(options.timeout / 2), slow_are_stuck);
    }
    doing = "warming up";
    run_until(after(options.warmup), NULL);
    doing = "measuring";
    uint64_t server = server_time(), own = clock_ns(CLOCK_PROCESS_CPUTIME_ID), start = clock_ns(CLOCK_MONOTONIC);
    measuring = true;
    idle = 0;
    run_until(start + (uint64_t)(options.seconds * 1e9), NULL);
    measuring = false;
    *seconds = (double)(clock_ns(CLOCK_MONOTONIC) - start) / 1e9;
    /* A load that spins takes all of its processor; what tells whether it keeps up is the time in which it had to. */
    *load_cpu = options.spin ? 1 - (double)idle / 1e9 / *seconds
                             : (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - own) / 1e9 / *seconds;
    *server_cpu = (double)(server_time() - server) / 1e9 / *seconds;
}

/* Every message that was sent must come back, then both sides say goodbye. */
static void finish(void) {
    stopping = true;
    /* A frame that was begun is sent to its end, no other one is begun. */
    for (size_t index = 0; index < connection_count; index++) {
        struct connection *connection = &connections[index];
        if (connection->state == OPEN && !connection->slow && mode != HOLD && mode != CONNECT) {
            connection->allowed = connection->sent + (connection->offset > 0);
        }
    }
    if (mode != CONNECT) {
        doing = "waiting for the last replies";
        run_until(UINT64_MAX, all_answered);
    }
    doing = "closing";
    for (size_t index = 0; index < connection_count; index++) {
        struct connection *connection = &connections[index];
        if (connection->slow && connection->state == OPEN) {
            connection_end(connection, true);
            ended++;
        } else if (connection->state == OPEN && mode != CONNECT) {
            send_close(connection);
        }
    }
    run_until(after(3), all_ended);
    unclosed = connection_count - ended;
}

static void hold(void) {
    doing = "waiting for the first replies";
    allow_all(1);
    run_until(UINT64_MAX, all_answered);
    puts("ready");
    fflush(stdout);
    if (getchar() == EOF) fail("nobody waits for the result");
    doing = "waiting for the replies after the pause";
    allow_all(1);
    run_until(UINT64_MAX, all_answered);
    counted = opened;
}

static void print_result(double seconds, double load_cpu, double server_cpu) {
    uint64_t slow_sent = 0;
    for (size_t index = 0; index < connection_count; index++) {
        if (connections[index].slow) slow_sent += connections[index].sent * ring.size;
    }
    printf("{\"count\": %llu, \"seconds\": %.6f, \"load_cpu\": %.3f, \"server_cpu\": %.3f, ",
           (unsigned long long)counted, seconds, load_cpu, server_cpu);
    printf("\"slow_sent\": %llu, \"slow_dropped\": %llu, \"unclosed\": %llu, \"latency_us\": {",
           (unsigned long long)slow_sent, (unsigned long long)slow_dropped, (unsigned long long)unclosed);
    const double shares[] = {0.5, 0.9, 0.99, 0.999};
    const char *names[] = {"p50", "p90", "p99", "p99.9"};
    for (int index = 0; index < 4; index++) {
        printf("\"%s\": %.1f, ", names[index], (double)latency_percentile(&latency, shares[index]) / 1e3);
    }
    printf("\"max\": %.1f}}\n", (double)latency.longest / 1e3);
}

static enum mode mode_of(const char *name) {
    static const char *names[] = {"echo", "fanout", "connect", "hold"};
    for (int index = 0; index < 4; index++) {
        if (strcmp(name, names[index]) == 0) return (enum mode)index;
    }
    fail("no such mode: %s", name);
}

static void prepare(int count, char **arguments) {
    options = options_read(count, arguments);
    mode = mode_of(options.mode);
    raise_descriptor_limit();
    ring = (struct ring){.slots = (size_t)options.messages, .size = (size_t)options.size,
                         .opcode = (unsigned)options.opcode, .deflate = options.deflate != 0,
                         .packed = options.deflate && options.packed};
    ring_read(&ring, options.payloads);
#ifndef WITH_DEFLATE
    if (options.deflate) fail("built without deflate");
#endif
    ring_build(&ring);
#ifdef WITH_TLS
    if (options.tls) tls_start();
#endif
    poller = epoll_create1(EPOLL_CLOEXEC);
    connection_count = (size_t)(options.connections + options.slow);
    connections = allocate(connection_count * sizeof *connections);
    for (size_t index = (size_t)options.connections; index < connection_count; index++) connections[index].slow = true;
    hard_deadline = after(options.timeout);
    alarm((unsigned)options.timeout + 5);
}

int main(int count, char **arguments) {
    double seconds = 0, load_cpu = 0, server_cpu = 0;
    prepare(count, arguments);
    open_more();
    if (mode == CONNECT) {
        measure(&seconds, &load_cpu, &server_cpu);
    } else {
        run_until(UINT64_MAX, all_opened);
        if (mode == HOLD) {
            hold();
        } else if (mode == ECHO_MODE) {
            allow_all((uint64_t)options.in_flight);
            measure(&seconds, &load_cpu, &server_cpu);
        } else {
            /* A handler may start after its 101 has left: whoever is not on the server's list yet
             * gets no copy, and the run would fail. */
            doing = "letting the handlers start";
            run_until(after(0.3), NULL);
            connections[0].allowed = 1;
            send_messages(&connections[0]);
            measure(&seconds, &load_cpu, &server_cpu);
        }
    }
    finish();
    print_result(seconds, load_cpu, server_cpu);
    return 0;
}
