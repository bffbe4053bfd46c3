/* The sweep of the events log. It is cut into steps so that no write is long and the caller's loop
 * goes on in between: first the leftovers of deleted meetings and keys whose time is over, then
 * age, then rows a topic.
 *
 * Age works from the head of the log and stops at the first event that is young: numbers, not
 * clocks, order the log, so after a clock that ran ahead events stay longer, never shorter. */
#include "lib/store_retention.h"

#include <stdio.h>
#include <string.h>

#include "lib/store_idempotency.h"
#include "lib/store_meetings.h"
#include "lib/store_sql.h"

#define BATCH       1000 /* rows of one write */
#define TOPICS_STEP 100  /* topics looked at in one step */

enum stage { STAGE_PURGE, STAGE_KEYS, STAGE_AGE, STAGE_TOPICS };

struct trim_job {
    const char *topic; /* NULL = all topics */
    int64_t before_ms; /* by age */
    int64_t upto;      /* of a topic: rows up to this one go */
    int64_t cut;       /* largest row of this write, 0 = none */
    size_t n;
};

/* The head of the log as far as it is old, at most BATCH rows. */
static enum vx_err find_age_cut(struct store_conn *c, struct trim_job *j)
{
    sqlite3_stmt *st;
    enum vx_err err =
        sql_begin(c, &st, "SELECT id, ts FROM events ORDER BY id LIMIT ?", "i", (int64_t)BATCH);
    if (err != VX_OK)
        return err;
    for (;;) {
        bool row;
        err = sql_step(c, st, &row);
        if (err != VX_OK || !row || sqlite3_column_int64(st, 1) >= j->before_ms)
            break;
        j->cut = sqlite3_column_int64(st, 0);
        j->n++;
    }
    sql_end(st);
    return err;
}

static enum vx_err trim_age_run(struct store_conn *w, void *ctx)
{
    struct trim_job *j = ctx;
    j->cut = 0;
    j->n = 0;
    enum vx_err err = find_age_cut(w, j);
    if (err != VX_OK || j->cut == 0)
        return err;
    err = sql_exec(w,
                   "INSERT INTO topic_floors (topic, floor, ended)"
                   " SELECT topic, MAX(id), MAX(CASE WHEN type = 'meeting-end' THEN 1 ELSE 0 END)"
                   " FROM events WHERE id <= ? GROUP BY topic"
                   " ON CONFLICT (topic) DO UPDATE SET"
                   " floor = CASE WHEN excluded.floor > topic_floors.floor"
                   "         THEN excluded.floor ELSE topic_floors.floor END,"
                   " ended = CASE WHEN excluded.ended > topic_floors.ended"
                   "         THEN excluded.ended ELSE topic_floors.ended END",
                   "i", j->cut);
    if (err == VX_OK)
        err = sql_exec(w, "DELETE FROM events WHERE id <= ?", "i", j->cut);
    return err;
}

static enum vx_err trim_topic_run(struct store_conn *w, void *ctx)
{
    struct trim_job *j = ctx;
    bool found;
    j->cut = j->upto;
    j->n = 0;
    enum vx_err err = sql_int(w, &j->cut, &found,
                              "SELECT id FROM events WHERE topic = ? AND id <= ?"
                              " ORDER BY id LIMIT 1 OFFSET ?",
                              "tii", j->topic, j->upto, (int64_t)BATCH - 1);
    if (err == VX_OK)
        err = sql_exec(w,
                       "INSERT INTO topic_floors (topic, floor, ended) SELECT topic, MAX(id),"
                       " MAX(CASE WHEN type = 'meeting-end' THEN 1 ELSE 0 END)"
                       " FROM events WHERE topic = ? AND id <= ? GROUP BY topic"
                       " ON CONFLICT (topic) DO UPDATE SET"
                       " floor = CASE WHEN excluded.floor > topic_floors.floor"
                       "         THEN excluded.floor ELSE topic_floors.floor END,"
                       " ended = CASE WHEN excluded.ended > topic_floors.ended"
                       "         THEN excluded.ended ELSE topic_floors.ended END",
                       "ti", j->topic, j->cut);
    if (err == VX_OK)
        err = sql_exec(w, "DELETE FROM events WHERE topic = ? AND id <= ?", "ti", j->topic, j->cut);
    if (err == VX_OK)
        j->n = (size_t)sql_changes(w);
    return err;
}

/* *more: the batch was full. */
static enum vx_err step_age(struct store *st, struct store_conn *rd, int64_t before_ms, bool *more)
{
    int64_t oldest = 0;
    bool found;
    struct trim_job j = {.before_ms = before_ms};
    *more = false;
    enum vx_err err = sql_int(rd, &oldest, &found, "SELECT ts FROM events ORDER BY id LIMIT 1", "");
    if (err != VX_OK || !found || oldest >= before_ms)
        return err;
    err = store_write(st, trim_age_run, &j);
    *more = err == VX_OK && j.n == BATCH;
    return err;
}

static enum vx_err next_topic(struct store_conn *rd, char topic[RETENTION_TOPIC_MAX], bool *found)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(
        rd, &st, "SELECT topic FROM events WHERE topic > ? ORDER BY topic LIMIT 1", "t", topic);
    if (err != VX_OK)
        return err;
    err = sql_step(rd, st, found);
    if (err == VX_OK && *found) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        if (name == NULL || strlen(name) >= RETENTION_TOPIC_MAX)
            err = VX_ERR_INTERNAL;
        else
            snprintf(topic, RETENTION_TOPIC_MAX, "%s", name);
    }
    sql_end(st);
    return err;
}

/* *upto: the largest row of the topic that is one too many; 0 = none. Numbers are given once, so a
 * topic whose first and last are close has few rows, and most are judged by these two. */
static enum vx_err find_excess(struct store_conn *rd, const char *topic, int64_t keep,
                               int64_t *upto)
{
    int64_t first = 0, last = 0;
    bool found;
    *upto = 0;
    enum vx_err err =
        sql_int(rd, &first, &found, "SELECT id FROM events WHERE topic = ? ORDER BY id LIMIT 1",
                "t", topic);
    if (err == VX_OK)
        err = sql_int(rd, &last, &found,
                      "SELECT id FROM events WHERE topic = ? ORDER BY id DESC LIMIT 1", "t", topic);
    if (err != VX_OK || last - first < keep)
        return err;
    return sql_int(rd, upto, &found,
                   "SELECT id FROM events WHERE topic = ? ORDER BY id DESC LIMIT 1 OFFSET ?", "ti",
                   topic, keep);
}

/* Topics until one had to be trimmed. *more: not the last topic yet. */
static enum vx_err step_topics(struct store *st, struct store_conn *rd, int64_t keep,
                               struct retention_sweep *at, bool *more)
{
    for (int i = 0; i < TOPICS_STEP; i++) {
        char topic[RETENTION_TOPIC_MAX];
        struct trim_job j = {.topic = topic};
        memcpy(topic, at->topic, sizeof topic);
        *more = false;
        enum vx_err err = next_topic(rd, topic, more);
        if (err != VX_OK || !*more)
            return err;
        err = find_excess(rd, topic, keep, &j.upto);
        if (err == VX_OK && j.upto > 0)
            err = store_write(st, trim_topic_run, &j);
        if (err != VX_OK)
            return err;
        if (j.n == BATCH)
            return VX_OK; /* the same topic again */
        memcpy(at->topic, topic, sizeof at->topic);
        if (j.n > 0)
            return VX_OK;
    }
    return VX_OK;
}

enum vx_err store_retention_step(struct store *st, struct store_conn *rd,
                                 const struct retention_limits *limits, struct retention_sweep *at,
                                 bool *done)
{
    bool more = false;
    enum vx_err err = VX_OK;
    *done = false;
    switch ((enum stage)at->stage) {
    case STAGE_PURGE:
        err = store_meeting_purge(st, rd, &more);
        break;
    case STAGE_KEYS:
        err = store_idempotency_sweep(st, rd, &more);
        break;
    case STAGE_AGE:
        if (limits->before_ms > 0)
            err = step_age(st, rd, limits->before_ms, &more);
        break;
    case STAGE_TOPICS:
        if (limits->per_topic > 0)
            err = step_topics(st, rd, limits->per_topic, at, &more);
        break;
    }
    if (err != VX_OK || more)
        return err;
    if (at->stage == STAGE_TOPICS) {
        *at = (struct retention_sweep){0};
        *done = true;
    } else {
        at->stage++;
    }
    return VX_OK;
}
