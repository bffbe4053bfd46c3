/* The writer thread: group commit. For lib/store.c. */
#ifndef VX_STORE_WRITER_H
#define VX_STORE_WRITER_H

#include "lib/store.h"
#include "lib/store_lock.h"

struct store_writer;

/* conn and lock are borrowed until store_writer_stop(). */
enum vx_err store_writer_start(struct store_conn *conn, struct store_lock *lock, int64_t busy_ms,
                               struct store_writer **out);
/* Finishes what is queued, joins the thread. */
void store_writer_stop(struct store_writer *w);
enum vx_err store_writer_run(struct store_writer *w, store_write_fn *fn, void *ctx);
void store_writer_later(struct store_writer *w, store_write_fn *fn, void *ctx,
                        void (*free_ctx)(void *));
void store_writer_notify_fd(struct store_writer *w, int fd);
void store_writer_stats(struct store_writer *w, struct store_stats *out);

#endif
