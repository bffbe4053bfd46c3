/* The turnstile: two flock files that order every write transaction and every checkpoint of every
 * process of an instance (design.md "Storage"; SQLite's WAL-reset bug). Take the gate, then the
 * lock, then drop the gate: whoever came first goes next. One object a process, used by one
 * thread at a time. */
#ifndef VX_STORE_LOCK_H
#define VX_STORE_LOCK_H

#include <stdint.h>

#include "lib/err.h"

struct store_lock;

/* The files <db>.gate and <db>.lock. */
enum vx_err store_lock_new(const char *db, struct store_lock **out);
void store_lock_free(struct store_lock *l);
/* Waits at most ms: VX_ERR_STORE_BUSY after that. */
enum vx_err store_lock_take(struct store_lock *l, int64_t ms);
void store_lock_drop(struct store_lock *l);

#endif
