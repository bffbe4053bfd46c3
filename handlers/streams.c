/* The event streams: GET /agent/meeting/stream (a meeting's live view) and GET
 * /bots/internal/commands (what a bot is told). A handler decides what is known before the first
 * byte: who may listen, where the stream starts, what was lost. The hub sends every event. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/stream_spec.h"
#include "lib/cursor.h"
#include "lib/lifecycle.h"
#include "lib/store_events.h"
#include "lib/store_meetings.h"

#define MEETING_END "meeting-end"
#define RESET_FRAME "data: {\"type\":\"reset\"}\n\n"

static const char *cursor_text(const struct request *rq)
{
    const char *id = request_header(rq, "last-event-id");
    return id && *id ? id : request_query(rq, "lastEventId");
}

/* Where a stream of this topic starts: after the client's cursor, or anew (all of the log, or its
 * last `replay` events; -1 = all). Sets cursor and preamble. Reads inside the caller's snapshot. */
static enum vx_err choose_start(const struct request *rq, const char *topic, int64_t replay,
                                struct stream_spec *spec)
{
    const char *epoch = store_epoch(rq->app->store);
    int64_t tip = 0, floor = 0;
    bool reset = false;
    enum vx_err err = events_tip(rq->db, &tip);
    if (!err)
        err = events_floor(rq->db, topic, &floor);
    if (err)
        return err;

    enum cursor_kind kind = cursor_parse(cursor_text(rq), epoch, tip, &spec->cursor);
    if (kind != CURSOR_OK) {
        reset = kind == CURSOR_FOREIGN || kind == CURSOR_FUTURE;
        spec->cursor = 0;
        if (replay >= 0)
            err = events_cursor_before_last(rq->db, topic, replay, &spec->cursor);
        if (err)
            return err;
    }

    const char *gap = "";
    if (spec->cursor < floor) {
        char after[CURSOR_TEXT_MAX], oldest[CURSOR_TEXT_MAX];
        gap = arena_printf(
            rq->arena, "data: {\"type\":\"gap\",\"after\":\"%s\",\"oldest\":\"%s\"}\n\n",
            cursor_format(epoch, spec->cursor, after), cursor_format(epoch, floor + 1, oldest));
        spec->cursor = floor;
    }
    if (!reset && gap && !*gap)
        return VX_OK;
    spec->preamble = gap ? arena_printf(rq->arena, "%s%s", reset ? RESET_FRAME : "", gap) : NULL;
    return spec->preamble ? VX_OK : VX_ERR_NO_MEMORY;
}

static bool nothing_more(const struct event *e, void *ctx)
{
    (void)e;
    *(bool *)ctx = false;
    return false;
}

/* True when no event can follow the cursor: the meeting-end event is behind it, or the meeting is
 * over and its end was trimmed. */
static enum vx_err is_over(const struct request *rq, const struct meeting *m, const char *topic,
                           int64_t cursor, bool *over)
{
    int64_t end = 0;
    *over = false;
    enum vx_err err = events_last_of_type(rq->db, topic, MEETING_END, &end);
    if (err)
        return err;
    if (end > 0 || !lifecycle_is_terminal(m->status)) {
        *over = end > 0 && cursor >= end;
        return VX_OK;
    }
    *over = true;
    return events_after(rq->db, topic, cursor, 1, nothing_more, over, NULL);
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
    const char *topic = arena_printf(rq->arena, "meeting/%lld", (long long)m.id);
    err = topic ? choose_start(rq, topic, request_query_int(rq, "replay", -1), spec)
                : VX_ERR_NO_MEMORY;
    if (!err)
        err = is_over(rq, &m, topic, spec->cursor, &over);
    if (err) {
        response_fail(rs, err);
        return;
    }
    if (over) {
        response_empty(rs);
        return;
    }
    spec->topics[0] = topic;
    spec->n_topics = 1;
    rs->stream = spec;
}

void handle_meeting_stream(struct request *rq, struct response *rs)
{
    struct stream_spec *spec = arena_alloc(rq->arena, sizeof(*spec));
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
    enum vx_err err = spec ? store_snapshot_begin(rq->db) : VX_ERR_NO_MEMORY;
    if (err) {
        response_fail(rs, err);
        return;
    }
    err = store_meeting_by_session(rq->db, rq->arena, session, &m);
    if (err == VX_ERR_MEETING_NOT_FOUND || (!err && m.id != rq->claims.meeting_id))
        err = VX_ERR_MEETING_TOKEN_MISMATCH;
    const char *topic = err ? NULL : arena_printf(rq->arena, "bot/%s", session);
    if (!err)
        err = topic ? choose_start(rq, topic, -1, spec) : VX_ERR_NO_MEMORY;
    store_snapshot_end(rq->db);
    if (err) {
        response_fail(rs, err);
        return;
    }
    spec->topics[0] = topic;
    spec->n_topics = 1;
    spec->user_id = rq->claims.user_id;
    spec->expires_ms = rq->claims.exp_s * 1000; /* the token's, and with it the stream's */
    rs->stream = spec;
}
