/* What the load generator is told: name=value arguments. */

#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "base.h"

struct options {
    const char *mode;     /* echo, fanout, connect or hold */
    const char *payloads; /* a file of `messages` messages of `size` bytes each */
    double port, pid;     /* of the server; pid 0: its processor time is not read */
    double connections, in_flight, size, messages;
    double opcode;     /* 1 text, 2 binary */
    double copies;     /* fanout: how often the server sends each message to everybody */
    double slow;       /* echo: further connections that send and never read */
    double slow_bytes; /* what each of them sends at most */
    double warmup, seconds, timeout;
    double tls, deflate;
    double packed; /* 0: send uncompressed messages, though deflate is agreed on */
    double spin;   /* 1: never sleep, which takes a processor of one's own */
};

static struct options options_read(int count, char **arguments) {
    struct options options = {.mode = "echo", .connections = 1, .in_flight = 1, .messages = 1, .opcode = BINARY,
                              .copies = 1, .warmup = 0.1, .seconds = 0.5, .timeout = 30, .packed = 1};
    struct {
        const char *name;
        double *number;
        const char **text;
    } known[] = {
        {"mode", NULL, &options.mode}, {"payloads", NULL, &options.payloads},
        {"port", &options.port, NULL}, {"pid", &options.pid, NULL},
        {"connections", &options.connections, NULL}, {"in_flight", &options.in_flight, NULL},
        {"size", &options.size, NULL}, {"messages", &options.messages, NULL},
        {"opcode", &options.opcode, NULL}, {"copies", &options.copies, NULL},
        {"slow", &options.slow, NULL}, {"slow_bytes", &options.slow_bytes, NULL},
        {"warmup", &options.warmup, NULL}, {"seconds", &options.seconds, NULL},
        {"timeout", &options.timeout, NULL}, {"tls", &options.tls, NULL}, {"deflate", &options.deflate, NULL},
        {"packed", &options.packed, NULL}, {"spin", &options.spin, NULL},
    };
    for (int index = 1; index < count; index++) {
        char *value = strchr(arguments[index], '=');
        size_t place = 0, size = value ? (size_t)(value - arguments[index]) : 0;
        while (place < sizeof known / sizeof *known
               && (strlen(known[place].name) != size || strncmp(known[place].name, arguments[index], size) != 0)) {
            place++;
        }
        if (!value || place == sizeof known / sizeof *known) fail("no such option: %s", arguments[index]);
        value++;
        if (known[place].text) {
            *known[place].text = value;
            continue;
        }
        char *end;
        *known[place].number = strtod(value, &end);
        if (*end || end == value || *known[place].number < 0) fail("not a number: %s", arguments[index]);
    }
    if (!options.payloads) fail("payloads=FILE is missing");
    if (options.connections < 1 || options.in_flight < 1 || options.copies < 1 || options.messages < 2) {
        fail("connections, in_flight and copies are 1 at least, messages 2");
    }
    return options;
}

#endif
