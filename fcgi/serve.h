/* One request from lent connection to logged answer. */
#ifndef VX_SERVE_H
#define VX_SERVE_H

#include <stdatomic.h>

#include "fcgi/fcgx.h"
#include "fcgi/hub.h"
#include "fcgi/router.h"
#include "fcgi/settings.h"
#include "lib/buf.h"

/* What all workers share. While fault is set, workers read nothing else here but router and the
 * flag (and base_path, unless the fault is VX_ERR_BAD_CONFIG): the main thread may fill in the rest
 * and then clear it. */
struct service {
    const struct app *app;
    const struct router *router;
    struct hub *hub;
    const char *base_path; /* "" or "/prefix" */
    atomic_int fault;      /* enum vx_err; the instance cannot work: see web_request.app_fault */
    struct settings_cell *settings; /* NULL: app and base_path stay as they are, else the snapshot
                                     * in force counts, and of app only the store */
    atomic_bool draining;           /* new streams are refused, connections are not kept */
};

/* What one worker owns. */
struct server {
    struct service *service;
    struct fcgx *fx;
    struct arena *arena;
    struct store_conn *db; /* opened by server_warm() or the first request */
    struct buf head;
    struct settings *settings; /* of the request in hand or the last one */
    unsigned settings_version;
    void (*arrived)(void *ctx); /* called when a request was read to its end; NULL = nobody cares */
    void *arrived_ctx;
};

enum vx_err server_init(struct server *s, struct service *service);
/* Opens what the first request would, while there are descriptors. */
void server_warm(struct server *s);
void server_free(struct server *s); /* by the thread that served */

enum served {
    SERVED_CLOSED, /* fd is gone */
    SERVED_KEEP,   /* fd waits for its next request */
    SERVED_STREAM, /* fd belongs to the hub now */
};
/* Reads one request from fd, answers and logs it. before_hand_over(fd, ctx) is called when the
 * connection is about to become the hub's. */
enum served serve_one(struct server *s, int fd, void (*before_hand_over)(int fd, void *ctx),
                      void *ctx);

#endif
