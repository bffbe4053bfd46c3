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
/* Parks a kept connection whose stream has ended (a hub_keep_fn; ctx is the pool). */
void pool_take_back(int fd, void *ctx);
/* Stops accepting new work, except what has arrived already: requests in hand and in parked
 * connections are answered, and, when drain_backlog, those waiting in the listening socket too.
 * True when all workers ended within timeout_ms; then the pool is freed. False: some hang, the pool
 * lives on and the process should exit. */
bool pool_stop(struct pool *p, bool drain_backlog, int64_t timeout_ms);

#endif
