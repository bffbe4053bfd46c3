/* The slow lane: connections whose request has only begun to arrive wait here, not in a worker, and
 * at most LANE_SECONDS. A worker reads with libfcgi, which blocks: four peers that stop in the
 * middle of a request would stop four workers. So a worker takes a request that is here entirely;
 * an unfinished one only while less than half of the workers are busy with such, and the lane's
 * thread ends it when it does not come to its end in time. */
#ifndef VX_LANE_H
#define VX_LANE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

#define LANE_SECONDS 10

enum arrival_state {
    ARRIVED_NOTHING, /* idle */
    ARRIVED_GONE,    /* the peer closed, or it is broken */
    ARRIVED_WHOLE,   /* a request to its end */
    ARRIVED_PART,    /* of a request, or nonsense */
    ARRIVED_MUCH,    /* part of one too large to look at whole */
};
/* Looks without taking anything. */
enum arrival_state lane_look(int fd);

/* What a worker is reading; the lane ends it when it takes too long. */
struct lane_reader {
    pthread_mutex_t lock;
    int fd; /* -1 = no unfinished request */
    int64_t until;
    struct lane_reader *next;
};

struct lane;

/* limit: workers that may read unfinished requests at once. ready gets connections that are to be
 * looked at again by a worker; in the lane's thread. */
enum vx_err lane_start(unsigned limit, void (*ready)(int fd, void *ctx), void *ctx,
                       struct lane **out);
void lane_add_reader(struct lane *l, struct lane_reader *r); /* before r is used */
/* Takes fd over. */
void lane_put(struct lane *l, int fd, enum arrival_state state);
/* True: this worker may read the unfinished request of fd, and calls lane_read_done() when it is
 * read, at the latest before fd is closed or given away. */
bool lane_read_begin(struct lane *l, struct lane_reader *r, int fd);
void lane_read_done(struct lane *l, struct lane_reader *r);
/* Ends the thread and gives every connection that waits to fn. */
void lane_stop(struct lane *l, void (*fn)(int fd, void *ctx), void *ctx);
void lane_free(struct lane *l); /* after lane_stop(), when no worker is left */

#endif
