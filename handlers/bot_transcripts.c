/* POST /bots/internal/transcripts: a bot hands in segments or takes some back (spec/meetings.md
 * §4.1, §4.2; shapes.md "Bots and meetings"). All of a request is stored or none of it. */
#include <math.h>
#include <string.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "lib/clock.h"
#include "lib/cursor.h"
#include "lib/int_text.h"
#include "lib/json_scan.h"
#include "lib/py_text.h"
#include "lib/store_meetings.h"
#include "lib/store_segments.h"

#define SEGMENTS_MAX   500
#define TEXT_BYTES     16384
#define SEGMENT_ID_MAX 255

static bool id_is_fine(const char *id)
{
    return id != NULL && *id != '\0' && py_len(id) <= SEGMENT_ID_MAX;
}

static bool time_is_fine(const char *at)
{
    int64_t ms;
    return at == NULL || clock_parse(at, &ms) == 0;
}

/* What the contract cannot say about a segment: the field's name and *why; NULL when fine. */
static const char *segment_fault(const struct segment *s, const char **why)
{
    *why = "Value error, must have 1 to 255 characters";
    if (!id_is_fine(s->segment_id))
        return "segment_id";
    *why = "Value error, must have at most 16384 bytes";
    if (strlen(s->text) > TEXT_BYTES)
        return "text";
    *why = "Input should be a finite number";
    if (!isfinite(s->start))
        return "start";
    if (!isfinite(s->end))
        return "end";
    *why = "Value error, not an RFC 3339 time";
    if (!time_is_fine(s->absolute_start))
        return "absolute_start_time";
    if (!time_is_fine(s->absolute_end))
        return "absolute_end_time";
    return NULL;
}

/* 422 at ["body", list, index] and the field, if one is named. */
static void refuse_item(struct request *rq, struct response *rs, const char *list, size_t index,
                        const char *field, const char *why, struct json_object *input)
{
    struct violations v = {.max = 1};
    if (violation_add(rq->arena, &v, "value_error", why, "body", list, input, NULL) != VX_OK ||
        v.n == 0) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    struct json_object *at = json_object_new_int64((int64_t)index);
    struct json_object *name = field != NULL ? json_object_new_string(field) : NULL;
    if (at == NULL || json_object_array_add(v.v[0].loc, at) != 0)
        json_object_put(at);
    if (name != NULL && json_object_array_add(v.v[0].loc, name) != 0)
        json_object_put(name);
    response_fail_list(rs, &v);
}

/* A number of the segment; NaN when it is none. */
static double number(struct json_object *o, const char *name)
{
    struct json_object *v = body_get(o, name);
    if (!json_object_is_type(v, json_type_int) && !json_object_is_type(v, json_type_double))
        return NAN;
    return json_object_get_double(v);
}

static void read_segment(struct json_object *o, struct segment *s)
{
    struct json_object *words = body_get(o, "words");
    const char *text = json_get_str(o, "text");
    *s = (struct segment){
        .segment_id = json_get_str(o, "segment_id"),
        .start = number(o, "start"),
        .end = number(o, "end"),
        .text = text != NULL ? text : "",
        .language = json_get_str(o, "language"),
        .speaker = json_get_str(o, "speaker"),
        .speaker_key = json_get_str(o, "speaker_key"),
        .source = json_get_str(o, "source"),
        .completed = json_get_bool(o, "completed", 0),
        .absolute_start = json_get_str(o, "absolute_start_time"),
        .absolute_end = json_get_str(o, "absolute_end_time"),
        .words = json_object_is_type(words, json_type_array) ? json_text(words) : NULL,
    };
    double confidence = number(o, "confidence");
    s->has_confidence = isfinite(confidence);
    s->confidence = s->has_confidence ? confidence : 0;
}

/* false: refused, nothing is stored. */
static bool read_segments(struct request *rq, struct response *rs, struct json_object *list,
                          struct segment **out, size_t *n)
{
    *n = json_object_array_length(list);
    *out = NULL;
    if (*n > SEGMENTS_MAX) {
        response_fail_text(rs, VX_ERR_VALIDATION, "segments must be at most %d", SEGMENTS_MAX);
        return false;
    }
    if (*n == 0)
        return true;
    *out = arena_alloc(rq->arena, *n * sizeof **out);
    if (*out == NULL) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        const char *why;
        read_segment(o, &(*out)[i]);
        const char *field = segment_fault(&(*out)[i], &why);
        if (field == NULL)
            continue;
        refuse_item(rq, rs, "segments", i, field, why, body_get(o, field));
        return false;
    }
    return true;
}

/* The ids of a transcript_retract. */
static bool read_retracts(struct request *rq, struct response *rs, struct json_object *list,
                          const char *const **out, size_t *n)
{
    *n = json_object_array_length(list);
    *out = NULL;
    if (*n > SEGMENTS_MAX) {
        response_fail_text(rs, VX_ERR_VALIDATION, "segment_ids must be at most %d", SEGMENTS_MAX);
        return false;
    }
    const char **ids = arena_alloc(rq->arena, (*n + 1) * sizeof *ids);
    if (ids == NULL) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        struct json_object *v = json_object_array_get_idx(list, i);
        ids[i] = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
        if (id_is_fine(ids[i]))
            continue;
        refuse_item(rq, rs, "segment_ids", i, NULL, "Value error, must have 1 to 255 characters",
                    v);
        return false;
    }
    *out = ids;
    return true;
}

/* An integer, or a text that is one; 0 when neither. */
static int64_t body_meeting_id(struct json_object *v)
{
    int64_t id;
    if (body_int(v, &id))
        return id;
    if (json_object_is_type(v, json_type_string) &&
        int_text_parse(json_object_get_string(v), &id) == INT_TEXT_OK)
        return id;
    return 0;
}

static struct json_object *accepted(int64_t meeting_id, const struct ingest_result *r,
                                    const char *epoch)
{
    char cursor[CURSOR_TEXT_MAX];
    struct json_object *o = json_object_new_object();
    int bad = json_put_str(o, "status", "accepted");
    bad |= json_put_int(o, "meeting_id", meeting_id);
    bad |= json_put_int(o, "stored", (int64_t)r->stored);
    bad |= json_put_int(o, "unchanged", (int64_t)r->unchanged);
    bad |= json_put_str(o, "cursor", cursor_format(epoch, r->cursor, cursor));
    if (bad == 0)
        return o;
    json_object_put(o);
    return NULL;
}

void handle_bot_transcripts(struct request *rq, struct response *rs)
{
    const char *type = json_get_str(rq->json, "type");
    bool retract = type != NULL && strcmp(type, "transcript_retract") == 0;
    const char *name = retract ? "segment_ids" : "segments";
    struct json_object *list = body_get(rq->json, name);
    struct json_object *sent_id = body_get(rq->json, "meeting_id");
    int64_t meeting_id = rq->claims.meeting_id;
    struct segment *seg = NULL;
    const char *const *ids = NULL;
    size_t n_seg = 0, n_ids = 0;
    struct meeting m;

    if (sent_id != NULL && body_meeting_id(sent_id) != meeting_id) {
        response_fail(rs, VX_ERR_MEETING_TOKEN_MISMATCH);
        return;
    }
    if (!json_object_is_type(list, json_type_array)) {
        refuse(rq, rs, "missing", "Field required", "body", name, json_object_get(rq->json), NULL);
        return;
    }
    if (retract ? !read_retracts(rq, rs, list, &ids, &n_ids)
                : !read_segments(rq, rs, list, &seg, &n_seg))
        return;
    enum vx_err err = store_meeting_by_id(rq->db, rq->arena, 0, meeting_id, &m);
    struct ingest_result r = {0};
    if (err == VX_OK)
        err = store_segments_ingest(rq->app->store, meeting_id, seg, n_seg, ids, n_ids, &r);
    if (err != VX_OK)
        response_fail(rs, err);
    else
        response_json(rs, 200, accepted(meeting_id, &r, store_epoch(rq->app->store)));
}
