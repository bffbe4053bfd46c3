/* Retention: trims the events log by age and by rows of a topic, oldest first, and records the
 * floor of each topic in the same transaction, which is how a stream knows to say `gap`. The same
 * sweep finishes deletions and erases idempotency keys whose time is over. */
#ifndef VX_STORE_RETENTION_H
#define VX_STORE_RETENTION_H

#include "lib/store.h"

#define RETENTION_TOPIC_MAX 1024 /* no name of ours is near it */

struct retention_limits {
    int64_t before_ms; /* events older than this go; 0 = none */
    int64_t per_topic; /* newest events kept of a topic; 0 = all */
};

/* Where a sweep is; all zero to begin one. */
struct retention_sweep {
    int stage;
    char topic[RETENTION_TOPIC_MAX]; /* topics up to here were looked at */
};

/* One short step: a bounded read, and at most one write of at most 1,000 rows. *done: the sweep is
 * over and *at is zero again. After a fault the same step can be tried again. */
enum vx_err store_retention_step(struct store *st, struct store_conn *rd,
                                 const struct retention_limits *limits, struct retention_sweep *at,
                                 bool *done);

#endif
