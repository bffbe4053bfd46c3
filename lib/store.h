/* The store: one SQLite file (WAL, synchronous=FULL), one writer thread a process with group
 * commit, one read connection a thread. Every write transaction and every checkpoint of every
 * process happens under the turnstile lock (lib/store_lock.c). Domain functions are in
 * store_<noun>.h; SQL appears in lib/store_*.c and nowhere else. */
#ifndef VX_STORE_H
#define VX_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"

struct store;      /* the process's handle; shared by all threads */
struct store_conn; /* one connection; belongs to one thread */

enum store_flags {
    STORE_CREATE = 1, /* make the file when it is absent */
};

/* Opens (and migrates) the database at path and starts the writer thread. busy_ms bounds the wait
 * for the writer lock. VX_ERR_SCHEMA_TOO_NEW when a newer vexa made it. */
enum vx_err store_open(const char *path, int64_t busy_ms, unsigned flags, struct store **out);
/* Finishes queued writes, stops the thread. All readers must be closed before. */
void store_close(struct store *st);

/* A read connection for the calling thread. */
enum vx_err store_reader_open(struct store *st, struct store_conn **out);
void store_reader_close(struct store_conn *c);

/* The random word of this database, part of every event id ("<epoch>-<n>"). */
const char *store_epoch(const struct store *st);
/* PRAGMA user_version of the open database. */
int store_schema_version(const struct store *st);

/* Runs fn inside a savepoint of the next group commit, on the writer thread. Returns what fn
 * returned (its changes are kept only if that is 0), or the fault of the group. After VX_OK the
 * change is durable. fn must be short, do no I/O, and not call store_write. */
typedef enum vx_err store_write_fn(struct store_conn *w, void *ctx);
enum vx_err store_write(struct store *st, store_write_fn *fn, void *ctx);
/* Same, but nobody waits: for notes that may be lost (last_used_at). ctx is freed by free_ctx
 * after the run or when the queue of such jobs is full. */
void store_write_later(struct store *st, store_write_fn *fn, void *ctx, void (*free_ctx)(void *));

/* fd (an eventfd) is written after every commit of this process. -1 clears. */
void store_notify_fd(struct store *st, int fd);
/* Changes when any other connection has committed (PRAGMA data_version, about 1.6 us). */
enum vx_err store_data_version(struct store_conn *c, int64_t *version);

/* One snapshot over several reads of this connection. Keep it short. */
enum vx_err store_snapshot_begin(struct store_conn *c);
void store_snapshot_end(struct store_conn *c);

/* Counters for /metrics and tests. */
struct store_stats {
    uint64_t groups, writes;
    unsigned queued;
};
void store_stats(struct store *st, struct store_stats *out);

#endif
