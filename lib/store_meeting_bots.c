/* Asking for a bot and asking it to leave (spec/meetings.md §1.1.3, §1.5): each one transaction
 * that leaves the row, its workload and the events telling the same story. */
#include "lib/store_meetings.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/secret.h"
#include "lib/store_events.h"
#include "lib/store_meeting_row.h"

#define UID_TEXT      37
#define STOP_MAX      32
#define SCRATCH_MAX   (16u << 20)
#define REASON_PLAN   "cancelled by the user before the bot was dispatched"
#define REASON_UNMADE "stopped by the user before the bot workload was created"

/* ---- asking for a bot ---- */

struct request_job {
    struct arena *a;
    const struct bot_request *rq;
    struct meeting *out;
    struct bot_conflict *why;
    char session_uid[UID_TEXT];
    int64_t now;
};

/* 409 when the link has a bot in it. */
static enum vx_err request_check_duplicate(struct store_conn *w, struct request_job *j)
{
    sqlite3_stmt *st;
    bool row;
    enum vx_err err = sql_begin(w, &st,
                                "SELECT id, status FROM meetings WHERE user_id = ?"
                                " AND platform = ? AND native_meeting_id = ? AND status IN"
                                " ('requested', 'joining', 'awaiting_admission', 'active',"
                                " 'needs_help', 'stopping')"
                                " ORDER BY created_ms DESC, id DESC LIMIT 1",
                                "itt", j->rq->user_id, j->rq->platform, j->rq->native_id);
    if (err != VX_OK)
        return err;
    err = sql_step(w, st, &row);
    if (err == VX_OK && row) {
        j->why->meeting_id = sqlite3_column_int64(st, 0);
        j->why->status = sql_text(j->a, st, 1, &err);
        if (err == VX_OK)
            err = VX_ERR_MEETING_ALREADY_ACTIVE;
    }
    sql_end(st);
    return err;
}

/* stopping rows are on their way out and planned rows have no bot: neither counts. */
static enum vx_err request_count(struct store_conn *w, struct request_job *j)
{
    bool found;
    j->why->limit = j->rq->max_concurrent;
    j->why->in_use = 0;
    return sql_int(w, &j->why->in_use, &found,
                   "SELECT COUNT(*) FROM meetings WHERE user_id = ? AND status IN"
                   " ('requested', 'joining', 'awaiting_admission', 'active', 'needs_help')"
                   " AND platform <> 'browser_session'",
                   "i", j->rq->user_id);
}

/* Turns the newest planned row of the link into the request; *id stays 0 when there is none. */
static enum vx_err request_claim(struct store_conn *w, struct request_job *j, int64_t *id)
{
    const struct bot_request *rq = j->rq;
    struct json_object *data, *spawn = NULL;
    struct json_fault fault;
    struct meeting m;
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(w, &st,
                                MEETING_SELECT " WHERE m.user_id = ? AND m.platform = ?"
                                               " AND m.native_meeting_id = ?"
                                               " AND m.status IN ('idle', 'scheduled')"
                                               " ORDER BY m.created_ms DESC, m.id DESC LIMIT 1",
                                "itt", rq->user_id, rq->platform, rq->native_id);
    if (err == VX_OK)
        err = meeting_take(w, j->a, st, &m);
    if (err == VX_ERR_MEETING_NOT_FOUND)
        return VX_OK;
    if (err == VX_OK)
        err = meeting_data(j->a, &m, &data);
    if (err == VX_OK)
        err = json_read(j->a, rq->data, strlen(rq->data), &spawn, &fault);
    if (err != VX_OK)
        return err;
    if (!json_object_is_type(spawn, json_type_object))
        return VX_ERR_INTERNAL;
    json_object_object_del(data, "stop_requested");
    json_object_object_foreach(spawn, key, value)
    {
        if (value == NULL ? json_put_null(data, key) : json_put(data, key, json_object_get(value)))
            return VX_ERR_NO_MEMORY;
    }
    const char *text = json_text(data);
    if (text == NULL)
        return VX_ERR_NO_MEMORY;
    err = sql_exec(w,
                   "UPDATE meetings SET status = 'requested', url = ?, data = ?, end_ms = NULL,"
                   " completion_reason = NULL, failure_stage = NULL, failure_reason = NULL,"
                   " stop_requested_ms = NULL, updated_ms = ? WHERE id = ?",
                   "ttii", rq->url, text, j->now, m.id);
    *id = m.id;
    return err;
}

static enum vx_err request_insert(struct store_conn *w, struct request_job *j, int64_t *id)
{
    const struct bot_request *rq = j->rq;
    enum vx_err err =
        sql_exec(w,
                 "INSERT INTO meetings (user_id, platform, native_meeting_id, url,"
                 " status, data, created_ms, updated_ms)"
                 " VALUES (?1, ?2, ?3, ?4, 'requested', ?5, ?6, ?6)",
                 "itttti", rq->user_id, rq->platform, rq->native_id, rq->url, rq->data, j->now);
    if (err == VX_OK)
        *id = sql_last_id(w);
    return err;
}

/* The session and the workload the runner will claim. */
static enum vx_err request_workload(struct store_conn *w, struct request_job *j, int64_t id)
{
    char workload[64];
    snprintf(workload, sizeof workload, "mtg-%lld-%.8s", (long long)id, j->session_uid);
    enum vx_err err = sql_exec(w,
                               "INSERT INTO sessions (meeting_id, session_uid, started_ms)"
                               " VALUES (?, ?, ?)",
                               "iti", id, j->session_uid, j->now);
    if (err == VX_OK)
        err = sql_exec(w,
                       "INSERT INTO workloads (id, meeting_id, session_uid, state, launch,"
                       " requested_ms) VALUES (?, ?, ?, 'requested', ?, ?)",
                       "titti", workload, id, j->session_uid, j->rq->launch, j->now);
    if (err == VX_OK)
        err = sql_exec(w, "UPDATE meetings SET bot_container_id = ? WHERE id = ?", "ti", workload,
                       id);
    return err;
}

static enum vx_err request_run(struct store_conn *w, void *ctx)
{
    struct request_job *j = ctx;
    int64_t id = 0;
    memset(j->why, 0, sizeof *j->why);
    j->now = clock_now_ms();
    enum vx_err err = request_count(w, j);
    if (err == VX_OK && j->rq->max_concurrent <= 0)
        err = VX_ERR_CONCURRENCY_LIMIT;
    if (err == VX_OK)
        err = request_check_duplicate(w, j);
    if (err == VX_OK && j->why->in_use >= j->rq->max_concurrent)
        err = VX_ERR_CONCURRENCY_LIMIT;
    if (err == VX_OK)
        err = request_claim(w, j, &id);
    if (err == VX_OK && id == 0)
        err = request_insert(w, j, &id);
    if (err == VX_OK)
        err = request_workload(w, j, id);
    if (err == VX_OK)
        err = store_meeting_by_id(w, j->a, j->rq->user_id, id, j->out);
    if (err == VX_OK)
        err = meeting_append_status(w, j->out, j->now);
    if (err == VX_OK)
        err = idempotency_keep_within(w, j->rq->keep);
    return err;
}

enum vx_err store_meeting_request_bot(struct store *st, struct arena *a,
                                      const struct bot_request *rq, struct meeting *out,
                                      struct bot_conflict *why)
{
    struct request_job j = {.a = a, .rq = rq, .out = out, .why = why};
    if (secret_uuid(j.session_uid) != 0)
        return VX_ERR_SYSTEM;
    return store_write(st, request_run, &j);
}

/* ---- asking it to leave ---- */

struct stop_job {
    struct arena *scratch;
    int64_t user_id, now;
    const char *platform, *native_id;
    struct stop_result *out;
};

/* The flag, in the row and in what clients see of it. ends: the row ends here, as *m says. */
static enum vx_err stop_write_row(struct store_conn *w, struct stop_job *j, struct meeting *m,
                                  const char *from, bool ends)
{
    struct json_object *data;
    enum vx_err err = meeting_data(j->scratch, m, &data);
    if (err != VX_OK)
        return err;
    if (json_put_bool(data, "stop_requested", 1) != 0)
        return VX_ERR_NO_MEMORY;
    if (ends) {
        struct trail_entry e = {.from = lifecycle_state(from),
                                .to = m->status,
                                .source = "user_stop",
                                .reason = m->failure_reason,
                                .completion_reason = m->completion_reason,
                                .failure_stage = m->failure_stage,
                                .now = j->now};
        if (json_put_str(data, "completion_reason", m->completion_reason) |
            json_put_str(data, "failure_reason", m->failure_reason))
            return VX_ERR_NO_MEMORY;
        if (m->failure_stage != NULL && json_put_str(data, "failure_stage", m->failure_stage) != 0)
            return VX_ERR_NO_MEMORY;
        err = trail_append(data, &e);
        if (err != VX_OK)
            return err;
    }
    const char *text = json_text(data);
    if (text == NULL)
        return VX_ERR_NO_MEMORY;
    return sql_exec(w,
                    "UPDATE meetings SET status = ?, completion_reason = ?, failure_stage = ?,"
                    " failure_reason = ?, stop_requested_ms = ?, end_ms = ?, data = ?,"
                    " updated_ms = ? WHERE id = ?",
                    "ttttiotii", m->status, m->completion_reason, m->failure_stage,
                    m->failure_reason, j->now, ends ? j->now : m->end_ms, text, j->now, m->id);
}

/* Ends a row that never had a bot: a plan, or a request nobody has claimed. */
static enum vx_err stop_end_now(struct store_conn *w, struct stop_job *j, struct meeting *m,
                                const char *stage, const char *reason)
{
    const char *from = m->status;
    m->status = "failed";
    m->completion_reason = "stopped";
    m->failure_stage = stage;
    m->failure_reason = reason;
    enum vx_err err = stop_write_row(w, j, m, from, true);
    if (err == VX_OK)
        err = meeting_append_status(w, m, j->now);
    if (err == VX_OK)
        err = meeting_append_end(w, m);
    return err;
}

static enum vx_err stop_append_leave(struct store_conn *w, const struct meeting *m)
{
    char topic[96];
    if (m->session_uid == NULL)
        return VX_OK; /* nobody to tell */
    snprintf(topic, sizeof topic, "bot/%s", m->session_uid);
    struct json_object *f = json_object_new_object();
    if (f != NULL && (json_put_str(f, "action", "leave") | json_put_int(f, "meeting_id", m->id))) {
        json_object_put(f);
        f = NULL;
    }
    return frame_append(w, topic, "leave", f, NULL);
}

/* A row with a bot in it, or about to be. */
static enum vx_err stop_live(struct store_conn *w, struct stop_job *j, struct meeting *m)
{
    /* Only while the meeting is still `requested`: a bot that somebody started by hand and that
     * has already reported must be told to leave, whatever its workload row says. */
    if (strcmp(m->status, "requested") == 0) {
        enum vx_err err = sql_exec(w,
                                   "UPDATE workloads SET state = 'ended', ended_ms = ?1, note = ?2"
                                   " WHERE meeting_id = ?3 AND state = 'requested'",
                                   "iti", j->now, REASON_UNMADE, m->id);
        if (err != VX_OK)
            return err;
        if (sql_changes(w) > 0)
            return stop_end_now(w, j, m, "requested", REASON_UNMADE);
    }
    const char *from = m->status;
    if (strcmp(from, "active") == 0 || strcmp(from, "needs_help") == 0)
        m->status = "stopping";
    enum vx_err err = stop_write_row(w, j, m, from, false);
    if (err == VX_OK && m->status != from)
        err = meeting_append_status(w, m, j->now);
    if (err == VX_OK)
        err = stop_append_leave(w, m);
    return err;
}

static enum vx_err stop_run(struct store_conn *w, void *ctx)
{
    struct stop_job *j = ctx;
    struct meeting *m;
    size_t n;
    sqlite3_stmt *st;
    arena_reset(j->scratch);
    memset(j->out, 0, sizeof *j->out);
    j->now = clock_now_ms();
    enum vx_err err = sql_begin(w, &st,
                                MEETING_SELECT " WHERE m.user_id = ? AND m.platform = ?"
                                               " AND m.native_meeting_id = ?"
                                               " AND m.status NOT IN ('completed', 'failed')"
                                               " AND m.stop_requested_ms IS NULL"
                                               " ORDER BY m.created_ms DESC, m.id DESC LIMIT ?",
                                "itti", j->user_id, j->platform, j->native_id, (int64_t)STOP_MAX);
    if (err == VX_OK)
        err = meeting_take_all(w, j->scratch, st, &m, &n);
    if (err != VX_OK)
        return err;
    if (n == 0)
        return VX_ERR_MEETING_NOT_FOUND;
    j->out->meeting_id = m[0].id;
    for (size_t i = 0; i < n && err == VX_OK; i++) {
        if (strcmp(m[i].status, "idle") == 0 || strcmp(m[i].status, "scheduled") == 0) {
            j->out->cancelled[j->out->n_cancelled++] = m[i].id;
            err = stop_end_now(w, j, &m[i], NULL, REASON_PLAN);
        } else {
            if (i > 0)
                j->out->also_stopped[j->out->n_also++] = m[i].id;
            err = stop_live(w, j, &m[i]);
        }
    }
    return err;
}

enum vx_err store_meeting_stop(struct store *st, int64_t user_id, const char *platform,
                               const char *native_id, struct stop_result *out)
{
    struct stop_job j = {.scratch = arena_new(SCRATCH_MAX),
                         .user_id = user_id,
                         .platform = platform,
                         .native_id = native_id,
                         .out = out};
    if (j.scratch == NULL)
        return VX_ERR_NO_MEMORY;
    enum vx_err err = store_write(st, stop_run, &j);
    arena_free(j.scratch);
    return err;
}
