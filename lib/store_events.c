/* The events log: appending inside a write, reading by cursor. */
#include "lib/store_events.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/store_sql.h"

enum vx_err events_append(struct store_conn *w, const char *topic, const char *type,
                          const char *data, int64_t *id)
{
    enum vx_err err = sql_exec(w, "INSERT INTO events (topic, type, data, ts) VALUES (?, ?, ?, ?)",
                               "ttti", topic, type, data, clock_now_ms());
    if (err != VX_OK)
        return err;
    if (id != NULL)
        *id = sql_last_id(w);
    return VX_OK;
}

enum vx_err events_after(struct store_conn *c, const char *topic, int64_t after, int limit,
                         events_fn *fn, void *ctx, int64_t *last)
{
    sqlite3_stmt *st;
    enum vx_err err;
    if (topic != NULL)
        err = sql_begin(c, &st,
                        "SELECT id, ts, topic, type, data FROM events"
                        " WHERE topic = ? AND id > ? ORDER BY id LIMIT ?",
                        "tii", topic, after, (int64_t)limit);
    else
        err = sql_begin(c, &st,
                        "SELECT id, ts, topic, type, data FROM events"
                        " WHERE id > ? ORDER BY id LIMIT ?",
                        "ii", after, (int64_t)limit);
    if (err != VX_OK)
        return err;
    for (;;) {
        bool row;
        err = sql_step(c, st, &row);
        if (err != VX_OK || !row)
            break;
        struct event e = {
            .id = sqlite3_column_int64(st, 0),
            .ts = sqlite3_column_int64(st, 1),
            .topic = (const char *)sqlite3_column_text(st, 2),
            .type = (const char *)sqlite3_column_text(st, 3),
            .data = (const char *)sqlite3_column_text(st, 4),
        };
        e.data_len = (size_t)sqlite3_column_bytes(st, 4);
        if (e.topic == NULL || e.type == NULL || e.data == NULL) {
            err = VX_ERR_NO_MEMORY; /* the columns are NOT NULL */
            break;
        }
        if (last != NULL)
            *last = e.id;
        if (!fn(&e, ctx))
            break;
    }
    sql_end(st);
    return err;
}

enum vx_err events_tip(struct store_conn *c, int64_t *tip)
{
    bool found;
    *tip = 0;
    /* The sequence, not MAX(id): after a trim the newest rows may be gone, the numbers are not. */
    return sql_int(c, tip, &found, "SELECT seq FROM sqlite_sequence WHERE name = 'events'", "");
}

enum vx_err events_floor(struct store_conn *c, const char *topic, int64_t *floor)
{
    bool found;
    *floor = 0;
    return sql_int(c, floor, &found, "SELECT floor FROM topic_floors WHERE topic = ?", "t", topic);
}

enum vx_err events_floor_end(struct store_conn *c, const char *topic, int64_t *floor,
                             enum topic_end *end)
{
    sqlite3_stmt *st;
    bool row;
    *floor = 0;
    *end = TOPIC_OPEN;
    enum vx_err err =
        sql_begin(c, &st, "SELECT floor, ended FROM topic_floors WHERE topic = ?", "t", topic);
    if (err != VX_OK)
        return err;
    err = sql_step(c, st, &row);
    if (err == VX_OK && row) {
        int64_t ended = sqlite3_column_int64(st, 1);
        *floor = sqlite3_column_int64(st, 0);
        *end = ended == TOPIC_DELETED       ? TOPIC_DELETED
               : ended == TOPIC_END_TRIMMED ? TOPIC_END_TRIMMED
                                            : TOPIC_OPEN;
    }
    sql_end(st);
    return err;
}

enum vx_err events_last_of_type(struct store_conn *c, const char *topic, const char *type,
                                int64_t *id)
{
    bool found;
    *id = 0;
    if (strcmp(type, "meeting-end") == 0) /* a literal, so that the partial index serves it */
        return sql_int(c, id, &found,
                       "SELECT id FROM events WHERE topic = ? AND type = 'meeting-end'"
                       " ORDER BY id DESC LIMIT 1",
                       "t", topic);
    return sql_int(c, id, &found,
                   "SELECT id FROM events WHERE topic = ? AND type = ? ORDER BY id DESC LIMIT 1",
                   "tt", topic, type);
}

enum vx_err events_cursor_before_last(struct store_conn *c, const char *topic, int64_t n,
                                      int64_t *cursor)
{
    int64_t id = 0;
    bool found = false;
    *cursor = 0;
    if (n <= 0)
        return events_tip(c, cursor);
    enum vx_err err = sql_int(c, &id, &found,
                              "SELECT id FROM events WHERE topic = ?"
                              " ORDER BY id DESC LIMIT 1 OFFSET ?",
                              "ti", topic, n - 1);
    if (err == VX_OK && found)
        *cursor = id - 1;
    return err;
}

/* The n largest numbers seen so far, the smallest of them on top. */
struct newest {
    int64_t *v;
    size_t n, max;
};

static void sink(struct newest *h, size_t i)
{
    for (;;) {
        size_t least = i, left = 2 * i + 1;
        for (size_t k = left; k < left + 2 && k < h->n; k++)
            if (h->v[k] < h->v[least])
                least = k;
        if (least == i)
            return;
        int64_t t = h->v[i];
        h->v[i] = h->v[least];
        h->v[least] = t;
        i = least;
    }
}

static void put_newest(struct newest *h, int64_t id)
{
    if (h->n == h->max) {
        if (id <= h->v[0])
            return;
        h->v[0] = id;
        sink(h, 0);
        return;
    }
    size_t i = h->n++;
    h->v[i] = id;
    for (; i > 0 && h->v[(i - 1) / 2] > h->v[i]; i = (i - 1) / 2) {
        int64_t t = h->v[i];
        h->v[i] = h->v[(i - 1) / 2];
        h->v[(i - 1) / 2] = t;
    }
}

static enum vx_err collect_newest(struct store_conn *c, const char *topic, struct newest *h)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(
        c, &st, "SELECT id FROM events WHERE topic = ? AND id > ? ORDER BY id DESC LIMIT ?", "tii",
        topic, h->n == h->max ? h->v[0] : (int64_t)0, (int64_t)h->max);
    if (err != VX_OK)
        return err;
    for (bool row = true; err == VX_OK && row;) {
        err = sql_step(c, st, &row);
        if (err == VX_OK && row)
            put_newest(h, sqlite3_column_int64(st, 0));
    }
    sql_end(st);
    return err;
}

enum vx_err events_cursor_before_last_of(struct store_conn *c, struct arena *a,
                                         const char *const *topics, size_t n_topics, int64_t n,
                                         int64_t *cursor)
{
    enum vx_err err = VX_OK;
    if (n_topics == 1 || n <= 0)
        return events_cursor_before_last(c, n_topics > 0 ? topics[0] : "", n, cursor);
    struct newest h = {.v = arena_alloc(a, (size_t)n * sizeof(int64_t)), .max = (size_t)n};
    *cursor = 0;
    if (h.v == NULL)
        return VX_ERR_NO_MEMORY;
    for (size_t i = 0; i < n_topics && err == VX_OK; i++)
        err = collect_newest(c, topics[i], &h);
    if (err == VX_OK && h.n == h.max)
        *cursor = h.v[0] - 1;
    return err;
}
