/* The event streams: GET /agent/meeting/stream (a meeting's live view) and GET
 * /bots/internal/commands (what a bot is told). A handler decides what is known before the first
 * byte: who may listen, where the stream starts, what was lost. The hub sends every event. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "handlers/stream_spec.h"
#include "lib/cursor.h"
#include "lib/lifecycle.h"
#include "lib/store_events.h"
#include "lib/store_meetings.h"

#define MEETING_END "meeting-end"
#define RESET_FRAME "data: {\"type\":\"reset\"}\n\n"
#define RESET_EVENT "{\"id\":null,\"data\":{\"type\":\"reset\"}}"

static const char *cursor_text(const struct request *rq, bool poll)
{
    const char *since = poll ? request_query(rq, "since") : NULL;
    if (since && *since)
        return since;
    const char *id = request_header(rq, "last-event-id");
    return id && *id ? id : request_query(rq, "lastEventId");
}

bool stream_form(struct request *rq, struct response *rs, struct stream_spec *spec)
{
    int64_t n, wait = request_query_int(rq, "wait", -1);
    const char *since = request_query(rq, "since");
    const char *wrong = NULL;
    spec->poll = wait >= 0;
    spec->poll_ms = wait >= 0 ? wait * 1000 : 0;
    if (since && wait < 0)
        wrong = "Value error, since needs wait; a stream resumes by Last-Event-ID or lastEventId";
    else if (cursor_parse(since, store_epoch(rq->app->store), INT64_MAX, &n) == CURSOR_GARBAGE)
        wrong = "Value error, not an id this server gave";
    if (wrong)
        refuse(rq, rs, "value_error", wrong, "query", "since", json_object_new_string(since), NULL);
    return !wrong;
}

enum vx_err stream_start(const struct request *rq, int64_t replay, struct stream_spec *spec)
{
    int64_t tip = 0;
    enum vx_err err = events_tip(rq->db, &tip);
    if (err)
        return err;
    enum cursor_kind kind =
        cursor_parse(cursor_text(rq, spec->poll), store_epoch(rq->app->store), tip, &spec->cursor);
    if (kind == CURSOR_OK)
        return VX_OK;
    spec->cursor = 0;
    if (kind == CURSOR_FOREIGN || kind == CURSOR_FUTURE)
        spec->preamble = RESET_FRAME;
    if (replay < 0)
        return VX_OK;
    return events_cursor_before_last_of(rq->db, rq->arena, spec->topics, spec->n_topics, replay,
                                        &spec->cursor);
}

/* True when no event can follow the cursor: the meeting-end event is behind it, or the meeting is
 * over and its end was trimmed. What a bot says after the end is in no stream. */
static enum vx_err is_over(const struct request *rq, const struct meeting *m, const char *topic,
                           int64_t cursor, bool *over)
{
    int64_t end = 0;
    enum vx_err err = events_last_of_type(rq->db, topic, MEETING_END, &end);
    *over = end > 0 ? cursor >= end : lifecycle_is_terminal(m->status);
    return err;
}

/* The long-poll answer where nothing is left to wait for. events: JSON objects, separated by
 * commas. */
static void answer_poll(struct request *rq, struct response *rs, const char *events,
                        const char *next_since)
{
    const char *text =
        events ? arena_printf(rq->arena, "{\"events\":[%s],\"next_since\":\"%s\",\"end\":true}",
                              events, next_since)
               : NULL;
    if (!text) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    response_header(rs, "Cache-Control", "no-cache");
    rs->status = 200;
    rs->content_type = "application/json";
    rs->text = text;
    rs->text_len = strlen(text);
}

/* The client has seen the end: 204 tells a browser to stop. */
static void answer_over(struct request *rq, struct response *rs, const struct stream_spec *spec)
{
    char at[CURSOR_TEXT_MAX];
    if (spec->poll)
        answer_poll(rq, rs, spec->preamble ? RESET_EVENT : "",
                    cursor_format(store_epoch(rq->app->store), spec->cursor, at));
    else
        response_empty(rs);
}

/* The whole stream of a meeting whose end was trimmed under the client's cursor: the hole, and the
 * end that the row still knows. There is nothing left for the hub to send. */
static void answer_trimmed(struct request *rq, struct response *rs, const struct stream_spec *spec,
                           int64_t floor)
{
    const char *epoch = store_epoch(rq->app->store);
    char after[CURSOR_TEXT_MAX], end[CURSOR_TEXT_MAX], oldest[CURSOR_TEXT_MAX];
    cursor_format(epoch, spec->cursor, after);
    cursor_format(epoch, floor, end);
    cursor_format(epoch, floor + 1, oldest);
    if (spec->poll) {
        const char *events = arena_printf(
            rq->arena,
            "%s%s{\"id\":null,\"data\":{\"type\":\"gap\",\"after\":\"%s\",\"oldest\":\"%s\"}},"
            "{\"id\":\"%s\",\"data\":{\"type\":\"" MEETING_END "\"}}",
            spec->preamble ? RESET_EVENT : "", spec->preamble ? "," : "", after, oldest, end);
        answer_poll(rq, rs, events, end);
        return;
    }
    const char *text =
        arena_printf(rq->arena,
                     "id: %s\n\n%sdata: {\"type\":\"gap\",\"after\":\"%s\","
                     "\"oldest\":\"%s\"}\n\nid: %s\ndata: {\"type\":\"" MEETING_END "\"}\n\n",
                     after, spec->preamble ? spec->preamble : "", after, oldest, end);
    if (!text) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    response_header(rs, "Cache-Control", "no-cache");
    response_header(rs, "X-Accel-Buffering", "no");
    rs->status = 200;
    rs->content_type = "text/event-stream; charset=utf-8";
    rs->text = text;
    rs->text_len = strlen(text);
}

/* Row id first; a native id (which may be digits too, such as Zoom's) names the newest meeting. */
static enum vx_err find_meeting(const struct request *rq, const char *text, struct meeting *m)
{
    char *end;
    errno = 0;
    long long id = strtoll(text, &end, 10);
    if (text[0] >= '1' && text[0] <= '9' && *end == '\0' && errno == 0) {
        enum vx_err err = store_meeting_by_id(rq->db, rq->arena, rq->who.user_id, id, m);
        if (err != VX_ERR_MEETING_NOT_FOUND)
            return err;
    }
    return store_meeting_by_native(rq->db, rq->arena, rq->who.user_id, NULL, text, m);
}

static bool names_meeting(const struct request *rq, const struct meeting *m, const char *session)
{
    const char *id = arena_printf(rq->arena, "%lld", (long long)m->id);
    return (id && strcmp(session, id) == 0) ||
           strcmp(session, m->native_id ? m->native_id : "") == 0;
}

/* The checks and the start of a meeting's stream, in one snapshot. */
static void open_meeting(struct request *rq, struct response *rs, struct stream_spec *spec)
{
    struct meeting m = {0};
    bool over = false;
    enum vx_err err = find_meeting(rq, request_query(rq, "meeting_id"), &m);
    if (err) {
        response_fail(rs, err == VX_ERR_MEETING_NOT_FOUND ? VX_ERR_MEETING_FORBIDDEN : err);
        return;
    }
    if (!names_meeting(rq, &m, request_query(rq, "session_uid"))) {
        response_fail_text(rs, VX_ERR_MEETING_FORBIDDEN, "session_uid does not match this meeting");
        return;
    }
    int64_t floor = 0;
    const char *topic = arena_printf(rq->arena, "meeting/%lld", (long long)m.id);
    spec->topics[0] = topic;
    spec->n_topics = 1;
    err = topic ? stream_start(rq, request_query_int(rq, "replay", -1), spec) : VX_ERR_NO_MEMORY;
    if (!err)
        err = is_over(rq, &m, topic, spec->cursor, &over);
    if (!err)
        err = events_floor(rq->db, topic, &floor);
    if (err)
        response_fail(rs, err);
    else if (!over)
        rs->stream = spec;
    else if (spec->cursor < floor)
        answer_trimmed(rq, rs, spec, floor);
    else
        answer_over(rq, rs, spec);
}

void handle_meeting_stream(struct request *rq, struct response *rs)
{
    struct stream_spec *spec = arena_alloc(rq->arena, sizeof(*spec));
    if (spec && !stream_form(rq, rs, spec))
        return;
    enum vx_err err = spec ? store_snapshot_begin(rq->db) : VX_ERR_NO_MEMORY;
    if (err) {
        response_fail(rs, err);
        return;
    }
    spec->ping_frames = true;
    spec->end_type = MEETING_END;
    spec->user_id = rq->who.user_id;
    spec->token_id = rq->who.token_id;
    spec->expires_ms = rq->who.expires_ms;
    open_meeting(rq, rs, spec);
    store_snapshot_end(rq->db);
}

void handle_bot_commands(struct request *rq, struct response *rs)
{
    const char *session = request_query(rq, "session_uid");
    struct stream_spec *spec = arena_alloc(rq->arena, sizeof(*spec));
    struct meeting m = {0};
    if (spec && !stream_form(rq, rs, spec))
        return;
    enum vx_err err = spec ? store_snapshot_begin(rq->db) : VX_ERR_NO_MEMORY;
    if (err) {
        response_fail(rs, err);
        return;
    }
    err = store_meeting_by_session(rq->db, rq->arena, session, &m);
    if (err == VX_ERR_MEETING_NOT_FOUND || (!err && m.id != rq->claims.meeting_id))
        err = VX_ERR_MEETING_TOKEN_MISMATCH;
    const char *topic = err ? NULL : arena_printf(rq->arena, "bot/%s", session);
    spec->topics[0] = topic;
    spec->n_topics = 1;
    if (!err)
        err = topic ? stream_start(rq, -1, spec) : VX_ERR_NO_MEMORY;
    store_snapshot_end(rq->db);
    if (err) {
        response_fail(rs, err);
        return;
    }
    spec->user_id = rq->claims.user_id;
    spec->expires_ms = rq->claims.exp_s * 1000; /* the token's, and with it the stream's */
    rs->stream = spec;
}
