/* Deleting a meeting (spec/meetings.md §1.7, §1.8). The first commit makes it absent for every
 * reader and closes its topics; the segments and events go after it, in bounded writes, and the
 * row says when that is done. Whatever is interrupted in between is found by its purged_ms.
 *
 * A topic is closed by a floor of its own number, taken from the log's sequence: it is larger than
 * every cursor a stream of the topic can have, and the hole it leaves in the numbers makes the hub
 * look at the floors. */
#include "lib/store_meetings.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/store_events.h"
#include "lib/store_meeting_row.h"

#define BATCH       1000 /* rows of one write */
#define SCRATCH_MAX (16u << 20)
#define SCOPE       "primary_transcript_and_recording_storage"
#define RESIDUALS   "expire_under_deployment_retention_policy"

/* Kept in data by nobody once the user deleted the meeting. */
static const char *const artifact_keys[] = {
    "recordings",         "processed", "notes",         "share_grants",
    "transcript_viewers", "bot_logs",  "chat_messages", "speaker_events",
};

struct delete_job {
    struct arena *a;
    int64_t user_id, id, now;
    struct meeting *m;
};

/* data.artifact_deletion; when is the name of its time. */
static enum vx_err put_stamp(struct json_object *data, const char *state, const char *when,
                             int64_t now)
{
    struct json_object *o = json_object_new_object();
    int bad = json_put_str(o, "state", state);
    bad |= json_put_time(o, when, now);
    bad |= json_put_str(o, "scope", SCOPE);
    bad |= json_put_str(o, "backup_residuals", RESIDUALS);
    if (bad) {
        json_object_put(o);
        return VX_ERR_NO_MEMORY;
    }
    return json_put(data, "artifact_deletion", o) == 0 ? VX_OK : VX_ERR_NO_MEMORY;
}

/* The row's data without artifacts and with the stamp; a damaged one begins anew. */
static enum vx_err tombstone_data(struct arena *a, const struct meeting *m, const char *state,
                                  const char *when, int64_t now, const char **text)
{
    struct json_object *data = NULL;
    enum vx_err err = meeting_data(a, m, &data);
    if (err == VX_ERR_INTERNAL) {
        data = arena_own_json(a, json_object_new_object());
        err = data != NULL ? VX_OK : VX_ERR_NO_MEMORY;
    }
    if (err != VX_OK)
        return err;
    for (size_t i = 0; i < sizeof artifact_keys / sizeof artifact_keys[0]; i++)
        json_object_object_del(data, artifact_keys[i]);
    err = put_stamp(data, state, when, now);
    if (err != VX_OK)
        return err;
    *text = json_text(data);
    return *text != NULL ? VX_OK : VX_ERR_NO_MEMORY;
}

static enum vx_err close_topics(struct store_conn *w, int64_t id)
{
    char topic[64], edits[64];
    int64_t mark;
    snprintf(topic, sizeof topic, "meeting/%lld", (long long)id);
    snprintf(edits, sizeof edits, SEGMENT_EDITS_TOPIC, (long long)id);
    enum vx_err err = events_append(w, topic, "deleted", "{}", &mark);
    if (err == VX_OK)
        err = sql_exec(w, "DELETE FROM events WHERE id = ?", "i", mark);
    if (err == VX_OK)
        err = sql_exec(w,
                       "INSERT INTO topic_floors (topic, floor, ended)"
                       " SELECT ?1, ?3, ?4 UNION ALL SELECT ?2, ?3, ?4"
                       " UNION ALL SELECT 'bot/' || s.session_uid, ?3, ?4"
                       " FROM sessions s WHERE s.meeting_id = ?5"
                       " ON CONFLICT (topic) DO UPDATE SET floor = excluded.floor,"
                       " ended = excluded.ended",
                       "ttiii", topic, edits, mark, (int64_t)TOPIC_DELETED, id);
    return err;
}

/* The row of an ended meeting becomes a tombstone; a plan leaves nothing behind. */
static enum vx_err mark_row(struct store_conn *w, struct delete_job *j, bool planned)
{
    const char *text;
    char topic[64];
    if (planned) {
        snprintf(topic, sizeof topic, "meeting/%lld", (long long)j->id);
        enum vx_err err = sql_exec(w, "DELETE FROM events WHERE topic = ?", "t", topic);
        return err != VX_OK ? err : sql_exec(w, "DELETE FROM meetings WHERE id = ?", "i", j->id);
    }
    enum vx_err err = tombstone_data(j->a, j->m, "pending", "requested_at", j->now, &text);
    if (err != VX_OK)
        return err;
    return sql_exec(w,
                    "UPDATE meetings SET data = ?1, deleted_ms = ?2, updated_ms = ?2 WHERE id = ?3",
                    "tii", text, j->now, j->id);
}

static enum vx_err delete_run(struct store_conn *w, void *ctx)
{
    struct delete_job *j = ctx;
    j->now = clock_now_ms();
    enum vx_err err = store_meeting_by_id(w, j->a, j->user_id, j->id, j->m);
    if (err != VX_OK)
        return err;
    bool planned = strcmp(j->m->status, "idle") == 0 || strcmp(j->m->status, "scheduled") == 0;
    if (!planned && !lifecycle_is_terminal(j->m->status))
        return VX_ERR_INVALID_STATE;
    err = close_topics(w, j->id);
    if (err == VX_OK)
        err = mark_row(w, j, planned);
    if (err != VX_OK)
        return err;
    struct meeting told = *j->m;
    told.status = "deleted";
    if (planned)
        told.native_id = NULL;
    /* After the mark: a number past the hole is what makes the hub see it. */
    return meeting_append_user_status(w, &told, j->now);
}

/* ---- what hangs on it ---- */

struct purge_job {
    struct arena *scratch;
    int64_t id; /* 0 = the first that needs it */
    bool more, found;
};

static enum vx_err purge_rows(struct store_conn *w, int64_t id, int64_t *left)
{
    char topic[64], edits[64];
    snprintf(topic, sizeof topic, "meeting/%lld", (long long)id);
    snprintf(edits, sizeof edits, SEGMENT_EDITS_TOPIC, (long long)id);
    enum vx_err err = sql_exec(w,
                               "DELETE FROM segments WHERE id IN (SELECT s.id FROM segments s"
                               " WHERE s.meeting_id = ? LIMIT ?)",
                               "ii", id, *left);
    if (err != VX_OK)
        return err;
    *left -= sql_changes(w);
    if (*left <= 0)
        return VX_OK;
    err = sql_exec(w,
                   "DELETE FROM events WHERE id IN (SELECT e.id FROM events e WHERE e.topic IN"
                   " (SELECT ?1 UNION ALL SELECT ?2 UNION ALL SELECT 'bot/' || s.session_uid"
                   "  FROM sessions s WHERE s.meeting_id = ?3) LIMIT ?4)",
                   "ttii", topic, edits, id, *left);
    if (err == VX_OK)
        *left -= sql_changes(w);
    return err;
}

static enum vx_err purge_done(struct store_conn *w, struct purge_job *j, int64_t id)
{
    struct meeting m;
    sqlite3_stmt *st;
    const char *text;
    int64_t now = clock_now_ms();
    enum vx_err err = sql_begin(w, &st, MEETING_SELECT " WHERE m.id = ?", "i", id);
    if (err == VX_OK)
        err = meeting_take(w, j->scratch, st, &m);
    if (err == VX_OK)
        err = tombstone_data(j->scratch, &m, "completed", "completed_at", now, &text);
    if (err == VX_OK)
        err = sql_exec(w,
                       "UPDATE meetings SET data = ?1, purged_ms = ?2, updated_ms = ?2"
                       " WHERE id = ?3",
                       "tii", text, now, id);
    if (err == VX_OK) /* it holds the passcode */
        err = sql_exec(w, "UPDATE workloads SET launch = '{}' WHERE meeting_id = ?", "i", id);
    return err;
}

static enum vx_err purge_run(struct store_conn *w, void *ctx)
{
    struct purge_job *j = ctx;
    int64_t id = j->id, left = BATCH;
    arena_reset(j->scratch);
    j->more = false;
    enum vx_err err = sql_int(w, &id, &j->found,
                              "SELECT id FROM meetings WHERE deleted_ms IS NOT NULL"
                              " AND purged_ms IS NULL AND (?1 = 0 OR id = ?1) ORDER BY id LIMIT 1",
                              "i", j->id);
    if (err != VX_OK || !j->found)
        return err;
    err = purge_rows(w, id, &left);
    j->more = true;
    if (err == VX_OK && left > 0) {
        err = purge_done(w, j, id);
        j->more = j->id == 0; /* perhaps another meeting */
    }
    return err;
}

enum vx_err store_meeting_purge(struct store *st, struct store_conn *rd, bool *more)
{
    int64_t id;
    *more = false;
    enum vx_err err = sql_int(rd, &id, more,
                              "SELECT id FROM meetings WHERE deleted_ms IS NOT NULL"
                              " AND purged_ms IS NULL LIMIT 1",
                              "");
    if (err != VX_OK || !*more)
        return err;
    struct purge_job j = {.scratch = arena_new(SCRATCH_MAX)};
    err = j.scratch != NULL ? store_write(st, purge_run, &j) : VX_ERR_NO_MEMORY;
    arena_free(j.scratch);
    *more = err == VX_OK && j.more;
    return err;
}

enum vx_err store_meeting_delete(struct store *st, struct arena *a, int64_t user_id, int64_t id,
                                 struct meeting *out)
{
    struct delete_job j = {.a = a, .user_id = user_id, .id = id, .m = out};
    enum vx_err err = store_write(st, delete_run, &j);
    if (err != VX_OK)
        return err;
    struct purge_job p = {.scratch = arena_new(SCRATCH_MAX), .id = id, .more = true};
    while (p.scratch != NULL && p.more && store_write(st, purge_run, &p) == VX_OK)
        continue;
    arena_free(p.scratch);
    return VX_OK;
}
