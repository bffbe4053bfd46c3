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
