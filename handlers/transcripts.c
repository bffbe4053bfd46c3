/* GET /transcripts/…: a meeting with its segments (spec/meetings.md §1.13, §4.4; shapes.md
 * "Transcript reads"). Meeting, segments and the log's tip are read in one snapshot, so
 * next_since is exactly where a stream goes on. Segments are written straight to text: a long
 * meeting has tens of thousands, and a tree of them would take tens of megabytes. With ?since= an
 * answer holds what changed after that id, or everything when that cannot be told any more. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "handlers/meeting_json.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/cursor.h"
#include "lib/json_scan.h"
#include "lib/py_text.h"
#include "lib/store_events.h"
#include "lib/store_segments.h"

#define TRANSCRIPT_MAX (256u << 20)
/* start values from here on are seconds since 1970, below it seconds of the meeting. */
#define EPOCH_SECONDS 1e9
/* The last second of year 9999: later times have no RFC 3339 form. */
#define LAST_SECOND 253402300799.0

struct transcript {
    struct meeting m;
    struct segment *seg;
    size_t n_seg;
    int64_t tip;
    const char *since; /* text of ?since=, NULL = all of it is wanted */
    bool reset;        /* since is of no use: all of it */
    const char **retracted;
    size_t n_retracted;
};

/* The moment of `offset` as text; NULL when it has none. */
static const char *absolute_time(const struct meeting *m, double start, double offset,
                                 char out[CLOCK_TEXT_MAX])
{
    double base = 0;
    if (start < EPOCH_SECONDS)
        base = (double)(m->start_ms != 0 ? m->start_ms : m->created_ms) / 1000.0;
    double at = base + offset;
    if (!(at >= 0 && at <= LAST_SECOND))
        return NULL;
    return clock_format((int64_t)llround(at * 1000.0), out);
}

/* The optional members, in the spec's order. 0 or -1. */
static int put_optional(struct json_object *o, const struct segment *s, const struct meeting *m)
{
    char start[CLOCK_TEXT_MAX], end[CLOCK_TEXT_MAX];
    const char *abs_start = s->absolute_start, *abs_end = s->absolute_end;
    if (abs_start == NULL) {
        abs_start = absolute_time(m, s->start, s->start, start);
        abs_end = absolute_time(m, s->start, s->end, end);
    }
    int bad = 0;
    if (s->speaker != NULL)
        bad |= json_put_str(o, "speaker", s->speaker);
    if (s->speaker_key != NULL)
        bad |= json_put_str(o, "speaker_key", s->speaker_key);
    bad |= json_put_bool(o, "completed", s->completed);
    bad |= json_put_str(o, "segment_id", s->segment_id);
    if (s->source != NULL)
        bad |= json_put_str(o, "source", s->source);
    if (abs_start != NULL)
        bad |= json_put_str(o, "absolute_start_time", abs_start);
    if (abs_end != NULL)
        bad |= json_put_str(o, "absolute_end_time", abs_end);
    if (s->words != NULL) {
        struct json_object *words = json_tokener_parse(s->words);
        bad |= json_put(o, "words", words != NULL ? words : json_object_new_array());
    }
    if (s->has_confidence)
        bad |= json_put(o, "confidence", json_number(s->confidence));
    return bad;
}

/* Appends the segment's JSON. 0 or -1. */
static int append_segment(struct buf *b, const struct segment *s, const struct meeting *m)
{
    struct json_object *o = json_object_new_object();
    int bad = json_put(o, "start", json_number(s->start));
    bad |= json_put(o, "end", json_number(s->end));
    bad |= json_put_str(o, "text", s->text != NULL ? s->text : "");
    bad |= json_put_str(o, "language", s->language);
    bad |= put_optional(o, s, m);
    const char *text = bad == 0 ? json_text(o) : NULL;
    int rc = text != NULL ? buf_append_str(b, text) : -1;
    json_object_put(o);
    return rc;
}

/* All members before "segments"; NULL when out of memory. */
static struct json_object *head_object(const struct meeting *m, struct json_object *stored)
{
    struct json_object *o = json_object_new_object(), *v = NULL;
    int bad = json_put_int(o, "id", m->id);
    bad |= json_put_str(o, "platform", m->platform);
    bad |= json_put_str(o, "native_meeting_id", m->native_id);
    bad |= json_put_str(o, "constructed_meeting_url", m->url);
    bad |= json_put_str(o, "status", m->status);
    bad |= json_put_time(o, "start_time", m->start_ms);
    bad |= json_put_time(o, "end_time", m->end_ms);
    if (json_object_object_get_ex(stored, "recordings", &v) &&
        json_object_is_type(v, json_type_array))
        bad |= json_put(o, "recordings", json_object_get(v));
    else
        bad |= json_put(o, "recordings", json_object_new_array());
    if (json_object_object_get_ex(stored, "notes", &v) && v != NULL)
        bad |= json_put(o, "notes", json_object_get(v));
    else
        bad |= json_put_null(o, "notes");
    bad |= json_put(o, "data", meeting_data_project(stored, false));
    if (bad == 0)
        return o;
    json_object_put(o);
    return NULL;
}

/* An emptied draft is a withdrawn one (spec §4.1): it is not part of the transcript. */
static bool is_blank(const char *s)
{
    uint32_t cp;
    size_t n, left = s != NULL ? strlen(s) : 0;
    for (; left > 0 && (n = utf8_read(s, left, &cp)) > 0 && py_is_space(cp); left -= n)
        s += n;
    return left == 0;
}

/* With ?since= also what a reader has to forget: segments taken back, and emptied ones. */
static void append_retracted(struct buf *b, const struct transcript *t)
{
    size_t given = 0;
    buf_append_str(b, ",\"retracted\":[");
    for (size_t i = 0; i < t->n_retracted; i++) {
        if (given++ > 0)
            buf_append_char(b, ',');
        buf_append_json_str(b, t->retracted[i], strlen(t->retracted[i]));
    }
    for (size_t i = 0; !t->reset && i < t->n_seg; i++) {
        if (!is_blank(t->seg[i].text))
            continue;
        if (given++ > 0)
            buf_append_char(b, ',');
        buf_append_json_str(b, t->seg[i].segment_id, strlen(t->seg[i].segment_id));
    }
    buf_append_str(b, t->reset ? "],\"reset\":true" : "]");
}

static void free_text(void *p)
{
    free(p);
}

static void respond_transcript(struct request *rq, struct response *rs, const struct transcript *t)
{
    struct json_object *stored;
    enum vx_err err = stored_object(rq->arena, t->m.data, "meeting", t->m.id, &stored);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    struct buf b;
    buf_init(&b, TRANSCRIPT_MAX);
    struct json_object *head = head_object(&t->m, stored);
    const char *text = head != NULL ? json_text(head) : NULL;
    bool bad = text == NULL || buf_append(&b, text, strlen(text) - 1) != 0;
    json_object_put(head);
    buf_append_str(&b, ",\"segments\":[");
    for (size_t i = 0, given = 0; !bad && i < t->n_seg; i++) {
        if (is_blank(t->seg[i].text))
            continue;
        if (given++ > 0)
            buf_append_char(&b, ',');
        bad = append_segment(&b, &t->seg[i], &t->m) != 0;
    }
    char cursor[CURSOR_TEXT_MAX];
    cursor_format(store_epoch(rq->app->store), t->tip, cursor);
    buf_append_char(&b, ']');
    if (t->since != NULL)
        append_retracted(&b, t);
    buf_append_str(&b, ",\"next_since\":");
    buf_append_json_str(&b, cursor, strlen(cursor));
    buf_append_char(&b, '}');
    size_t len = b.len;
    char *out = bad || b.failed ? NULL : buf_take(&b);
    buf_free(&b);
    /* The text lives outside the arena, whose limit is for requests, but dies with it. */
    if (out == NULL || arena_defer(rq->arena, free_text, out) != 0) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    rs->status = 200;
    rs->content_type = "application/json";
    rs->text = out;
    rs->text_len = len;
}

/* Segments, and with ?since= only what changed. Inside the snapshot. */
static enum vx_err read_segments(struct request *rq, struct transcript *t)
{
    int64_t since = 0, floor = 0;
    const char *topic = arena_printf(rq->arena, "meeting/%lld", (long long)t->m.id);
    enum vx_err err = topic != NULL ? events_tip(rq->db, &t->tip) : VX_ERR_NO_MEMORY;
    if (err == VX_OK && t->since != NULL) {
        err = events_floor(rq->db, topic, &floor);
        t->reset =
            cursor_parse(t->since, store_epoch(rq->app->store), t->tip, &since) != CURSOR_OK ||
            since < floor; /* what was taken back since then is not known any more */
        if (t->reset)
            since = 0;
        else if (err == VX_OK)
            err = store_segments_retracted(rq->db, rq->arena, t->m.id, since, &t->retracted,
                                           &t->n_retracted);
    }
    if (err == VX_OK)
        err = store_segments_since(rq->db, rq->arena, t->m.id, since, &t->seg, &t->n_seg);
    return err;
}

/* False: ?since= is no id, the response is the 422. */
static bool take_since(struct request *rq, struct response *rs, struct transcript *t)
{
    int64_t n;
    t->since = request_query(rq, "since");
    if (t->since != NULL && *t->since == '\0')
        t->since = NULL;
    if (cursor_parse(t->since, store_epoch(rq->app->store), INT64_MAX, &n) != CURSOR_GARBAGE)
        return true;
    refuse(rq, rs, "value_error", "Value error, not an id this server gave", "query", "since",
           json_object_new_string(t->since), NULL);
    return false;
}

/* By row id, or by link when platform is given. */
static enum vx_err read_transcript(struct request *rq, int64_t id, const char *platform,
                                   const char *native_id, struct transcript *t)
{
    enum vx_err err = store_snapshot_begin(rq->db);
    if (err != VX_OK)
        return err;
    if (platform != NULL)
        err =
            store_meeting_by_native(rq->db, rq->arena, rq->who.user_id, platform, native_id, &t->m);
    else
        err = store_meeting_by_id(rq->db, rq->arena, rq->who.user_id, id, &t->m);
    if (err == VX_OK)
        err = read_segments(rq, t);
    store_snapshot_end(rq->db);
    return err;
}

void handle_transcript_by_id(struct request *rq, struct response *rs)
{
    struct transcript t = {0};
    int64_t id = rq->int_params[0];
    if (!take_since(rq, rs, &t))
        return;
    enum vx_err err = read_transcript(rq, id, NULL, NULL, &t);
    if (err == VX_ERR_MEETING_NOT_FOUND)
        response_fail_text(rs, err, "Meeting %lld not found", (long long)id);
    else if (err != VX_OK)
        response_fail(rs, err);
    else
        respond_transcript(rq, rs, &t);
}

void handle_transcript_get(struct request *rq, struct response *rs)
{
    struct transcript t = {0};
    if (!take_since(rq, rs, &t))
        return;
    enum vx_err err = read_transcript(rq, 0, rq->params[0], rq->params[1], &t);
    if (err == VX_ERR_MEETING_NOT_FOUND)
        response_fail_text(rs, err, "Meeting not found for platform %s and ID %s", rq->params[0],
                           rq->params[1]);
    else if (err != VX_OK)
        response_fail(rs, err);
    else
        respond_transcript(rq, rs, &t);
}
