/* All outgoing HTTP, on libcurl: calls that run side by side on one event loop of the caller
 * (a bot posting segments beside its command stream, webhooks, model endpoints). http and https
 * only, no redirects, no signals, every response bounded. curl itself is initialised on first use.
 * Not thread safe: one client belongs to one thread. */
#ifndef VX_HTTP_CLIENT_H
#define VX_HTTP_CLIENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct http_client;
struct http_call;

/* 0 in a field means the value in brackets. */
struct http_limits {
    long connect_ms;   /* [5000] to get a connection */
    long total_ms;     /* [none] for the whole call */
    long idle_seconds; /* [none] without a byte in either direction (rounded up by curl) */
    size_t body_max;   /* [64 KiB] of response body kept; not counted when on_data is set */
};

enum http_fault {
    HTTP_FINE = 0,
    HTTP_BAD_URL,    /* not a URL, or not http/https: trying again is useless */
    HTTP_NO_CONNECT, /* name not resolved, refused, unreachable */
    HTTP_TIMEOUT,    /* one of the limits ran out */
    HTTP_TOO_BIG,    /* the body passed body_max; status and the first bytes are there */
    HTTP_STOPPED,    /* on_data returned false */
    HTTP_BROKEN,     /* everything else: closed half-way, TLS, protocol, memory */
};

struct http_result {
    int status;            /* HTTP status; 0 = none was received */
    enum http_fault fault; /* a status without HTTP_FINE is an answer that broke off */
    const char *error;     /* words for the log, "" when fine */
    const char *body;      /* NUL-terminated, "" when empty or on_data took it */
    size_t body_len;
    const char *content_type; /* "" when absent */
    int64_t retry_after;      /* seconds the answer asks to wait; 0 = it does not */
};

struct http_request {
    const char *method; /* "GET", "POST", … */
    const char *url;
    const char *const *headers; /* "Name: value", NULL ends the list; NULL = none; copied */
    const void *body;           /* NULL = none; copied */
    size_t body_len;
    struct http_limits limits;
    bool direct; /* ignore the proxies of the environment (calls to our own server) */
    /* Each piece of the body as it comes; false ends the call. Must not start, cancel or poll. */
    bool (*on_data)(void *ctx, int status, const char *p, size_t n);
    /* The end, exactly once unless cancelled; result is valid during the call only. May start and
     * cancel other calls. */
    void (*on_done)(void *ctx, const struct http_result *result);
    void *ctx;
};

/* agent is the User-Agent, copied. NULL when out of memory or curl does not start. */
struct http_client *http_client_new(const char *agent);
/* Cancels whatever runs. NULL is fine. */
void http_client_free(struct http_client *c);

/* Starts a call; nothing is sent before the next http_client_poll(). *out (may be NULL) is valid
 * until on_done returns. VX_ERR_VALIDATION when a header holds a line break (nothing was started),
 * VX_ERR_NO_MEMORY. */
enum vx_err http_client_start(struct http_client *c, const struct http_request *rq,
                              struct http_call **out) __attribute__((warn_unused_result));
/* Drops a call without on_done. NULL is fine. */
void http_client_cancel(struct http_client *c, struct http_call *call);

/* Works on all calls and waits until one has progress, one of fds is ready (revents are set), or
 * timeout_ms passed. Returns the number of calls that ended, -1 when curl failed. */
int http_client_poll(struct http_client *c, struct pollfd *fds, size_t n_fds, int timeout_ms);
/* Calls that have not ended. */
size_t http_client_running(const struct http_client *c);

#endif
