/* Rows of idempotency keys: see store_idempotency.h. A row counts until expires_ms, whether it was
 * swept or not: that is the end of its lease while it has no status, then the end of its day. */
#include "lib/store_idempotency.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/store_sql.h"

#define BATCH 1000 /* rows of one write */

struct claim_job {
    struct arena *a;
    const struct idempotency_scope *scope;
    const unsigned char *fingerprint;
    struct idempotency_outcome *out;
    bool open; /* no row speaks for the key */
};

/* A lease longer than any we give was taken under a clock that ran ahead: it would hold the key
 * until that time comes. */
static bool is_over(int64_t expires_ms, bool in_progress, int64_t now)
{
    return expires_ms <= now || (in_progress && expires_ms > now + IDEMPOTENCY_LEASE_MS);
}

/* What the key's row says, if one counts: the kept answer, or why there is none. */
static enum vx_err look(struct store_conn *c, struct claim_job *j)
{
    sqlite3_stmt *st;
    bool row;
    j->open = true;
    enum vx_err err =
        sql_begin(c, &st,
                  "SELECT expires_ms, status, fingerprint, body FROM idempotency"
                  " WHERE user_id = ? AND method = ? AND path = ? AND key = ?",
                  "ittt", j->scope->user_id, j->scope->method, j->scope->path, j->scope->key);
    if (err != VX_OK)
        return err;
    err = sql_step(c, st, &row);
    bool running = err == VX_OK && row && sqlite3_column_type(st, 1) == SQLITE_NULL;
    if (err == VX_OK && row && !is_over(sqlite3_column_int64(st, 0), running, clock_now_ms())) {
        j->open = false;
        const void *was = sqlite3_column_blob(st, 2);
        if (was == NULL || sqlite3_column_bytes(st, 2) != SECRET_SHA256 ||
            memcmp(was, j->fingerprint, SECRET_SHA256) != 0) {
            err = VX_ERR_IDEMPOTENCY_MISMATCH;
        } else if (running) {
            err = VX_ERR_IDEMPOTENCY_IN_PROGRESS;
        } else {
            j->out->status = (int)sqlite3_column_int64(st, 1);
            j->out->body = sql_text(j->a, st, 3, &err);
        }
    }
    sql_end(st);
    return err;
}

static enum vx_err claim_run(struct store_conn *w, void *ctx)
{
    struct claim_job *j = ctx;
    int64_t now = clock_now_ms();
    enum vx_err err = look(w, j); /* again: another request may have been faster */
    if (err != VX_OK || !j->open)
        return err;
    err = sql_exec(w,
                   "DELETE FROM idempotency"
                   " WHERE user_id = ? AND method = ? AND path = ? AND key = ?",
                   "ittt", j->scope->user_id, j->scope->method, j->scope->path, j->scope->key);
    if (err == VX_OK)
        err =
            sql_exec(w,
                     "INSERT INTO idempotency"
                     " (user_id, method, path, key, fingerprint, created_ms, expires_ms)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?)",
                     "itttbii", j->scope->user_id, j->scope->method, j->scope->path, j->scope->key,
                     j->fingerprint, (size_t)SECRET_SHA256, now, now + IDEMPOTENCY_LEASE_MS);
    if (err == VX_OK)
        j->out->claim = sql_last_id(w);
    return err;
}

enum vx_err store_idempotency_claim(struct store *st, struct store_conn *rd, struct arena *a,
                                    const struct idempotency_scope *scope,
                                    const unsigned char fingerprint[SECRET_SHA256],
                                    struct idempotency_outcome *out)
{
    struct claim_job j = {.a = a, .scope = scope, .fingerprint = fingerprint, .out = out};
    *out = (struct idempotency_outcome){0};
    enum vx_err err = look(rd, &j);
    if (err == VX_OK && j.open)
        err = store_write(st, claim_run, &j);
    return err;
}

struct end_job {
    int64_t claim;
    int status;
    const char *body;
};

static enum vx_err keep_run(struct store_conn *w, void *ctx)
{
    const struct end_job *j = ctx;
    enum vx_err err = sql_exec(w,
                               "UPDATE idempotency SET status = ?, body = ?, expires_ms = ?"
                               " WHERE id = ? AND status IS NULL",
                               "itii", (int64_t)j->status, j->body,
                               clock_now_ms() + IDEMPOTENCY_KEEP_MS, j->claim);
    return err == VX_OK && sql_changes(w) == 0 ? VX_ERR_INVALID_STATE : err;
}

enum vx_err idempotency_keep_within(struct store_conn *w, const struct idempotency_keep *keep)
{
    if (keep == NULL)
        return VX_OK;
    struct end_job j = {keep->claim, keep->status, keep->body(keep->ctx)};
    enum vx_err err = j.body != NULL ? keep_run(w, &j) : VX_ERR_NO_MEMORY;
    return err == VX_ERR_INVALID_STATE ? VX_ERR_IDEMPOTENCY_IN_PROGRESS : err;
}

enum vx_err store_idempotency_keep(struct store *st, int64_t claim, int status, const char *body)
{
    struct end_job j = {claim, status, body};
    return store_write(st, keep_run, &j);
}

static enum vx_err free_run(struct store_conn *w, void *ctx)
{
    const int64_t *claim = ctx;
    return sql_exec(w, "DELETE FROM idempotency WHERE id = ? AND status IS NULL", "i", *claim);
}

enum vx_err store_idempotency_free(struct store *st, int64_t claim)
{
    return store_write(st, free_run, &claim);
}

struct sweep_job {
    int64_t now, n;
};

static enum vx_err sweep_run(struct store_conn *w, void *ctx)
{
    struct sweep_job *j = ctx;
    enum vx_err err = sql_exec(w,
                               "DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency"
                               " WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?)",
                               "ii", j->now, (int64_t)BATCH);
    j->n = err == VX_OK ? sql_changes(w) : 0;
    return err;
}

enum vx_err store_idempotency_sweep(struct store *st, struct store_conn *rd, bool *more)
{
    struct sweep_job j = {.now = clock_now_ms()};
    int64_t one;
    bool found;
    *more = false;
    enum vx_err err = sql_int(
        rd, &one, &found, "SELECT 1 FROM idempotency WHERE expires_ms <= ? LIMIT 1", "i", j.now);
    if (err != VX_OK || !found)
        return err;
    err = store_write(st, sweep_run, &j);
    *more = err == VX_OK && j.n == BATCH;
    return err;
}
