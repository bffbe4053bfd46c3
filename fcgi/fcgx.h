/* The only code that talks to libfcgi (2.4.2). A connection is accepted and parked by fcgi/pool.c,
 * lent to libfcgi for exactly one request, and taken back. One struct fcgx belongs to one thread.
 */
#ifndef VX_FCGX_H
#define VX_FCGX_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"

struct fcgx;

/* Prepares the library. Call once in the main thread, before other threads start: it changes the
 * environment and signal handlers (and puts the latter back). */
enum vx_err fcgx_library_init(void);

struct fcgx *fcgx_new(void); /* NULL = no memory */
void fcgx_free(struct fcgx *f);

/* Lends fd and reads the parameters of the next request. False: the peer was gone, slow or spoke
 * nonsense; fd was closed. After true the request must end in fcgx_finish() or fcgx_detach(). */
bool fcgx_begin(struct fcgx *f, int fd);

/* Parameter i as "NAME=value", NULL past the end, in the order sent: of a repeated name the last
 * one counts. Lives until the request ends. */
const char *fcgx_param_at(const struct fcgx *f, size_t i);

struct fcgx_body {
    char *data; /* in the arena, NUL after it; "" when there is none */
    size_t len;
    bool too_large; /* more than limit bytes came; data is "" */
    bool broken;    /* the connection failed before the end of the body */
};
/* Reads stdin to its end; keeps the bytes while they are at most limit. VX_ERR_NO_MEMORY. */
enum vx_err fcgx_read_body(struct fcgx *f, struct arena *a, size_t limit, struct fcgx_body *out);
/* Throws away what is left of stdin. False when the connection failed. */
bool fcgx_drain(struct fcgx *f);

/* Both return false when the connection failed; that is remembered until fcgx_finish(). */
bool fcgx_write(struct fcgx *f, const char *data, size_t n);
bool fcgx_flush(struct fcgx *f);

/* Ends the request. Returns the connection when the web server asked to keep it and nothing
 * failed; else closes it and returns -1. */
int fcgx_finish(struct fcgx *f);
/* Takes the connection away from libfcgi without ending the request; the caller owns it. *keep:
 * the web server asked to keep it. */
int fcgx_detach(struct fcgx *f, unsigned *request_id, bool *keep);

#endif
