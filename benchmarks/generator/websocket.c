/* WebSocket messages echoed, several on their way at a time on each connection. */

#include "common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Both directions are one message over and over, so a place in the stream is an offset into
 * it, and what comes in is checked by comparing memory. */
struct socket_state {
    int fd;
    size_t in, out, owed;
};

static char *frame_in, *frame_out;
static size_t in_size, out_size;

static size_t frame_head(unsigned char *head, size_t size, int masked)
{
    unsigned char flag = masked ? 0x80 : 0;
    head[0] = 0x82; /* FIN, binary (RFC 6455 section 5.2) */
    if (size < 126) {
        head[1] = (unsigned char)(flag | size);
        return 2;
    }
    head[1] = flag | 126;
    head[2] = (unsigned char)(size >> 8);
    head[3] = (unsigned char)size;
    return 4;
}

/* `unit` again and again, long enough for READ_SIZE bytes from any place in the first one. */
static char *repeated(const char *unit, size_t size)
{
    size_t at, total = size + READ_SIZE;
    char *all = must(malloc(total));
    for (at = 0; at < total; at++)
        all[at] = unit[at % size];
    return all;
}

static void prepare_frames(size_t size)
{
    static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    unsigned char *unit = must(malloc(size + 8));
    size_t at, head = frame_head(unit, size, 0);

    for (at = 0; at < size; at++)
        unit[head + at] = (unsigned char)('a' + at % 23);
    in_size = head + size;
    frame_in = repeated((char *)unit, in_size);
    head = frame_head(unit, size, 1);
    memcpy(unit + head, mask, 4);
    for (at = 0; at < size; at++)
        unit[head + 4 + at] = (unsigned char)('a' + at % 23) ^ mask[at % 4];
    out_size = head + 4 + size;
    frame_out = repeated((char *)unit, out_size);
    free(unit);
}

static int write_frames(struct socket_state *state)
{
    while (state->owed) {
        size_t size = state->owed < READ_SIZE ? state->owed : READ_SIZE;
        if (send_all(state->fd, frame_out + state->out, size) < 0)
            return -1;
        state->owed -= size;
        state->out = (state->out + size) % out_size;
    }
    return 0;
}

static int read_frames(struct socket_state *state)
{
    ssize_t n = recv(state->fd, buffer, READ_SIZE, MSG_DONTWAIT);
    size_t messages;

    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        return fail("the server closed a WebSocket");
    if (memcmp(buffer, frame_in + state->in, (size_t)n) != 0)
        return fail("what came was not what was sent");
    messages = (state->in + (size_t)n) / in_size;
    state->in = (state->in + (size_t)n) % in_size;
    state->owed += messages * out_size;
    done += messages;
    return write_frames(state);
}

static int open_websocket(struct socket_state *state, size_t depth)
{
    static const char request[] =
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    size_t have = 0;

    if ((state->fd = dial()) < 0 || send_all(state->fd, request, sizeof request - 1) < 0)
        return -1;
    while (memmem(buffer, have, "\r\n\r\n", 4) == NULL) {
        ssize_t n = have < HEAD_SIZE ? recv(state->fd, buffer + have, HEAD_SIZE - have, 0) : 0;
        if (n <= 0)
            return fail("no answer to the WebSocket handshake");
        have += (size_t)n;
    }
    if (memcmp(buffer, "HTTP/1.1 101", 12) != 0)
        return fail("the WebSocket was refused");
    state->owed = depth * out_size;
    return watch(state->fd, state);
}

void run_websocket(size_t depth, size_t size)
{
    static const char goodbye[] = "\x88\x82\x00\x00\x00\x00\x03\xe8";
    struct socket_state *all = must(calloc((size_t)connections, sizeof *all));
    struct epoll_event ready[256];
    double began;
    int i, n;

    prepare_frames(size);
    for (i = 0; i < connections; i++)
        if (open_websocket(&all[i], depth) < 0)
            return;
    began = now();
    for (i = 0; i < connections; i++)
        if (write_frames(&all[i]) < 0)
            return;
    while (!failed && (took = now() - began) < limit) {
        if ((n = epoll_wait(poller, ready, 256, PATIENCE_MS)) == 0)
            fail("nothing came back");
        for (i = 0; i < n && !failed; i++)
            read_frames(ready[i].data.ptr);
    }
    for (i = 0; i < connections; i++) {
        send(all[i].fd, goodbye, sizeof goodbye - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(all[i].fd);
    }
}
