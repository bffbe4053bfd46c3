/* libfcgi 2.4.2, held at arm's length. What was read in its source or seen in practice:
 *
 * - FCGX_Accept_r() keeps a connection for itself when the web server asked to (FCGI_KEEP_CONN) and
 *   then blocks in read() on it: eight idle connections starve eight threads. So each request gets
 * a fresh FCGX_Request that is told "this is your connection" (ipcFd) and taken away afterwards.
 * - On a broken or silent connection it closes ipcFd and goes back to accept(listen_sock). With
 *   listen_sock -1 that is EBADF, which it takes for a hard error: it returns -9 at once. (Measured
 * for EOF, garbage, one byte then silence, cut parameters.) So it never accepts by itself here.
 * - Closing, it does shutdown() and then polls up to 2 s for the peer to close. Good requests are
 *   closed by us; for the broken ones LIBFCGI_OS_CLOSE_POLL_TIMEOUT=0 makes it 0 ms (measured:
 *   2.002 s without, 0.000 s with).
 * - A read has no time-out once the first byte came. SO_RCVTIMEO on the socket ends it: EAGAIN is
 * an error like any other to libfcgi. The same holds for SO_SNDTIMEO. EINTR is also an error, so
 * all signals are blocked in worker threads.
 * - stdin that is not read to its empty last record stays in the socket: the next request on that
 *   connection is then a protocol error (Apache with enablereuse), and closing a Unix socket with
 *   unread bytes gives the peer ECONNRESET in the middle of our response.
 * - It accepts the roles authorizer and filter too; only FCGI_RESPONDER is served.
 * - Its streams point at the FCGX_Request they belong to: it must not move while a request is open.
 * - FCGX_Init() replaces the handlers of SIGPIPE, SIGTERM and SIGUSR1 where they are SIG_DFL or
 *   SIG_IGN; its own only set a flag.
 * - FCGX_GetParam() returns the first of repeated parameters; the last is what the operator meant.
 */
#include "fcgi/fcgx.h"

#include <fcgiapp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"

#define ROLE_RESPONDER 1
#define DRAIN_MAX      (256L * 1024 * 1024) /* a body past this costs the peer its connection */
#define CHUNK          16384

struct fcgx {
    FCGX_Request r;
    size_t n_params;
    bool failed;
    bool at_end; /* stdin was read to its end */
};

enum vx_err fcgx_library_init(void)
{
    static const int taken[] = {SIGPIPE, SIGTERM, SIGUSR1};
    struct sigaction old[3];
    if (setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "0", 1))
        return VX_ERR_NO_MEMORY;
    for (size_t i = 0; i < 3; i++)
        if (sigaction(taken[i], NULL, &old[i]))
            return VX_ERR_SYSTEM;
    if (FCGX_Init() != 0)
        return VX_ERR_SYSTEM;
    for (size_t i = 0; i < 3; i++)
        if (sigaction(taken[i], &old[i], NULL))
            return VX_ERR_SYSTEM;
    return VX_OK;
}

struct fcgx *fcgx_new(void)
{
    struct fcgx *f = calloc(1, sizeof *f);
    if (f)
        f->r.ipcFd = -1;
    return f;
}

void fcgx_free(struct fcgx *f)
{
    free(f);
}

bool fcgx_begin(struct fcgx *f, int fd)
{
    f->failed = f->at_end = false;
    f->n_params = 0;
    FCGX_InitRequest(&f->r, -1, 0);
    f->r.ipcFd = fd;
    f->r.keepConnection = 1; /* else FCGX_Accept_r() closes the connection before it reads it */
    if (FCGX_Accept_r(&f->r) != 0) {
        if (f->r.ipcFd >= 0) {
            f->r.ipcFd = -1;
            close(fd);
        }
        FCGX_Free(&f->r, 0);
        return false;
    }
    while (f->r.envp && f->r.envp[f->n_params])
        f->n_params++;
    if (f->r.role != ROLE_RESPONDER) {
        f->failed = true;
        fcgx_finish(f);
        return false;
    }
    return true;
}

const char *fcgx_param_at(const struct fcgx *f, size_t i)
{
    return i < f->n_params ? f->r.envp[i] : NULL;
}

/* The next bytes of stdin, 0 at its end or when the connection failed. */
static size_t read_some(struct fcgx *f, char *chunk, size_t size)
{
    if (f->at_end || f->failed)
        return 0;
    int n = FCGX_GetStr(chunk, (int)size, f->r.in);
    if (n < (int)size) {
        f->at_end = true;
        if (FCGX_GetError(f->r.in))
            f->failed = true;
    }
    return n > 0 ? (size_t)n : 0;
}

enum vx_err fcgx_read_body(struct fcgx *f, struct arena *a, size_t limit, struct fcgx_body *out)
{
    static char nothing[1] = "";
    char chunk[CHUNK];
    struct buf b;
    size_t n;
    *out = (struct fcgx_body){.data = nothing};
    buf_init(&b, limit + 1);
    while ((n = read_some(f, chunk, sizeof chunk)) > 0) {
        if (b.len + n > limit) {
            out->too_large = true;
            break;
        }
        if (buf_append(&b, chunk, n))
            break;
    }
    bool no_memory = b.failed;
    if (!fcgx_drain(f))
        out->broken = true;
    if (no_memory || out->too_large || out->broken || b.len == 0) {
        buf_free(&b);
        return no_memory ? VX_ERR_NO_MEMORY : VX_OK;
    }
    n = b.len;
    char *data = buf_take(&b);
    if (!data || arena_defer(a, free, data))
        return VX_ERR_NO_MEMORY;
    out->data = data;
    out->len = n;
    return VX_OK;
}

bool fcgx_drain(struct fcgx *f)
{
    char chunk[CHUNK];
    long total = 0;
    size_t n;
    while ((n = read_some(f, chunk, sizeof chunk)) > 0) {
        total += (long)n;
        if (total > DRAIN_MAX)
            f->failed = true;
    }
    return !f->failed;
}

bool fcgx_write(struct fcgx *f, const char *data, size_t n)
{
    while (n > 0 && !f->failed) {
        int part = n > INT32_MAX / 2 ? INT32_MAX / 2 : (int)n;
        if (FCGX_PutStr(data, part, f->r.out) != part)
            f->failed = true;
        data += part;
        n -= (size_t)part;
    }
    return !f->failed;
}

bool fcgx_flush(struct fcgx *f)
{
    if (!f->failed && FCGX_FFlush(f->r.out) != 0)
        f->failed = true;
    return !f->failed;
}

int fcgx_finish(struct fcgx *f)
{
    fcgx_drain(f);
    if (!f->failed) {
        /* the end of stdout carries FCGI_END_REQUEST; one write() for a small response */
        if (FCGX_FClose(f->r.err) != 0 || FCGX_FClose(f->r.out) != 0)
            f->failed = true;
    }
    int fd = f->r.ipcFd;
    bool keep = f->r.keepConnection && !f->failed;
    f->r.ipcFd = -1; /* FCGX_Free(, 0) closes nothing, but leaves no number behind either */
    FCGX_Free(&f->r, 0);
    if (!keep) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int fcgx_detach(struct fcgx *f, unsigned *request_id, bool *keep)
{
    int fd = f->r.ipcFd;
    *request_id = (unsigned)f->r.requestId;
    *keep = f->r.keepConnection && !f->failed;
    f->r.ipcFd = -1;
    FCGX_Free(&f->r, 0);
    return fd;
}
