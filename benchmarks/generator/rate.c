/* GET at a fixed rate, with its latencies. */

#include "common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct rate_state {
    int fd;
    double due;
    size_t have;
    char data[HEAD_SIZE];
};

/* The response of a connection is complete: 1; not yet: 0; failed: -1. */
static int read_response(struct rate_state *state)
{
    ssize_t n = recv(state->fd, state->data + state->have, HEAD_SIZE - state->have, MSG_DONTWAIT);
    long length;

    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        return fail("the server closed a connection");
    state->have += (size_t)n;
    length = response_length(state->data, state->have);
    if (length <= 0 || state->have < (size_t)length)
        return length < 0 ? -1 : 0;
    latencies[done++] = (float)(now() - state->due);
    state->have = 0;
    return 1;
}

/* Requests are due at even distances whatever the server does. A latency runs from the moment
 * the request was due: one that found no free connection waited, and that is the server's.
 * The loop spins: a timer would be late by as much as is to be measured. */
void run_rate(double rate)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct rate_state *all = must(calloc((size_t)connections, sizeof *all)), **idle;
    struct epoll_event ready[256];
    unsigned long sent = 0, total = (unsigned long)(rate * limit);
    int i, n, free_count = 0;
    double began, moved;

    idle = must(calloc((size_t)connections, sizeof *idle));
    latencies = must(calloc(total + 1, sizeof *latencies));
    for (i = 0; i < connections; i++) {
        if ((all[i].fd = dial()) < 0 || watch(all[i].fd, &all[i]) < 0)
            return;
        idle[free_count++] = &all[i];
    }
    began = moved = now();
    while (!failed && done < total) {
        double at = now();
        while (sent < total && free_count && began + (double)sent / rate <= at) {
            struct rate_state *state = idle[--free_count];
            state->due = began + (double)sent++ / rate;
            if (send_all(state->fd, request, sizeof request - 1) < 0)
                return;
        }
        if ((n = epoll_wait(poller, ready, 256, 0)) > 0)
            moved = at;
        else if (at - moved > PATIENCE_MS / 1000.0)
            fail("nothing came back");
        for (i = 0; i < n && !failed; i++)
            if (read_response(ready[i].data.ptr) == 1)
                idle[free_count++] = ready[i].data.ptr;
        took = at - began;
        if (took > limit + PATIENCE_MS / 1000.0)
            fail("the server did not keep the rate");
    }
}
