/* Workloads: what the runner claims, keeps alive and ends, and the runner's heartbeat. */
#include "lib/store_workloads.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/store_sql.h"

#define WORKLOAD_SELECT                                                                            \
    "SELECT w.id, w.session_uid, w.state, w.launch, w.meeting_id, m.user_id, m.platform,"          \
    " m.native_meeting_id, m.url, m.status, m.stop_requested_ms, w.pid, w.pid_start,"              \
    " w.requested_ms, w.started_ms FROM workloads w JOIN meetings m ON m.id = w.meeting_id"

/* A starting row that has a process is never claimed: its runner's successor adopts the process. */
#define WORKLOAD_CLAIMABLE                                                                         \
    "(state = 'requested'"                                                                         \
    " OR (state = 'starting' AND COALESCE(pid, 0) = 0 AND lease_until_ms < ?))"

static enum vx_err workload_row(sqlite3_stmt *st, struct arena *a, void *row)
{
    enum vx_err err = VX_OK;
    *(struct workload *)row = (struct workload){
        .id = sql_text(a, st, 0, &err),
        .session_uid = sql_text(a, st, 1, &err),
        .state = sql_text(a, st, 2, &err),
        .launch = sql_text(a, st, 3, &err),
        .meeting_id = sqlite3_column_int64(st, 4),
        .user_id = sqlite3_column_int64(st, 5),
        .platform = sql_text(a, st, 6, &err),
        .native_id = sql_text(a, st, 7, &err),
        .url = sql_text(a, st, 8, &err),
        .meeting_status = sql_text(a, st, 9, &err),
        .stop_requested = sqlite3_column_type(st, 10) != SQLITE_NULL,
        .stop_ms = sqlite3_column_int64(st, 10),
        .pid = sqlite3_column_int64(st, 11),
        .pid_start = sqlite3_column_int64(st, 12),
        .requested_ms = sqlite3_column_int64(st, 13),
        .started_ms = sqlite3_column_int64(st, 14),
    };
    return err;
}

/* All rows of a started statement, which it ends. */
static enum vx_err workload_rows(struct store_conn *c, struct arena *a, sqlite3_stmt *st,
                                 struct workload **out, size_t *n)
{
    void *rows;
    enum vx_err err = sql_rows(c, a, st, sizeof **out, workload_row, &rows, n);
    *out = rows;
    return err;
}

struct workload_claim {
    struct arena *a;
    const char *runner;
    int64_t lease_ms;
    struct workload *out;
};

static enum vx_err workload_claim_run(struct store_conn *w, void *ctx)
{
    struct workload_claim *j = ctx;
    int64_t now = clock_now_ms();
    sqlite3_stmt *st;
    bool row;
    memset(j->out, 0, sizeof *j->out);
    enum vx_err err = sql_begin(w, &st,
                                "SELECT id FROM workloads WHERE " WORKLOAD_CLAIMABLE
                                " ORDER BY requested_ms, meeting_id LIMIT 1",
                                "i", now);
    if (err != VX_OK)
        return err;
    err = sql_step(w, st, &row);
    const char *id = err == VX_OK && row ? sql_text(j->a, st, 0, &err) : NULL;
    sql_end(st);
    if (err != VX_OK || !row)
        return err;
    err = sql_exec(w,
                   "UPDATE workloads SET state = 'starting', runner = ?, lease_until_ms = ?"
                   " WHERE id = ?",
                   "tit", j->runner, now + j->lease_ms, id);
    if (err == VX_OK)
        err = sql_begin(w, &st, WORKLOAD_SELECT " WHERE w.id = ?", "t", id);
    if (err != VX_OK)
        return err;
    err = sql_step(w, st, &row);
    if (err == VX_OK)
        err = row ? workload_row(st, j->a, j->out) : VX_ERR_INTERNAL;
    sql_end(st);
    return err;
}

enum vx_err store_workload_claim(struct store *st, struct arena *a, const char *runner,
                                 int64_t lease_ms, struct workload *out)
{
    struct workload_claim j = {a, runner, lease_ms, out};
    enum vx_err err = store_write(st, workload_claim_run, &j);
    if (err != VX_OK)
        memset(out, 0, sizeof *out);
    return err;
}

enum vx_err store_workload_pending(struct store_conn *c, bool *pending)
{
    int64_t one;
    *pending = false;
    return sql_int(c, &one, pending, "SELECT 1 FROM workloads WHERE " WORKLOAD_CLAIMABLE " LIMIT 1",
                   "i", clock_now_ms());
}

struct workload_step {
    const char *id, *note;
    int64_t pid, pid_start;
    int exit_code, sig;
};

/* The first process wins: a second runner whose predecessor was only slow gets INVALID_STATE. */
static enum vx_err workload_started_run(struct store_conn *w, void *ctx)
{
    const struct workload_step *j = ctx;
    enum vx_err err = sql_exec(w,
                               "UPDATE workloads SET pid = ?, pid_start = ?, started_ms = ?"
                               " WHERE id = ? AND state = 'starting' AND COALESCE(pid, 0) = 0",
                               "iiit", j->pid, j->pid_start, clock_now_ms(), j->id);
    return err == VX_OK && sql_changes(w) == 0 ? VX_ERR_INVALID_STATE : err;
}

enum vx_err store_workload_started(struct store *st, const char *id, int64_t pid, int64_t pid_start)
{
    struct workload_step j = {.id = id, .pid = pid, .pid_start = pid_start};
    return store_write(st, workload_started_run, &j);
}

static enum vx_err workload_running_run(struct store_conn *w, void *ctx)
{
    const struct workload_step *j = ctx;
    enum vx_err err = sql_exec(w,
                               "UPDATE workloads SET state = 'running'"
                               " WHERE id = ? AND state IN ('starting', 'running')",
                               "t", j->id);
    return err == VX_OK && sql_changes(w) == 0 ? VX_ERR_INVALID_STATE : err;
}

enum vx_err store_workload_running(struct store *st, const char *id)
{
    struct workload_step j = {.id = id};
    return store_write(st, workload_running_run, &j);
}

static enum vx_err workload_requeue_run(struct store_conn *w, void *ctx)
{
    const struct workload_step *j = ctx;
    enum vx_err err =
        sql_exec(w,
                 "UPDATE workloads SET state = 'requested', runner = NULL, lease_until_ms = NULL,"
                 " pid = NULL, pid_start = NULL, started_ms = NULL"
                 " WHERE id = ? AND state = 'starting' AND EXISTS"
                 " (SELECT 1 FROM meetings m WHERE m.id = workloads.meeting_id"
                 "  AND m.status = 'requested' AND m.stop_requested_ms IS NULL)",
                 "t", j->id);
    return err == VX_OK && sql_changes(w) == 0 ? VX_ERR_INVALID_STATE : err;
}

enum vx_err store_workload_requeue(struct store *st, const char *id)
{
    struct workload_step j = {.id = id};
    return store_write(st, workload_requeue_run, &j);
}

enum vx_err store_workload_live(struct store_conn *c, struct arena *a, struct workload **out,
                                size_t *n)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(c, &st,
                                WORKLOAD_SELECT " WHERE w.state IN ('starting', 'running')"
                                                " ORDER BY w.requested_ms, w.meeting_id",
                                "");
    return err != VX_OK ? err : workload_rows(c, a, st, out, n);
}

enum vx_err store_workload_overdue(struct store_conn *c, struct arena *a, int64_t before_ms,
                                   struct workload **out, size_t *n)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(c, &st,
                                WORKLOAD_SELECT " WHERE w.state = 'requested'"
                                                " AND w.requested_ms < ?"
                                                " ORDER BY w.requested_ms, w.meeting_id",
                                "i", before_ms);
    return err != VX_OK ? err : workload_rows(c, a, st, out, n);
}

/* A row ends once; a second report changes nothing and is no fault. */
static enum vx_err workload_ended_run(struct store_conn *w, void *ctx)
{
    const struct workload_step *j = ctx;
    int64_t one;
    bool found;
    enum vx_err err =
        sql_exec(w,
                 "UPDATE workloads SET state = 'ended', ended_ms = ?1,"
                 " exit_code = CASE WHEN ?2 < 0 THEN NULL ELSE ?2 END,"
                 " signal = ?3, note = ?4 WHERE id = ?5 AND state <> 'ended'",
                 "iiott", clock_now_ms(), (int64_t)j->exit_code, (int64_t)j->sig, j->note, j->id);
    if (err != VX_OK || sql_changes(w) > 0)
        return err;
    err = sql_int(w, &one, &found, "SELECT 1 FROM workloads WHERE id = ?", "t", j->id);
    return err == VX_OK && !found ? VX_ERR_NOT_FOUND : err;
}

enum vx_err store_workload_ended(struct store *st, const char *id, int exit_code, int sig,
                                 const char *note)
{
    struct workload_step j = {.id = id, .exit_code = exit_code, .sig = sig, .note = note};
    return store_write(st, workload_ended_run, &j);
}

struct runner_seen {
    const char *runner;
    int64_t pid;
};

static enum vx_err runner_seen_run(struct store_conn *w, void *ctx)
{
    const struct runner_seen *j = ctx;
    return sql_exec(w,
                    "INSERT INTO runners (name, pid, seen_ms) VALUES (?, ?, ?)"
                    " ON CONFLICT (name) DO UPDATE"
                    " SET pid = excluded.pid, seen_ms = excluded.seen_ms",
                    "tii", j->runner, j->pid, clock_now_ms());
}

enum vx_err store_runner_seen(struct store *st, const char *runner, int64_t pid)
{
    struct runner_seen j = {runner, pid};
    return store_write(st, runner_seen_run, &j);
}

enum vx_err store_runner_age(struct store_conn *c, int64_t *age_ms)
{
    int64_t seen = 0;
    bool found;
    *age_ms = -1;
    enum vx_err err =
        sql_int(c, &seen, &found, "SELECT seen_ms FROM runners ORDER BY seen_ms DESC LIMIT 1", "");
    if (err != VX_OK || !found)
        return err;
    int64_t now = clock_now_ms();
    *age_ms = now > seen ? now - seen : 0;
    return VX_OK;
}
