/* Keeping the events log small, finishing deletions, forgetting old idempotency keys: the runner's
 * housekeeping. */
#ifndef VX_RUNNER_RETENTION_H
#define VX_RUNNER_RETENTION_H

#include "runner/bots.h"

/* Every tick: one short step of a sweep, when one runs or is due (retention.sweep_seconds). now:
 * monotonic ms. */
enum vx_err retention_tick(struct runner *r, int64_t now);

#endif
