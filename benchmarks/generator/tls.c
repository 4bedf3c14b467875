/* TLS handshakes with one GET each. */

#include "common.h"

#ifdef WITH_TLS
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct tls_state {
    int fd, asked;
    SSL *ssl;
    size_t have;
    char data[HEAD_SIZE];
};

static int open_tls(SSL_CTX *context, struct tls_state *state)
{
    state->have = 0;
    state->asked = 0;
    if ((state->fd = dial()) < 0 || watch(state->fd, state) < 0)
        return -1;
    fcntl(state->fd, F_SETFL, O_NONBLOCK);
    must(state->ssl = SSL_new(context));
    SSL_set_fd(state->ssl, state->fd);
    SSL_set_connect_state(state->ssl);
    return 0;
}

/* One step of a connection: 1 once it has its response, 0 while it waits, -1 on failure. */
static int step_tls(struct tls_state *state)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    long length = 0;
    int n = 1;

    ERR_clear_error(); /* SSL_get_error looks at what others have left there, too */
    if (!state->asked && (n = SSL_do_handshake(state->ssl)) == 1) {
        state->asked = 1;
        n = SSL_write(state->ssl, request, sizeof request - 1);
    }
    while (n > 0) {
        n = SSL_read(state->ssl, state->data + state->have, (int)(HEAD_SIZE - state->have));
        if (n <= 0)
            break;
        state->have += (size_t)n;
        length = response_length(state->data, state->have);
        if (length < 0 || (length > 0 && state->have >= (size_t)length))
            return length < 0 ? -1 : 1;
    }
    if (SSL_get_error(state->ssl, n) != SSL_ERROR_WANT_READ)
        return fail(state->asked ? "the server closed a connection" : "a handshake failed");
    return 0;
}

/* Go on with a connection, and with the next one in its place as often as it is done: where
 * other work delays us, the server may have answered before we first look. */
static int drive_tls(SSL_CTX *context, struct tls_state *state)
{
    int result;

    while ((result = step_tls(state)) == 1) {
        done++;
        SSL_shutdown(state->ssl);
        SSL_free(state->ssl);
        close(state->fd);
        if (open_tls(context, state) < 0)
            return -1;
    }
    return result;
}

void run_tls(void)
{
    SSL_CTX *context = must(SSL_CTX_new(TLS_client_method()));
    struct tls_state *all = must(calloc((size_t)connections, sizeof *all));
    struct epoll_event ready[256];
    double began = now();
    int i, n;

    /* Whole handshakes only, and every server's the same. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    for (i = 0; i < connections; i++)
        if (open_tls(context, &all[i]) < 0 || drive_tls(context, &all[i]) < 0)
            return;
    while (!failed && (took = now() - began) < limit) {
        if ((n = epoll_wait(poller, ready, 256, PATIENCE_MS)) == 0)
            fail("nothing came back");
        for (i = 0; i < n && !failed; i++)
            drive_tls(context, ready[i].data.ptr);
    }
}
#else
void run_tls(void)
{
    fail("built without OpenSSL");
}
#endif
