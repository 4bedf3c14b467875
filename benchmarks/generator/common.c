#include "common.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int port, connections = 1, poller;
double limit, took;
unsigned long done, failed;
const char *why = "";
float *latencies;
char buffer[READ_SIZE];

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int fail(const char *reason)
{
    failed++;
    why = reason;
    return -1;
}

void *must(void *memory)
{
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        exit(3);
    }
    return memory;
}

/* Loopback connects at once or never. */
int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return fail("no socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return fail("no connection");
    }
    return fd;
}

int watch(int fd, void *owner)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0 ? fail("epoll_ctl") : 0;
}

int send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0)
            return fail("the server takes no more bytes");
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

long response_length(const char *data, size_t have)
{
    const char *end = memmem(data, have, "\r\n\r\n", 4), *line = data;

    if (end == NULL)
        return 0;
    if (have < 12 || memcmp(data + 8, " 200", 4) != 0)
        return fail("a status other than 200");
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL)
        if (strncasecmp(++line, "content-length:", 15) == 0)
            return (end - data) + 4 + atol(line + 15);
    return fail("a response without Content-Length");
}

ssize_t read_head(int fd, long *length)
{
    size_t have = 0;

    do {
        ssize_t n = recv(fd, buffer + have, HEAD_SIZE - have, 0);
        if (n <= 0)
            return fail("the server closed the connection");
        have += (size_t)n;
        *length = response_length(buffer, have);
    } while (*length == 0 && have < HEAD_SIZE);
    return *length > 0 ? (ssize_t)have : -1;
}
