/* What the kinds of load share: the socket, the response, and what the run has found. */

#define _GNU_SOURCE
#include <stddef.h>
#include <sys/types.h>

enum { READ_SIZE = 65536, HEAD_SIZE = 16384, PATIENCE_MS = 10000, MOST_CONNECTIONS = 4096 };

/* Asked for. */
extern int port, connections;
extern double limit;

/* Found. `latencies` are seconds, one for each done; NULL where none are taken. */
extern unsigned long done, failed;
extern const char *why;
extern double took;
extern float *latencies;

extern int poller;
extern char buffer[READ_SIZE];

double now(void);
int fail(const char *reason);    /* counts a failure; -1 */
void *must(void *memory);        /* ends the program for NULL */
int dial(void);                  /* a connected socket, or -1 */
int watch(int fd, void *owner);  /* epoll for reading */
int send_all(int fd, const char *data, size_t size);

/* The length of a whole response from the `have` bytes of it in `data`: 0 while its head is
 * incomplete, -1 if it is not a 200 with a Content-Length. */
long response_length(const char *data, size_t have);

/* Blocking: read a response head into `buffer`; how many bytes there are, -1 on failure. */
ssize_t read_head(int fd, long *length);

void run_websocket(size_t depth, size_t size);
void run_rate(double rate);
void run_downloads(long size);
void run_uploads(long size);
void run_tls(void);
