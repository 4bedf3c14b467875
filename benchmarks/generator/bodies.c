/* Large bodies, one after the other, each on a connection of its own: a server may close one
 * at any time, and some do after so many bytes. */

#include "common.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int download(int fd, long size)
{
    char request[128];
    const char *body;
    long length, left;
    ssize_t n;
    int chars = snprintf(request, sizeof request,
                         "GET /stream/%ld HTTP/1.1\r\nHost: localhost\r\n\r\n", size);

    if (send_all(fd, request, (size_t)chars) < 0 || (n = read_head(fd, &length)) < 0)
        return -1;
    body = (char *)memmem(buffer, (size_t)n, "\r\n\r\n", 4) + 4;
    if (length - (body - buffer) != size)
        return fail("a body of another size");
    for (left = length - n; left > 0; left -= n) /* MSG_TRUNC: taken, not copied (tcp(7)) */
        if ((n = recv(fd, buffer, left < 4194304 ? (size_t)left : 4194304, MSG_TRUNC)) <= 0)
            return fail("a body that ended early");
    return 0;
}

static int upload(int fd, long size)
{
    static char piece[1048576];
    char request[128];
    long length, left, chars = snprintf(request, sizeof request,
        "POST /sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: %ld\r\n\r\n", size);
    ssize_t n;

    if (send_all(fd, request, (size_t)chars) < 0)
        return -1;
    for (left = size; left > 0; left -= chars) {
        chars = left < (long)sizeof piece ? left : (long)sizeof piece;
        if (send_all(fd, piece, (size_t)chars) < 0)
            return -1;
    }
    if ((n = read_head(fd, &length)) < 0)
        return -1;
    for (; n < length; n += left)
        if ((left = recv(fd, buffer + n, (size_t)(length - n), 0)) <= 0)
            return fail("an answer that ended early");
    chars = snprintf(request, sizeof request, "%ld", size);
    if (n < chars || memcmp(buffer + n - chars, request, (size_t)chars) != 0)
        return fail("not all of the body arrived");
    return 0;
}

static void run_bodies(int (*transfer)(int, long), long size)
{
    double began = now();

    do {
        int fd = dial();
        if (fd < 0)
            return;
        if (transfer(fd, size) == 0)
            done++;
        close(fd);
        took = now() - began;
    } while (!failed && took < limit);
}

void run_downloads(long size)
{
    run_bodies(download, size);
}

void run_uploads(long size)
{
    run_bodies(upload, size);
}
