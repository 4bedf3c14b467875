/*
 * The load that neither wrk nor h2load makes. One thread, to loopback only, bounded in time.
 *
 *   load ws       PORT SECONDS CONNECTIONS DEPTH SIZE   WebSocket messages echoed
 *   load rate     PORT SECONDS CONNECTIONS RATE         GET at a fixed rate, with its latencies
 *   load tls      PORT SECONDS CONNECTIONS              TLS handshakes, one GET each
 *   load download PORT SECONDS SIZE                     GET /stream/SIZE, one after the other
 *   load upload   PORT SECONDS SIZE                     POST /sink of SIZE bytes, likewise
 *
 * It prints one JSON object: what was done, what failed and why, and the seconds it took.
 * Anything unexpected counts as failed and ends the run: a figure with failures is no figure.
 */

#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static int by_value(const void *one, const void *other)
{
    float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

static double percentile(double part)
{
    if (latencies == NULL || done == 0)
        return 0;
    return latencies[(unsigned long)(part * (double)(done - 1))];
}

static long number(int argc, char **argv, int place, long most)
{
    long value = place < argc ? atol(argv[place]) : 0;
    if (value < 1 || value > most) {
        fprintf(stderr, "argument %d: from 1 to %ld\n", place, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";

    port = (int)number(argc, argv, 2, 65535);
    limit = (double)number(argc, argv, 3, 300);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (strcmp(mode, "ws") == 0 || strcmp(mode, "rate") == 0 || strcmp(mode, "tls") == 0)
        connections = (int)number(argc, argv, 4, MOST_CONNECTIONS);
    if (strcmp(mode, "ws") == 0)
        run_websocket((size_t)number(argc, argv, 5, 1024), (size_t)number(argc, argv, 6, 65535));
    else if (strcmp(mode, "rate") == 0)
        run_rate((double)number(argc, argv, 5, 1000000));
    else if (strcmp(mode, "tls") == 0)
        run_tls();
    else if (strcmp(mode, "download") == 0)
        run_downloads(number(argc, argv, 4, 1L << 31));
    else if (strcmp(mode, "upload") == 0)
        run_uploads(number(argc, argv, 4, 1L << 31));
    else
        return 2;
    if (latencies != NULL)
        qsort(latencies, done, sizeof *latencies, by_value);
    printf("{\"done\": %lu, \"failed\": %lu, \"why\": \"%s\", \"seconds\": %.6f, "
           "\"p50\": %.9f, \"p99\": %.9f}\n",
           done, failed, why, took, percentile(0.50), percentile(0.99));
    return 0;
}
