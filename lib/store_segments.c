/* Transcript segments: the upsert of what a bot heard, with the events clients see of it, and the
 * read. Sending the same batch again changes nothing and appends nothing, whatever the batch. */
#include "lib/store_segments.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json_scan.h"
#include "lib/store_events.h"
#include "lib/store_meeting_row.h"

#define SCRATCH_MAX   (64u << 20)
#define EPOCH_SECONDS 1e9 /* a start from here on is wall clock, not an offset */
#define SHORTEST      0.001
#define TIME_LIMIT    9e12 /* seconds; keeps milliseconds within what JSON readers hold exactly */

#define SEGMENT_COLUMNS                                                                            \
    "segment_id, start_s, end_s, text, language, speaker, speaker_key, source, completed,"         \
    " absolute_start, absolute_end, words, confidence, changed"

static enum vx_err segment_row(sqlite3_stmt *st, struct arena *a, void *row)
{
    enum vx_err err = VX_OK;
    *(struct segment *)row = (struct segment){
        .segment_id = sql_text(a, st, 0, &err),
        .start = sqlite3_column_double(st, 1),
        .end = sqlite3_column_double(st, 2),
        .text = sql_text(a, st, 3, &err),
        .language = sql_text(a, st, 4, &err),
        .speaker = sql_text(a, st, 5, &err),
        .speaker_key = sql_text(a, st, 6, &err),
        .source = sql_text(a, st, 7, &err),
        .completed = sqlite3_column_int64(st, 8) != 0,
        .absolute_start = sql_text(a, st, 9, &err),
        .absolute_end = sql_text(a, st, 10, &err),
        .words = sql_text(a, st, 11, &err),
        .has_confidence = sqlite3_column_type(st, 12) != SQLITE_NULL,
        .confidence = sqlite3_column_double(st, 12),
        .changed = sqlite3_column_int64(st, 13),
    };
    return err;
}

enum vx_err store_segments_read(struct store_conn *c, struct arena *a, int64_t meeting_id,
                                struct segment **out, size_t *n)
{
    return store_segments_since(c, a, meeting_id, 0, out, n);
}

enum vx_err store_segments_since(struct store_conn *c, struct arena *a, int64_t meeting_id,
                                 int64_t since, struct segment **out, size_t *n)
{
    sqlite3_stmt *st;
    void *rows;
    *out = NULL;
    *n = 0;
    enum vx_err err = sql_begin(c, &st,
                                "SELECT " SEGMENT_COLUMNS " FROM segments WHERE meeting_id = ?"
                                " AND changed > ? ORDER BY start_s, id",
                                "ii", meeting_id, since);
    if (err != VX_OK)
        return err;
    err = sql_rows(c, a, st, sizeof **out, segment_row, &rows, n);
    *out = rows;
    return err;
}

/* ---- what one segment does to what is stored ---- */

enum effect {
    EFFECT_NONE,
    EFFECT_INSERT,
    EFFECT_SHOWN,  /* update that clients of the stream see */
    EFFECT_HIDDEN, /* update of fields that are in no frame */
    EFFECT_WITHDRAW
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Equality as SQLite stored it: -0.0 and 0.0 are one value, NaN never gets here. */
static bool same_number(double a, double b)
{
    return !(a < b) && !(b < a);
}

static bool is_blank(const char *s)
{
    return s[strspn(s, " \t\r\n\f\v")] == '\0';
}

static bool is_chat(const struct segment *s)
{
    return s->source != NULL && strcmp(s->source, "chat") == 0;
}

/* old NULL: nothing is stored under this id. s has its times in order. */
static enum effect segment_effect(const struct segment *old, const struct segment *s)
{
    if (s->completed && s->end - s->start < SHORTEST && !is_chat(s))
        return EFFECT_NONE;
    if (is_blank(s->text)) /* a draft taken back; what is confirmed stays */
        return old != NULL && !old->completed ? EFFECT_WITHDRAW : EFFECT_NONE;
    if (old == NULL)
        return EFFECT_INSERT;
    if (old->completed && !s->completed)
        return EFFECT_NONE;
    if (old->completed != s->completed || !same_text(old->text, s->text) ||
        !same_text(old->speaker, s->speaker) || !same_number(old->start, s->start))
        return EFFECT_SHOWN;
    if (!same_number(old->end, s->end) || !same_text(old->language, s->language) ||
        !same_text(old->speaker_key, s->speaker_key) || !same_text(old->source, s->source) ||
        !same_text(old->absolute_start, s->absolute_start) ||
        !same_text(old->absolute_end, s->absolute_end) || !same_text(old->words, s->words) ||
        old->has_confidence != s->has_confidence ||
        (s->has_confidence && !same_number(old->confidence, s->confidence)))
        return EFFECT_HIDDEN;
    return EFFECT_NONE;
}

static struct segment in_order(const struct segment *s)
{
    struct segment t = *s;
    if (t.end < t.start) {
        t.start = s->end;
        t.end = s->start;
    }
    if (t.text == NULL)
        t.text = "";
    return t;
}

/* ---- ingest ---- */

struct ingest_job {
    struct arena *scratch;
    int64_t meeting_id, base_ms;
    const struct segment *seg;
    size_t n;
    const char *const *retract_ids;
    size_t n_retract;
    struct ingest_result *out;
    char topic[64];
    int64_t edit; /* number of this batch's hidden changes, 0 = none yet */
    bool ended;   /* the meeting is over: nothing stays a draft */
    bool *idle;   /* idle[i]: the batch as a whole leaves this segment as it is stored */
};

static enum vx_err ingest_find(struct store_conn *w, struct ingest_job *j, const char *id,
                               struct segment *out, bool *found)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(w, &st,
                                "SELECT " SEGMENT_COLUMNS " FROM segments"
                                " WHERE meeting_id = ? AND segment_id = ?",
                                "it", j->meeting_id, id);
    if (err != VX_OK)
        return err;
    err = sql_step(w, st, found);
    if (err == VX_OK && *found)
        err = segment_row(st, j->scratch, out);
    sql_end(st);
    return err;
}

/* Several versions of one segment in a batch, sent again after an answer got lost: the first
 * version differs from what is stored by now and the last does not. Applied one by one, each
 * would be told twice. */
static enum vx_err ingest_mark_idle(struct store_conn *w, struct ingest_job *j, size_t first)
{
    struct segment stored, state;
    bool found;
    size_t again = first + 1;
    while (again < j->n && strcmp(j->seg[again].segment_id, j->seg[first].segment_id) != 0)
        again++;
    if (again == j->n || j->idle[first])
        return VX_OK;
    enum vx_err err = ingest_find(w, j, j->seg[first].segment_id, &stored, &found);
    if (err != VX_OK)
        return err;
    bool there = found;
    if (found)
        state = stored;
    for (size_t i = first; i < j->n; i++) {
        if (strcmp(j->seg[i].segment_id, j->seg[first].segment_id) != 0)
            continue;
        struct segment s = in_order(&j->seg[i]);
        enum effect e = segment_effect(there ? &state : NULL, &s);
        if (e == EFFECT_WITHDRAW) {
            there = false;
        } else if (e != EFFECT_NONE) {
            there = true;
            state = s;
        }
    }
    if (there != found || (found && segment_effect(&stored, &state) != EFFECT_NONE) ||
        (found && stored.completed != state.completed))
        return VX_OK;
    for (size_t i = first; i < j->n; i++)
        if (strcmp(j->seg[i].segment_id, j->seg[first].segment_id) == 0)
            j->idle[i] = true;
    return VX_OK;
}

static enum vx_err ingest_append_transcript(struct store_conn *w, struct ingest_job *j,
                                            const struct segment *s, int64_t *id)
{
    struct json_object *f = json_object_new_object();
    double ms = s->start >= EPOCH_SECONDS ? s->start * 1000 : (double)j->base_ms + s->start * 1000;
    if (f != NULL &&
        (json_put_str(f, "type", "transcript") | json_put_str(f, "speaker", s->speaker) |
         json_put_str(f, "text", s->text) | json_put(f, "t", json_number(s->start)) |
         json_put_int(f, "tsMs", llround(ms)) | json_put_bool(f, "completed", s->completed) |
         json_put_str(f, "id", s->segment_id))) {
        json_object_put(f);
        f = NULL;
    }
    return frame_append(w, j->topic, "transcript", f, id);
}

static enum vx_err ingest_append_retract(struct store_conn *w, struct ingest_job *j,
                                         struct json_object *ids)
{
    struct json_object *f = json_object_new_object();
    if (f == NULL) {
        json_object_put(ids);
        return VX_ERR_NO_MEMORY;
    }
    if (json_put_str(f, "type", "retract") | json_put(f, "segment_ids", ids)) {
        json_object_put(f);
        f = NULL;
    }
    return frame_append(w, j->topic, "retract", f, NULL);
}

/* Deletes the segment if it is there and puts its id on the list. */
static enum vx_err ingest_delete(struct store_conn *w, struct ingest_job *j, const char *id,
                                 struct json_object *ids)
{
    enum vx_err err = sql_exec(w, "DELETE FROM segments WHERE meeting_id = ? AND segment_id = ?",
                               "it", j->meeting_id, id);
    if (err != VX_OK || sql_changes(w) == 0)
        return err;
    struct json_object *o = json_object_new_string(id);
    if (o == NULL || json_object_array_add(ids, o) != 0) {
        json_object_put(o);
        return VX_ERR_NO_MEMORY;
    }
    return VX_OK;
}

/* Deletes those of the ids that exist, and tells it in one event. */
static enum vx_err ingest_retract(struct store_conn *w, struct ingest_job *j,
                                  const char *const *ids, size_t n)
{
    enum vx_err err = VX_OK;
    struct json_object *gone = json_object_new_array();
    if (gone == NULL)
        return VX_ERR_NO_MEMORY;
    for (size_t i = 0; i < n && err == VX_OK; i++)
        err = ingest_delete(w, j, ids[i], gone);
    if (err == VX_OK && json_object_array_length(gone) > 0)
        return ingest_append_retract(w, j, gone);
    json_object_put(gone);
    return err;
}

static enum vx_err ingest_insert(struct store_conn *w, struct ingest_job *j,
                                 const struct segment *s)
{
    int64_t event;
    enum vx_err err = ingest_append_transcript(w, j, s, &event);
    if (err != VX_OK)
        return err;
    err = sql_exec(w,
                   "INSERT INTO segments (meeting_id, segment_id, start_s, end_s, text, language,"
                   " speaker, speaker_key, source, completed, absolute_start, absolute_end, words,"
                   " confidence, changed)"
                   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
                   " CASE WHEN ?14 <> 0 THEN ?15 END, ?16)",
                   "itddtttttitttidi", j->meeting_id, s->segment_id, s->start, s->end, s->text,
                   s->language, s->speaker, s->speaker_key, s->source, (int64_t)s->completed,
                   s->absolute_start, s->absolute_end, s->words, (int64_t)s->has_confidence,
                   s->confidence, event);
    return err;
}

/* A number for a change that no frame shows, so that a read with ?since= finds it. One a batch. */
static enum vx_err ingest_append_edit(struct store_conn *w, struct ingest_job *j, int64_t *id)
{
    char topic[64];
    enum vx_err err = VX_OK;
    if (j->edit == 0) {
        snprintf(topic, sizeof topic, SEGMENT_EDITS_TOPIC, (long long)j->meeting_id);
        err = events_append(w, topic, "edit", "{}", &j->edit);
    }
    *id = j->edit;
    return err;
}

static enum vx_err ingest_update(struct store_conn *w, struct ingest_job *j,
                                 const struct segment *s, const struct segment *old, bool shown)
{
    int64_t event = old->changed;
    enum vx_err err =
        shown ? ingest_append_transcript(w, j, s, &event) : ingest_append_edit(w, j, &event);
    if (err != VX_OK)
        return err;
    return sql_exec(w,
                    "UPDATE segments SET start_s = ?3, end_s = ?4, text = ?5, language = ?6,"
                    " speaker = ?7, speaker_key = ?8, source = ?9, completed = ?10,"
                    " absolute_start = ?11, absolute_end = ?12, words = ?13,"
                    " confidence = CASE WHEN ?14 <> 0 THEN ?15 END, changed = ?16"
                    " WHERE meeting_id = ?1 AND segment_id = ?2",
                    "itddtttttitttidi", j->meeting_id, s->segment_id, s->start, s->end, s->text,
                    s->language, s->speaker, s->speaker_key, s->source, (int64_t)s->completed,
                    s->absolute_start, s->absolute_end, s->words, (int64_t)s->has_confidence,
                    s->confidence, event);
}

static enum vx_err ingest_one(struct store_conn *w, struct ingest_job *j, const struct segment *raw)
{
    struct segment s = in_order(raw), old;
    bool found;
    enum vx_err err = ingest_find(w, j, s.segment_id, &old, &found);
    if (err != VX_OK)
        return err;
    switch (segment_effect(found ? &old : NULL, &s)) {
    case EFFECT_NONE:
        j->out->unchanged++;
        return VX_OK;
    case EFFECT_INSERT:
        err = ingest_insert(w, j, &s);
        break;
    case EFFECT_SHOWN:
        err = ingest_update(w, j, &s, &old, true);
        break;
    case EFFECT_HIDDEN:
        err = ingest_update(w, j, &s, &old, false);
        break;
    case EFFECT_WITHDRAW:
        err = ingest_retract(w, j, &s.segment_id, 1);
        break;
    }
    j->out->stored++;
    return err;
}

/* Offsets count from the meeting's start, or from its creation while it has not begun. */
static enum vx_err ingest_base(struct store_conn *w, struct ingest_job *j)
{
    sqlite3_stmt *st;
    bool row;
    enum vx_err err = sql_begin(w, &st,
                                "SELECT COALESCE(start_ms, created_ms),"
                                " status IN ('completed', 'failed') FROM meetings"
                                " WHERE id = ? AND deleted_ms IS NULL",
                                "i", j->meeting_id);
    if (err != VX_OK)
        return err;
    err = sql_step(w, st, &row);
    if (err == VX_OK && row) {
        j->base_ms = sqlite3_column_int64(st, 0);
        j->ended = sqlite3_column_int64(st, 1) != 0;
    }
    sql_end(st);
    return err == VX_OK && !row ? VX_ERR_MEETING_NOT_FOUND : err;
}

/* The oldest draft after *s in a transcript's order; *id 0 = none. */
static enum vx_err next_draft(struct store_conn *w, struct ingest_job *j, double *start,
                              int64_t *id, struct segment *out)
{
    sqlite3_stmt *st;
    bool row;
    enum vx_err err = sql_begin(w, &st,
                                "SELECT " SEGMENT_COLUMNS ", id FROM segments"
                                " WHERE meeting_id = ?1 AND completed = 0"
                                " AND (?3 = 0 OR (start_s, id) > (?2, ?3))"
                                " ORDER BY start_s, id LIMIT 1",
                                "idi", j->meeting_id, *start, *id);
    if (err != VX_OK)
        return err;
    *id = 0;
    err = sql_step(w, st, &row);
    if (err == VX_OK && row) {
        err = segment_row(st, j->scratch, out);
        *id = sqlite3_column_int64(st, 14);
        *start = out->start;
    }
    sql_end(st);
    return err;
}

static enum vx_err confirm_drafts(struct store_conn *w, struct ingest_job *j)
{
    double start = 0;
    int64_t id = 0, event;
    struct segment s;
    for (;;) {
        arena_reset(j->scratch);
        enum vx_err err = next_draft(w, j, &start, &id, &s);
        if (err != VX_OK || id == 0)
            return err;
        if (is_blank(s.text)) {
            err = ingest_retract(w, j, &s.segment_id, 1);
        } else {
            s.completed = true;
            err = ingest_append_transcript(w, j, &s, &event);
            if (err == VX_OK)
                err = sql_exec(w, "UPDATE segments SET completed = 1, changed = ? WHERE id = ?",
                               "ii", event, id);
        }
        if (err != VX_OK)
            return err;
    }
}

enum vx_err segments_confirm_drafts(struct store_conn *w, int64_t meeting_id)
{
    struct ingest_job j = {.scratch = arena_new(SCRATCH_MAX), .meeting_id = meeting_id};
    snprintf(j.topic, sizeof j.topic, "meeting/%lld", (long long)meeting_id);
    enum vx_err err = j.scratch != NULL ? ingest_base(w, &j) : VX_ERR_NO_MEMORY;
    if (err == VX_OK)
        err = confirm_drafts(w, &j);
    arena_free(j.scratch);
    return err;
}

static enum vx_err ingest_run(struct store_conn *w, void *ctx)
{
    struct ingest_job *j = ctx;
    memset(j->out, 0, sizeof *j->out);
    memset(j->idle, 0, (j->n + 1) * sizeof *j->idle);
    j->edit = 0;
    enum vx_err err = ingest_base(w, j);
    if (err == VX_OK)
        err = ingest_retract(w, j, j->retract_ids, j->n_retract);
    for (size_t i = 0; i < j->n && err == VX_OK; i++) {
        arena_reset(j->scratch);
        err = ingest_mark_idle(w, j, i);
        if (err != VX_OK)
            break;
        if (j->idle[i])
            j->out->unchanged++;
        else
            err = ingest_one(w, j, &j->seg[i]);
    }
    if (err == VX_OK && j->ended)
        err = confirm_drafts(w, j);
    return err == VX_OK ? events_tip(w, &j->out->cursor) : err;
}

static bool times_usable(const struct segment *s)
{
    return fabs(s->start) <= TIME_LIMIT && fabs(s->end) <= TIME_LIMIT &&
           (!s->has_confidence || isfinite(s->confidence)); /* false for NaN */
}

enum vx_err store_segments_ingest(struct store *st, int64_t meeting_id, const struct segment *seg,
                                  size_t n, const char *const *retract_ids, size_t n_retract,
                                  struct ingest_result *out)
{
    struct ingest_job j = {.meeting_id = meeting_id,
                           .seg = seg,
                           .n = n,
                           .retract_ids = retract_ids,
                           .n_retract = retract_ids != NULL ? n_retract : 0,
                           .out = out};
    for (size_t i = 0; i < n; i++)
        if (!times_usable(&seg[i]))
            return VX_ERR_VALIDATION;
    snprintf(j.topic, sizeof j.topic, "meeting/%lld", (long long)meeting_id);
    j.scratch = arena_new(SCRATCH_MAX);
    j.idle = calloc(n + 1, sizeof *j.idle);
    enum vx_err err = VX_ERR_NO_MEMORY;
    if (j.scratch != NULL && j.idle != NULL)
        err = store_write(st, ingest_run, &j);
    free(j.idle);
    arena_free(j.scratch);
    return err;
}

/* ---- what a reader has to forget ---- */

struct retracted {
    struct arena *a;
    const char **ids;
    size_t n, cap;
};

static enum vx_err retracted_add(struct retracted *r, const char *frame)
{
    struct json_object *o = frame != NULL ? json_tokener_parse(frame) : NULL, *list = NULL;
    enum vx_err err = VX_OK;
    if (json_object_object_get_ex(o, "segment_ids", &list) &&
        json_object_is_type(list, json_type_array)) {
        size_t more = json_object_array_length(list);
        if (r->n + more > r->cap) {
            size_t cap = 2 * (r->n + more);
            const char **wider = arena_alloc(r->a, cap * sizeof *wider);
            if (wider != NULL && r->n > 0)
                memcpy(wider, r->ids, r->n * sizeof *wider);
            r->ids = wider != NULL ? wider : r->ids;
            r->cap = wider != NULL ? cap : r->cap;
        }
        for (size_t i = 0; i < more && err == VX_OK; i++) {
            struct json_object *v = json_object_array_get_idx(list, i);
            const char *id = arena_strdup(r->a, json_object_get_string(v));
            if (id == NULL || r->n == r->cap)
                err = VX_ERR_NO_MEMORY;
            else
                r->ids[r->n++] = id;
        }
    }
    json_object_put(o);
    return err;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each id once, without those that came back. */
static enum vx_err retracted_keep_gone(struct store_conn *c, int64_t meeting_id,
                                       struct retracted *r)
{
    size_t kept = 0;
    if (r->n > 1)
        qsort(r->ids, r->n, sizeof *r->ids, by_text);
    for (size_t i = 0; i < r->n; i++) {
        int64_t one;
        bool found;
        if (kept > 0 && strcmp(r->ids[kept - 1], r->ids[i]) == 0)
            continue;
        enum vx_err err = sql_int(c, &one, &found,
                                  "SELECT 1 FROM segments WHERE meeting_id = ? AND segment_id = ?",
                                  "it", meeting_id, r->ids[i]);
        if (err != VX_OK)
            return err;
        if (!found)
            r->ids[kept++] = r->ids[i];
    }
    r->n = kept;
    return VX_OK;
}

enum vx_err store_segments_retracted(struct store_conn *c, struct arena *a, int64_t meeting_id,
                                     int64_t since, const char ***out, size_t *n)
{
    struct retracted r = {.a = a};
    char topic[64];
    sqlite3_stmt *st;
    snprintf(topic, sizeof topic, "meeting/%lld", (long long)meeting_id);
    *out = NULL;
    *n = 0;
    enum vx_err err = sql_begin(c, &st,
                                "SELECT data FROM events WHERE topic = ? AND id > ?"
                                " AND type = 'retract' ORDER BY id",
                                "ti", topic, since);
    if (err != VX_OK)
        return err;
    for (;;) {
        bool row;
        err = sql_step(c, st, &row);
        if (err != VX_OK || !row)
            break;
        err = retracted_add(&r, (const char *)sqlite3_column_text(st, 0));
        if (err != VX_OK)
            break;
    }
    sql_end(st);
    if (err == VX_OK)
        err = retracted_keep_gone(c, meeting_id, &r);
    if (err == VX_OK) {
        *out = r.ids;
        *n = r.n;
    }
    return err;
}
