/* Where events come from: the log, read in bounded batches. Live: rows past hub->seen are read
 * once and given to every live stream of their topic. Behind: a stream's own topics are read from
 * its cursor up to hub->seen; then it is live. Both only ever see committed rows, because the
 * hub has a read connection of its own. Nothing moves seen or a cursor past a row that was not
 * read, so a fault costs time and never an event. */
#include "fcgi/hub_stream.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"

/* A batch being read. */
struct reading {
    struct hub *h;
    int n;     /* in h->entries */
    int limit; /* of n, for the read at hand */
    size_t bytes, max_bytes;
    int64_t upto; /* rows past it are left (INT64_MAX = none) */
    int64_t last; /* last row taken */
    bool hole;    /* numbers were missing between the rows */
    bool more;    /* stopped by a limit */
    bool no_memory;
    struct stream *one; /* feeding this stream; NULL = live */
    struct topic *topic;
};

void feed_fault(struct hub *h, enum vx_err err)
{
    if (!h->faulted)
        log_event(LOG_WARN_, "hub_read_failed", "code", vx_err_info(err)->code, NULL);
    h->faulted = true;
    h->retry_ms = h->now + HUB_RETRY_MS;
}

static void fault_over(struct hub *h)
{
    h->faulted = false;
}

/* The event as a frame; topic is its name for a merged stream, else NULL. */
static struct frame *make_frame(struct reading *r, unsigned request_id, const struct event *e,
                                const char *topic)
{
    struct buf *b = &r->h->text;
    struct frame *f = NULL;
    bool poll = r->one && r->one->poll;
    if (poll && frame_event_json(b, r->h->epoch, e, topic) == 0)
        f = frame_raw(b->data, b->len);
    else if (!poll && frame_event_text(b, r->h->epoch, e, topic) == 0)
        f = frame_new(request_id, b->data, b->len);
    if (b->failed || b->cap > HUB_BATCH_BYTES)
        buf_free(b); /* one huge event must not stay in memory */
    if (f)
        r->bytes += f->len;
    return f;
}

static void forget(struct hub *h, int n)
{
    for (int i = 0; i < n; i++) {
        struct entry *e = &h->entries[i];
        frame_unref(e->plain);
        frame_unref(e->merged);
        e->topic->first = e->topic->last = -1;
    }
}

static bool take_live(const struct event *e, void *ctx)
{
    struct reading *r = ctx;
    struct hub *h = r->h;
    struct topic *t = topic_find(h, e->topic);
    if (t) {
        struct entry en = {
            .id = e->id, .topic = t, .next = -1, .end_type = end_type_find(h, e->type)};
        if (t->n_plain)
            en.plain = make_frame(r, 1, e, NULL);
        if (t->n_merged)
            en.merged = make_frame(r, 1, e, t->name);
        if ((t->n_plain && !en.plain) || (t->n_merged && !en.merged)) {
            frame_unref(en.plain);
            frame_unref(en.merged);
            r->no_memory = true;
            return false;
        }
        if (t->first < 0)
            t->first = r->n;
        else
            h->entries[t->last].next = r->n;
        t->last = r->n;
        h->entries[r->n++] = en;
    }
    if (e->id != r->last + 1)
        r->hole = true;
    r->last = e->id;
    r->more = r->n == r->limit || r->bytes >= r->max_bytes;
    return !r->more;
}

/* Rows are missing: trimmed before they were given out? Streams of such topics go through
 * feed_behind(), which tells them. Those of a deleted meeting end here, also the parked ones. */
static enum vx_err look_at_floors(struct hub *h)
{
    for (size_t i = 0; i < h->n_buckets; i++) {
        for (struct topic *t = h->topics[i]; t; t = t->next) {
            int64_t floor = 0;
            enum topic_end end = TOPIC_OPEN;
            enum vx_err err = events_floor_end(h->db, t->name, &floor, &end);
            if (err)
                return err;
            if (floor <= h->seen)
                continue;
            for (struct sub *u = t->subs; u; u = u->next) {
                if (end == TOPIC_DELETED)
                    stream_part_retry(h, u->stream, false);
                else if (u->stream->live)
                    stream_fall_behind(h, u->stream);
            }
        }
    }
    return VX_OK;
}

static bool has_topic(const struct stream *s, const struct topic *t)
{
    for (int i = 0; i < s->n_topics; i++) {
        if (s->subs[i].topic == t)
            return true;
    }
    return false;
}

/* stream_send() for a stream whose request id is not the shared frames' 1. */
static int send_copies(struct hub *h, struct stream *s, struct frame *const *f, int n)
{
    struct frame *own[HUB_BATCH_EVENTS];
    int m = 0;
    while (m < n && (own[m] = frame_as(f[m], s->request_id)) != NULL)
        m++;
    int started = m > 0 ? stream_send(h, s, own, m) : 0;
    while (m > 0)
        frame_unref(own[--m]);
    return started;
}

/* Sends n frames (ids beside them) and moves the cursor. ends: the last one ends the stream. True
 * when all of them are out. */
static bool send_events(struct hub *h, struct stream *s, struct frame *const *f, const int64_t *ids,
                        int n, bool ends)
{
    int started = s->request_id == 1 ? stream_send(h, s, f, n) : send_copies(h, s, f, n);
    if (started < 0)
        return false;
    if (started < n)
        stream_fall_behind(h, s);
    if (started > 0)
        s->cursor = ids[started - 1];
    if (ends && started == n) {
        stream_part(h, s, NULL, true);
        return false;
    }
    return started == n && !s->parked;
}

/* Gives the batch at hand (n entries) to a live stream of topic t. */
static void give(struct hub *h, struct stream *s, struct topic *t, int n_entries)
{
    struct frame *f[HUB_BATCH_EVENTS];
    int64_t ids[HUB_BATCH_EVENTS];
    int n = 0;
    bool ends = false, merged = s->n_topics > 1;
    for (int i = merged ? 0 : t->first; i >= 0 && i < n_entries && !ends;
         i = merged ? i + 1 : h->entries[i].next) {
        const struct entry *e = &h->entries[i];
        if (e->id <= s->cursor || (merged && !has_topic(s, e->topic)))
            continue;
        f[n] = merged ? e->merged : e->plain;
        ids[n++] = e->id;
        ends = s->end_type && e->end_type == s->end_type;
    }
    if (n > 0)
        send_events(h, s, f, ids, n, ends);
}

static void give_all(struct hub *h, int n)
{
    h->batch++;
    for (int i = 0; i < n; i++) {
        struct topic *t = h->entries[i].topic;
        if (t->first != i)
            continue; /* its subscribers were served with its first event */
        for (struct sub *u = t->subs; u; u = u->next) {
            struct stream *s = u->stream;
            if (!s->live || s->batch == h->batch)
                continue;
            s->batch = h->batch;
            if (s->poll)
                stream_fall_behind(h, s);
            else
                give(h, s, t, n);
        }
    }
}

/* Where live delivery starts: the tip when the first stream came. The data version is read
 * before it, so no later commit goes unnoticed. */
static enum vx_err find_start(struct hub *h)
{
    enum vx_err err = store_data_version(h->db, &h->data_version);
    if (!err)
        err = events_tip(h->db, &h->seen);
    if (!err)
        h->have_seen = true;
    return err;
}

void feed_live(struct hub *h)
{
    if (!h->dirty || h->now < h->retry_ms)
        return;
    enum vx_err err = h->have_seen ? VX_OK : find_start(h);
    if (err) {
        feed_fault(h, err);
        return;
    }
    struct reading r = {
        .h = h,
        .limit = HUB_BATCH_EVENTS,
        .max_bytes = HUB_BATCH_BYTES,
        .upto = INT64_MAX,
        .last = h->seen,
    };
    int64_t last = h->seen;
    /* The limit is in rows; those of topics without a stream cost little, so look at more. */
    err = events_after(h->db, NULL, h->seen, HUB_BATCH_EVENTS * 4, take_live, &r, &last);
    if (!err && r.hole)
        err = look_at_floors(h);
    if (err || (r.no_memory && r.last == h->seen)) {
        forget(h, r.n);
        feed_fault(h, err ? err : VX_ERR_NO_MEMORY);
        return;
    }
    fault_over(h);
    give_all(h, r.n);
    forget(h, r.n);
    /* Anything read may be followed by more; an empty read is the end of it. */
    h->dirty = r.last > h->seen || r.more || r.no_memory;
    h->seen = r.last;
}

static bool take_behind(const struct event *e, void *ctx)
{
    struct reading *r = ctx;
    if (e->id > r->upto)
        return false;
    struct stream *s = r->one;
    struct frame *f = make_frame(r, s->request_id, e, s->n_topics > 1 ? r->topic->name : NULL);
    if (!f) {
        r->no_memory = true;
        return false;
    }
    r->h->entries[r->n++] = (struct entry){.id = e->id,
                                           .topic = r->topic,
                                           .plain = f,
                                           .next = -1,
                                           .end_type = end_type_find(r->h, e->type)};
    r->last = e->id;
    r->more = r->n == r->limit || r->bytes >= r->max_bytes;
    return !r->more;
}

/* Tells about rows that were trimmed under the stream's cursor. *told: something was said, the
 * rows come at the next turn. The stream ends when one of its topics was deleted (there is no hole
 * then: its owner wanted it gone), or when its end was trimmed: the handler tells both apart when
 * the client comes back. */
static enum vx_err tell_gaps(struct hub *h, struct stream *s, bool *told)
{
    int64_t floors[STREAM_TOPICS_MAX] = {0};
    enum topic_end end = TOPIC_OPEN;
    struct buf b;
    buf_init(&b, HUB_BATCH_BYTES);
    for (int i = 0; i < s->n_topics; i++) {
        struct sub *u = &s->subs[i];
        enum vx_err err = events_floor_end(h->db, u->topic->name, &floors[i], &end);
        if (err || end == TOPIC_DELETED) {
            buf_free(&b);
            if (err)
                return err;
            *told = true;
            stream_part_retry(h, s, false);
            return VX_OK;
        }
        if (floors[i] <= s->cursor || floors[i] <= u->told)
            floors[i] = 0;
        else
            frame_gap_text(&b, h->epoch, s->cursor > u->told ? s->cursor : u->told, floors[i],
                           s->n_topics > 1 ? u->topic->name : NULL);
    }
    if (b.failed)
        return VX_ERR_NO_MEMORY;
    *told = b.len > 0;
    if (*told) {
        stream_say(h, s, b.data);
        for (int i = 0; i < s->n_topics && !s->dead; i++) {
            if (floors[i])
                s->subs[i].told = floors[i];
        }
        if (s->n_topics == 1 && !s->dead)
            s->cursor = floors[0];
        if (end == TOPIC_END_TRIMMED && s->end_type)
            stream_part_retry(h, s, true);
    }
    buf_free(&b);
    return VX_OK;
}

/* Reads one batch of the stream's topics past its cursor. *horizon: everything of its topics up
 * to there is in the batch. Runs inside a snapshot. */
static enum vx_err read_behind(struct hub *h, struct stream *s, struct reading *r, int64_t *horizon)
{
    int share = HUB_BATCH_EVENTS / s->n_topics;
    *horizon = h->seen;
    for (int i = 0; i < s->n_topics; i++) {
        int64_t last = 0;
        r->topic = s->subs[i].topic;
        r->limit = r->n + share;
        r->bytes = 0;
        r->more = false;
        enum vx_err err =
            events_after(h->db, r->topic->name, s->cursor, share, take_behind, r, &last);
        if (!err && r->no_memory)
            err = VX_ERR_NO_MEMORY;
        if (err)
            return err;
        if (r->more && r->last < *horizon)
            *horizon = r->last;
    }
    return VX_OK;
}

static int by_id(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Puts what read_behind() found into a long poll's answer, as far as the horizon or as it holds. */
static void fill_poll(struct hub *h, struct stream *s, int n_entries, int64_t horizon)
{
    for (int i = 0; i < n_entries && h->entries[i].id <= horizon; i++) {
        const struct entry *e = &h->entries[i];
        if (!poll_add(h, s, (const char *)e->plain->data, e->plain->len))
            return;
        s->cursor = e->id;
        if ((s->end_type && e->end_type == s->end_type) || poll_is_full(s)) {
            poll_answer(h, s, s->end_type && e->end_type == s->end_type);
            return;
        }
    }
    s->cursor = horizon;
}

/* Sends what read_behind() found, as far as the horizon. */
static void send_behind(struct hub *h, struct stream *s, int n_entries, int64_t horizon)
{
    struct frame *f[HUB_BATCH_EVENTS];
    int64_t ids[HUB_BATCH_EVENTS];
    int n = 0;
    bool ends = false;
    if (s->n_topics > 1)
        qsort(h->entries, (size_t)n_entries, sizeof(h->entries[0]), by_id);
    if (s->poll) {
        fill_poll(h, s, n_entries, horizon);
        return;
    }
    for (int i = 0; i < n_entries && !ends && h->entries[i].id <= horizon; i++) {
        f[n] = h->entries[i].plain;
        ids[n++] = h->entries[i].id;
        ends = s->end_type && h->entries[i].end_type == s->end_type;
    }
    if (n > 0 && !send_events(h, s, f, ids, n, ends))
        return;
    s->cursor = horizon;
}

static void catch_up(struct hub *h, struct stream *s)
{
    s->live = true;
    if (s->poll)
        poll_settle(h, s);
}

/* One batch for one stream. Puts it back in the queue unless it is live or cannot go on. */
static enum vx_err feed_one(struct hub *h, struct stream *s)
{
    struct reading r = {
        .h = h,
        .one = s,
        .max_bytes = HUB_BATCH_BYTES / 4 / s->n_topics,
        .upto = h->seen,
    };
    int64_t horizon = 0;
    bool told = false;
    enum vx_err err = store_snapshot_begin(h->db);
    if (!err) {
        err = tell_gaps(h, s, &told);
        if (!err && !told)
            err = read_behind(h, s, &r, &horizon);
        store_snapshot_end(h->db);
    }
    if (!err && !told)
        send_behind(h, s, r.n, horizon);
    forget(h, r.n);
    if (!s->dead && !s->parked && !s->closing) {
        if (s->cursor >= h->seen)
            catch_up(h, s);
        else
            stream_fall_behind(h, s);
    }
    return err;
}

void feed_behind(struct hub *h, int n)
{
    if (!h->have_seen || h->now < h->retry_ms)
        return;
    for (; n > 0 && !link_empty(&h->behind); n--) {
        struct stream *s = stream_of_ready(h->behind.next);
        link_remove(&s->ready);
        if (s->cursor >= h->seen) {
            catch_up(h, s);
            continue;
        }
        enum vx_err err = feed_one(h, s);
        if (err) {
            feed_fault(h, err);
            return;
        }
        fault_over(h);
    }
}
