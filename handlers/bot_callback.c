/* POST /bots/internal/callback/lifecycle: a bot tells what became of it (lifecycle.v1,
 * spec/meetings.md §1.18, §3.1–3.3). The token names the meeting; the session in the body must be
 * one of that meeting's. */
#include <string.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "handlers/meeting_json.h"
#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/log.h"

#define REASON_MAX    8192
#define WORD_MAX      255
#define TIMESTAMP_MAX 64
#define OBJECT_MAX    16384

/* A text of the event, cut to max bytes; NULL when absent. */
static const char *event_text(struct request *rq, const char *name, size_t max)
{
    const char *s = json_get_str(rq->json, name);
    return s != NULL ? text_cut(rq->arena, s, max) : NULL;
}

/* An object of the event that is kept in the row; one that is too large to keep is dropped, for
 * a lifecycle event must not fail on an ornament. */
static struct json_object *event_object(struct request *rq, const char *name)
{
    struct json_object *v = body_get(rq->json, name);
    if (!json_object_is_type(v, json_type_object))
        return NULL;
    const char *text = json_text(v);
    if (text != NULL && strlen(text) <= OBJECT_MAX)
        return v;
    log_event(LOG_WARN_, "lifecycle_dropped", "field", name, "reason", "too large", NULL);
    return NULL;
}

static void read_event(struct request *rq, struct lifecycle_event *ev)
{
    *ev = (struct lifecycle_event){
        .connection_id = json_get_str(rq->json, "connection_id"),
        .status = json_get_str(rq->json, "status"),
        .completion_reason = event_text(rq, "completion_reason", WORD_MAX),
        .reason = event_text(rq, "reason", REASON_MAX),
        .error_details = event_text(rq, "error_details", REASON_MAX),
        .container_id = event_text(rq, "container_id", WORD_MAX),
        .source = "bot_callback",
    };
    /* A time nobody can read is not handed on as one: the receiver's clock stands in. */
    const char *at = json_get_str(rq->json, "timestamp");
    int64_t ms;
    if (at != NULL && strlen(at) <= TIMESTAMP_MAX && clock_parse(at, &ms) == 0)
        ev->timestamp = at;
    ev->has_exit_code = body_int(body_get(rq->json, "exit_code"), &ev->exit_code);
    struct json_object *logs = body_get(rq->json, "bot_logs");
    if (json_object_is_type(logs, json_type_array))
        ev->bot_logs = logs; /* the store keeps its newest 50 KiB */
    ev->bot_resources = event_object(rq, "bot_resources");
    ev->stt_fault = event_object(rq, "stt_fault");
}

/* The record's part of the row's data, in the spec's order. NULL when out of memory. */
static struct json_object *record_data(struct json_object *stored)
{
    static const char *const names[] = {
        "status_transition",  "completion_reason", "failure_stage",  "last_error", "bot_logs",
        "bot_logs_truncated", "bot_resources",     "stop_requested", "stt_fault",
    };
    struct json_object *o = json_object_new_object(), *v;
    int bad = o == NULL;
    for (size_t i = 0; !bad && i < sizeof names / sizeof names[0]; i++)
        if (json_object_object_get_ex(stored, names[i], &v) && v != NULL)
            bad = json_put(o, names[i], json_object_get(v)) != 0;
    if (!bad)
        return o;
    json_object_put(o);
    return NULL;
}

/* Who wrote the newest entry of the trail. */
static const char *last_source(struct json_object *trail)
{
    size_t n = json_object_is_type(trail, json_type_array) ? json_object_array_length(trail) : 0;
    const char *s = n > 0 ? json_get_str(json_object_array_get_idx(trail, n - 1), "source") : NULL;
    return s != NULL ? s : "bot_callback";
}

static void respond_accepted(struct request *rq, struct response *rs, const char *connection_id,
                             const struct meeting *m)
{
    struct json_object *stored, *trail = NULL;
    enum vx_err err = stored_object(rq->arena, m->data, "meeting", m->id, &stored);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    json_object_object_get_ex(stored, "status_transition", &trail);
    struct json_object *o = json_object_new_object();
    int bad = json_put_str(o, "status", "accepted");
    bad |= json_put_str(o, "connection_id", connection_id);
    bad |= json_put_str(o, "meeting_status", m->status);
    bad |= json_put_str(o, "completion_reason", m->completion_reason);
    bad |= json_put_str(o, "failure_stage", m->failure_stage);
    bad |= json_put_str(o, "transition_source", last_source(trail));
    bad |= json_put(o, "status_transition",
                    json_object_is_type(trail, json_type_array) ? json_object_get(trail)
                                                                : json_object_new_array());
    bad |= json_put(o, "data", record_data(stored));
    if (bad != 0) {
        json_object_put(o);
        o = NULL;
    }
    response_json(rs, 200, o);
}

void handle_bot_callback(struct request *rq, struct response *rs)
{
    struct lifecycle_event ev;
    struct lifecycle_result res = {0};
    struct meeting m;

    read_event(rq, &ev);
    if (ev.connection_id == NULL || ev.status == NULL) {
        refuse(rq, rs, "missing", "Field required", "body",
               ev.connection_id == NULL ? "connection_id" : "status", json_object_get(rq->json),
               NULL);
        return;
    }
    /* A session always belongs to a meeting here: one that is unknown is not the token's. */
    enum vx_err err = store_meeting_by_session(rq->db, rq->arena, ev.connection_id, &m);
    if (err == VX_ERR_MEETING_NOT_FOUND || (err == VX_OK && m.id != rq->claims.meeting_id))
        err = VX_ERR_MEETING_TOKEN_MISMATCH;
    if (err == VX_OK)
        err = store_meeting_apply(rq->app->store, rq->arena, &ev, &res, &m);
    if (err == VX_ERR_INVALID_STATE) {
        log_event(LOG_WARN_, "lifecycle_illegal", "connection_id", ev.connection_id, "from",
                  res.from != NULL ? res.from : "<new>", "to", ev.status, NULL);
        response_fail_text(rs, err, "Invalid transition: %s → %s (connection_id=%s)",
                           res.from != NULL ? res.from : "<new>", ev.status, ev.connection_id);
        response_extra(rs, "connection_id", json_object_new_string(ev.connection_id));
        if (res.from != NULL)
            response_extra(rs, "from", json_object_new_string(res.from));
        else if (rs->extra != NULL)
            json_put_null(rs->extra, "from");
        response_extra(rs, "to", json_object_new_string(ev.status));
        return;
    }
    if (err != VX_OK) {
        response_fail(rs, err == VX_ERR_MEETING_NOT_FOUND ? VX_ERR_MEETING_TOKEN_MISMATCH : err);
        return;
    }
    respond_accepted(rq, rs, ev.connection_id, &m);
}
