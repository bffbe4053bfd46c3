/* Connections and worker threads. All connections, parked ones included, are in one epoll set with
 * EPOLLONESHOT; a worker takes one that has bytes, serves one request, and parks it again when the
 * web server asked to keep it. So idle kept connections cost a descriptor, never a thread. */
#ifndef VX_POOL_H
#define VX_POOL_H

#include "fcgi/serve.h"

struct pool;

/* Starts threads workers on listen_fd, which stays the caller's and becomes non-blocking. Signals
 * must be blocked already. service outlives the pool. */
enum vx_err pool_start(int listen_fd, unsigned threads, struct service *service, struct pool **out);
/* Parks a connection from elsewhere: one that the predecessor passed, or a kept connection whose
 * stream has ended (a hub_keep_fn; ctx is the pool). */
void pool_take_back(int fd, void *ctx);
/* Stops accepting new work, except what has arrived already: requests in hand and in parked
 * connections are answered, and, when drain_backlog, those waiting in the listening socket too.
 * True when all workers ended within timeout_ms; then the pool is freed. False: some hang, the pool
 * lives on and the process should exit. */
bool pool_stop(struct pool *p, bool drain_backlog, int64_t timeout_ms);

/* The successor serves: stops accepting and gives every connection to pass, those that are parked
 * now and each that would be parked later, from whatever thread. Returns when the requests in hand
 * are answered (true) or timeout_ms is over. The pool lives on, so that pool_take_back() still
 * works. */
typedef void pool_pass_fn(int fd, void *ctx);
bool pool_leave(struct pool *p, pool_pass_fn *pass, void *ctx, int64_t timeout_ms);
/* After pool_leave() returned true. */
void pool_free(struct pool *p);

#endif
