/* A meeting's row read and its changes told: row to struct, the data object, the frames of
 * shapes.md "Streams" and the trail of status transitions. */
#include "lib/store_meeting_row.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/log.h"
#include "lib/store_events.h"

static enum vx_err meeting_row(sqlite3_stmt *st, struct arena *a, void *row)
{
    enum vx_err err = VX_OK;
    *(struct meeting *)row = (struct meeting){
        .id = sqlite3_column_int64(st, 0),
        .user_id = sqlite3_column_int64(st, 1),
        .platform = sql_text(a, st, 2, &err),
        .native_id = sql_text(a, st, 3, &err),
        .url = sql_text(a, st, 4, &err),
        .status = sql_text(a, st, 5, &err),
        .workload_id = sql_text(a, st, 6, &err),
        .session_uid = sql_text(a, st, 7, &err),
        .start_ms = sqlite3_column_int64(st, 8),
        .end_ms = sqlite3_column_int64(st, 9),
        .completion_reason = sql_text(a, st, 10, &err),
        .failure_stage = sql_text(a, st, 11, &err),
        .failure_reason = sql_text(a, st, 12, &err),
        .stop_requested = sqlite3_column_type(st, 13) != SQLITE_NULL,
        .data = sql_text(a, st, 14, &err),
        .created_ms = sqlite3_column_int64(st, 15),
        .updated_ms = sqlite3_column_int64(st, 16),
    };
    return err;
}

enum vx_err meeting_take(struct store_conn *c, struct arena *a, sqlite3_stmt *st,
                         struct meeting *out)
{
    bool row;
    enum vx_err err = sql_step(c, st, &row);
    if (err == VX_OK)
        err = row ? meeting_row(st, a, out) : VX_ERR_MEETING_NOT_FOUND;
    sql_end(st);
    return err;
}

enum vx_err meeting_take_all(struct store_conn *c, struct arena *a, sqlite3_stmt *st,
                             struct meeting **out, size_t *n)
{
    void *rows;
    enum vx_err err = sql_rows(c, a, st, sizeof **out, meeting_row, &rows, n);
    *out = rows;
    return err;
}

enum vx_err meeting_data(struct arena *a, const struct meeting *m, struct json_object **out)
{
    struct json_fault fault = {0, NULL};
    struct json_object *o = NULL;
    enum vx_err err = json_read(a, m->data, strlen(m->data), &o, &fault);
    if (err == VX_OK && json_object_is_type(o, json_type_object)) {
        *out = o;
        return VX_OK;
    }
    if (err != VX_OK && err != VX_ERR_JSON_INVALID)
        return err;
    log_msg(LOG_ERROR_, "corrupt_row", "meeting %lld: data is not a JSON object (%s at %zu)",
            (long long)m->id, fault.message != NULL ? fault.message : "another type", fault.pos);
    return VX_ERR_INTERNAL;
}

enum vx_err frame_append(struct store_conn *w, const char *topic, const char *type,
                         struct json_object *frame, int64_t *id)
{
    const char *text = frame == NULL ? NULL : json_text(frame);
    enum vx_err err = text == NULL ? VX_ERR_NO_MEMORY : events_append(w, topic, type, text, id);
    json_object_put(frame);
    return err;
}

/* {"type","meeting":{"id","platform","native_id"},"payload":{…},"user_id","ts"} or NULL. */
static struct json_object *frame_nested(const struct meeting *m, int64_t now)
{
    struct json_object *f = json_object_new_object();
    struct json_object *meeting = json_object_new_object();
    struct json_object *payload = json_object_new_object();
    if (f == NULL || meeting == NULL || payload == NULL) {
        json_object_put(meeting);
        json_object_put(payload);
        json_object_put(f);
        return NULL;
    }
    int bad = json_put_int(meeting, "id", m->id) | json_put_str(meeting, "platform", m->platform) |
              json_put_str(meeting, "native_id", m->native_id) |
              json_put_str(payload, "status", m->status);
    if (m->completion_reason != NULL)
        bad |= json_put_str(payload, "completion_reason", m->completion_reason);
    if (m->failure_reason != NULL)
        bad |= json_put_str(payload, "failure_reason", m->failure_reason);
    bad |= json_put_str(f, "type", "meeting.status");
    bad |= json_put(f, "meeting", meeting);
    bad |= json_put(f, "payload", payload);
    bad |= json_put_int(f, "user_id", m->user_id);
    bad |= json_put_time(f, "ts", now);
    if (bad) {
        json_object_put(f);
        return NULL;
    }
    return f;
}

/* {"type","meeting_id","native","status","when"} or NULL. */
static struct json_object *frame_flat(const struct meeting *m, int64_t now)
{
    struct json_object *f = json_object_new_object();
    if (f == NULL)
        return NULL;
    if (json_put_str(f, "type", "meeting.status") | json_put_int(f, "meeting_id", m->id) |
        json_put_str(f, "native", m->native_id) | json_put_str(f, "status", m->status) |
        json_put_time(f, "when", now)) {
        json_object_put(f);
        return NULL;
    }
    return f;
}

enum vx_err meeting_append_status(struct store_conn *w, const struct meeting *m, int64_t now)
{
    char topic[64];
    snprintf(topic, sizeof topic, "meeting/%lld", (long long)m->id);
    enum vx_err err = frame_append(w, topic, "meeting.status", frame_nested(m, now), NULL);
    return err != VX_OK ? err : meeting_append_user_status(w, m, now);
}

enum vx_err meeting_append_user_status(struct store_conn *w, const struct meeting *m, int64_t now)
{
    char topic[64];
    snprintf(topic, sizeof topic, "user/%lld", (long long)m->user_id);
    return frame_append(w, topic, "meeting.status", frame_flat(m, now), NULL);
}

enum vx_err meeting_append_end(struct store_conn *w, const struct meeting *m)
{
    char topic[64];
    snprintf(topic, sizeof topic, "meeting/%lld", (long long)m->id);
    return events_append(w, topic, "meeting-end", "{\"type\":\"meeting-end\"}", NULL);
}

enum vx_err trail_append(struct json_object *data, const struct trail_entry *e)
{
    static const char key[] = "status_transition";
    struct json_object *list = NULL;
    if (!json_object_object_get_ex(data, key, &list) ||
        !json_object_is_type(list, json_type_array)) {
        list = json_object_new_array();
        if (json_put(data, key, list) != 0)
            return VX_ERR_NO_MEMORY;
    }
    struct json_object *o = json_object_new_object();
    if (o == NULL)
        return VX_ERR_NO_MEMORY;
    int bad = json_put_str(o, "from", e->from) | json_put_str(o, "to", e->to);
    if (e->timestamp != NULL)
        bad |= json_put_str(o, "timestamp", e->timestamp);
    else
        bad |= json_put_time(o, "timestamp", e->now);
    bad |= json_put_str(o, "timestamp_source", e->timestamp != NULL ? "producer" : "receiver");
    bad |= json_put_str(o, "source", e->source);
    if (e->reason != NULL)
        bad |= json_put_str(o, "reason", e->reason);
    if (e->completion_reason != NULL)
        bad |= json_put_str(o, "completion_reason", e->completion_reason);
    if (e->failure_stage != NULL)
        bad |= json_put_str(o, "failure_stage", e->failure_stage);
    if (e->error_details != NULL)
        bad |= json_put_str(o, "error_details", e->error_details);
    if (bad || json_object_array_add(list, o) != 0) {
        json_object_put(o);
        return VX_ERR_NO_MEMORY;
    }
    return VX_OK;
}
