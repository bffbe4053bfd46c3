/* A lifecycle event applied to the meeting of its session (spec/meetings.md §3.1–3.3): the row is
 * read, judged and written in one transaction, with its trail and its events. */
#include "lib/store_meetings.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/log.h"
#include "lib/store_meeting_row.h"

/* data must stay within what the strict scan reads back (20,000 values), hence the bounds. */
#define LOGS_BYTES      (50 * 1024)
#define LOGS_LINES      2000
#define RESOURCES_BYTES 4096
#define STT_FAULT_BYTES 16384
#define REASON_BYTES    4096 /* goes into the row, its trail and two frames */
#define TIMESTAMP_BYTES 64

struct apply_job {
    struct arena *a;
    const struct lifecycle_event *ev;
    struct lifecycle_result *res;
    struct meeting *m; /* the row, brought up to date */
    struct json_object *data;
    const char *reason, *error_details; /* with what earlier events said */
    bool has_exit_code;
    int64_t exit_code, now;
};

/* At most REASON_BYTES of a bot's own words, cut between characters; NULL stays NULL. */
static enum vx_err clip(struct arena *a, const char *s, const char **out)
{
    *out = NULL;
    if (s == NULL)
        return VX_OK;
    size_t n = strnlen(s, REASON_BYTES + 1);
    if (n > REASON_BYTES)
        for (n = REASON_BYTES; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80;)
            n--;
    *out = arena_strndup(a, s, n);
    return *out != NULL ? VX_OK : VX_ERR_NO_MEMORY;
}

/* data.last_error: what is known of the trouble, earlier events included. Also fills the job. */
static enum vx_err apply_last_error(struct apply_job *j, bool failed)
{
    const struct lifecycle_event *ev = j->ev;
    struct json_object *last = NULL, *code = NULL;
    const char *exit_text = "None";
    json_object_object_get_ex(j->data, "last_error", &last);
    const char *reason = json_get_str(last, "reason");
    const char *details = json_get_str(last, "error_details");
    if (json_object_is_type(last, json_type_object))
        json_object_object_get_ex(last, "exit_code", &code);
    j->has_exit_code = ev->has_exit_code || json_object_is_type(code, json_type_int);
    j->exit_code = ev->has_exit_code ? ev->exit_code : json_get_int(last, "exit_code", 0);
    /* Copies: putting a new last_error frees the old one. */
    reason = ev->reason != NULL ? ev->reason : reason;
    details = ev->error_details != NULL ? ev->error_details : details;
    if (clip(j->a, reason, &j->reason) != VX_OK || clip(j->a, details, &j->error_details) != VX_OK)
        return VX_ERR_NO_MEMORY;
    if (failed && j->error_details == NULL && (j->has_exit_code || j->reason != NULL)) {
        if (j->has_exit_code)
            exit_text = arena_printf(j->a, "%lld", (long long)j->exit_code);
        if (exit_text != NULL)
            j->error_details = arena_printf(j->a, "Bot exited with code %s; reason: %s", exit_text,
                                            j->reason != NULL ? j->reason : "None");
        if (j->error_details == NULL)
            return VX_ERR_NO_MEMORY;
    }
    if (!j->has_exit_code && j->reason == NULL && j->error_details == NULL)
        return VX_OK;
    struct json_object *o = json_object_new_object();
    if (o == NULL)
        return VX_ERR_NO_MEMORY;
    if ((j->has_exit_code ? json_put_int(o, "exit_code", j->exit_code)
                          : json_put_null(o, "exit_code")) |
        json_put_str(o, "reason", j->reason) | json_put_str(o, "error_details", j->error_details)) {
        json_object_put(o);
        return VX_ERR_NO_MEMORY;
    }
    return json_put(j->data, "last_error", o) == 0 ? VX_OK : VX_ERR_NO_MEMORY;
}

/* The newest lines within the bounds, at least one, in their order. */
static enum vx_err apply_bot_logs(struct apply_job *j)
{
    struct json_object *logs = j->ev->bot_logs;
    if (!json_object_is_type(logs, json_type_array))
        return VX_OK;
    size_t n = json_object_array_length(logs), first = n, bytes = 0;
    while (first > 0 && n - first < LOGS_LINES) {
        struct json_object *line = json_object_array_get_idx(logs, first - 1);
        bytes += (size_t)json_object_get_string_len(line) + 1;
        if (bytes > LOGS_BYTES && first < n)
            break;
        first--;
    }
    struct json_object *kept = json_object_new_array();
    if (kept == NULL)
        return VX_ERR_NO_MEMORY;
    for (size_t i = first; i < n; i++) {
        struct json_object *line = json_object_array_get_idx(logs, i);
        if (!json_object_is_type(line, json_type_string))
            continue;
        struct json_object *copy = json_object_new_string_len(json_object_get_string(line),
                                                              json_object_get_string_len(line));
        if (copy == NULL || json_object_array_add(kept, copy) != 0) {
            json_object_put(copy);
            json_object_put(kept);
            return VX_ERR_NO_MEMORY;
        }
    }
    if (json_put(j->data, "bot_logs", kept) != 0 ||
        json_put_bool(j->data, "bot_logs_truncated", first > 0) != 0)
        return VX_ERR_NO_MEMORY;
    return VX_OK;
}

/* A copy of the event's object under key, unless it is absent, no object, or out of proportion. */
static enum vx_err apply_copy(struct apply_job *j, const char *key, struct json_object *o,
                              size_t max)
{
    struct json_object *copy = NULL;
    if (!json_object_is_type(o, json_type_object))
        return VX_OK;
    const char *text = json_text(o);
    if (text == NULL)
        return VX_ERR_NO_MEMORY;
    if (strlen(text) > max) { /* evidence only: the meeting's end must not depend on it */
        log_msg(LOG_WARN_, "lifecycle", "meeting %lld: %s is larger than %zu bytes and not kept",
                (long long)j->m->id, key, max);
        return VX_OK;
    }
    if (json_object_deep_copy(o, &copy, NULL) != 0)
        return VX_ERR_NO_MEMORY;
    return json_put(j->data, key, copy) == 0 ? VX_OK : VX_ERR_NO_MEMORY;
}

/* Reason, stage and forensics of an ending. state: the machine's before it. */
static enum vx_err apply_terminal(struct store_conn *w, struct apply_job *j, const char *state)
{
    const struct lifecycle_event *ev = j->ev;
    bool failed = strcmp(ev->status, "failed") == 0, found;
    int64_t segments = 0;
    j->m->completion_reason = j->m->stop_requested ? "stopped" : ev->completion_reason;
    j->m->failure_stage = failed ? lifecycle_failure_stage(state) : NULL;
    enum vx_err err = apply_last_error(j, failed);
    if (err != VX_OK)
        return err;
    /* A completed meeting has no failure to explain, except a bot that died without a word. */
    if (failed)
        j->m->failure_reason =
            ev->error_details == NULL && j->reason != NULL ? j->reason : j->error_details;
    else
        j->m->failure_reason = ev->forced && ev->reason != NULL ? j->reason : NULL;
    if (j->m->end_ms == 0)
        j->m->end_ms = j->now;

    if (j->m->completion_reason != NULL &&
        json_put_str(j->data, "completion_reason", j->m->completion_reason) != 0)
        return VX_ERR_NO_MEMORY;
    if (j->m->failure_stage != NULL &&
        json_put_str(j->data, "failure_stage", j->m->failure_stage) != 0)
        return VX_ERR_NO_MEMORY;
    if (j->m->failure_reason != NULL &&
        json_put_str(j->data, "failure_reason", j->m->failure_reason) != 0)
        return VX_ERR_NO_MEMORY;
    err = sql_int(w, &segments, &found, "SELECT COUNT(*) FROM segments WHERE meeting_id = ?", "i",
                  j->m->id);
    if (err == VX_OK && json_put_int(j->data, "segments_captured", segments) != 0)
        err = VX_ERR_NO_MEMORY;
    if (err == VX_OK)
        err = apply_bot_logs(j);
    if (err == VX_OK)
        err = apply_copy(j, "bot_resources", ev->bot_resources, RESOURCES_BYTES);
    if (err == VX_OK)
        err = apply_copy(j, "stt_fault", ev->stt_fault, STT_FAULT_BYTES);
    return err;
}

/* The hop of a "joining" that never arrived: trail and events, as if it had. */
static enum vx_err apply_joining(struct store_conn *w, struct apply_job *j)
{
    struct trail_entry e = {.to = "joining", .source = j->ev->source, .now = j->now};
    enum vx_err err = trail_append(j->data, &e);
    if (err != VX_OK)
        return err;
    j->m->status = "joining";
    return meeting_append_status(w, j->m, j->now);
}

static enum vx_err apply_write_row(struct store_conn *w, struct apply_job *j)
{
    const struct meeting *m = j->m;
    return sql_exec(w,
                    "UPDATE meetings SET status = ?, start_ms = ?, end_ms = ?,"
                    " completion_reason = ?, failure_stage = ?, failure_reason = ?, data = ?,"
                    " updated_ms = ? WHERE id = ?",
                    "toottttii", m->status, m->start_ms, m->end_ms, m->completion_reason,
                    m->failure_stage, m->failure_reason, m->data, j->now, m->id);
}

static const char *usable_timestamp(const char *s)
{
    return s != NULL && strnlen(s, TIMESTAMP_BYTES) < TIMESTAMP_BYTES ? s : NULL;
}

/* The event is legal: from is the machine's state it leaves. */
static enum vx_err apply_advance(struct store_conn *w, struct apply_job *j, const char *from)
{
    const struct lifecycle_event *ev = j->ev;
    bool terminal = lifecycle_is_terminal(ev->status);
    enum vx_err err = terminal ? segments_confirm_drafts(w, j->m->id) : VX_OK;
    if (err == VX_OK)
        err = terminal ? apply_terminal(w, j, from) : apply_last_error(j, false);
    if (err != VX_OK)
        return err;
    j->m->status = ev->status;
    if (strcmp(ev->status, "active") == 0 && j->m->start_ms == 0)
        j->m->start_ms = j->now;
    struct trail_entry e = {.from = from,
                            .to = ev->status,
                            .source = ev->source,
                            .timestamp = usable_timestamp(ev->timestamp),
                            .reason = terminal ? j->reason : NULL,
                            .completion_reason = j->m->completion_reason,
                            .failure_stage = j->m->failure_stage,
                            .error_details = j->error_details,
                            .now = j->now};
    err = trail_append(j->data, &e);
    if (err != VX_OK)
        return err;
    if (j->m->stop_requested && json_put_bool(j->data, "stop_requested", 1) != 0)
        return VX_ERR_NO_MEMORY;
    j->m->data = json_text(j->data);
    if (j->m->data == NULL)
        return VX_ERR_NO_MEMORY;
    err = apply_write_row(w, j);
    if (err == VX_OK)
        err = meeting_append_status(w, j->m, j->now);
    if (err == VX_OK && terminal)
        err = meeting_append_end(w, j->m);
    return err;
}

static enum vx_err apply_run(struct store_conn *w, void *ctx)
{
    struct apply_job *j = ctx;
    memset(j->res, 0, sizeof *j->res);
    j->now = clock_now_ms();
    enum vx_err err = store_meeting_by_session(w, j->a, j->ev->connection_id, j->m);
    if (err != VX_OK)
        return err;
    const char *from = lifecycle_state(j->m->status);
    j->res->from = from;
    j->res->completion_reason = j->m->completion_reason;
    j->res->failure_stage = j->m->failure_stage;
    enum lifecycle_verdict verdict = lifecycle_judge(from, j->ev->status, j->ev->forced);
    if (verdict == LIFECYCLE_SAME)
        return VX_OK;
    if (verdict == LIFECYCLE_ILLEGAL)
        return VX_ERR_INVALID_STATE;
    err = meeting_data(j->a, j->m, &j->data);
    if (err == VX_OK && verdict == LIFECYCLE_SYNTHETIC) {
        err = apply_joining(w, j);
        from = "joining";
    }
    if (err == VX_OK)
        err = apply_advance(w, j, from);
    if (err != VX_OK)
        return err;
    j->res->changed = true;
    /* Read back: *out then owns its strings and shows what is stored. */
    err = store_meeting_by_id(w, j->a, 0, j->m->id, j->m);
    j->res->completion_reason = j->m->completion_reason;
    j->res->failure_stage = j->m->failure_stage;
    return err;
}

enum vx_err store_meeting_apply(struct store *st, struct arena *a, const struct lifecycle_event *ev,
                                struct lifecycle_result *res, struct meeting *out)
{
    struct apply_job j = {.a = a, .ev = ev, .res = res, .m = out};
    return store_write(st, apply_run, &j);
}
