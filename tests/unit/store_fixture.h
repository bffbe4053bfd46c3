/* A store in a fresh folder, for the tests of lib/store_*.c: open, count, and damage by hand. */
#ifndef VX_STORE_FIXTURE_H
#define VX_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/log.h"
#include "lib/store_events.h"
#include "lib/store_meetings.h"
#include "lib/store_segments.h"
#include "lib/store_sql.h"
#include "lib/store_users.h"
#include "lib/store_workloads.h"

struct fixture {
    char dir[64], path[96];
    struct store *st;
    struct store_conn *db;
    struct arena *a;
    int64_t user, other;
};

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct user u;
    bool created;
    assert_non_null(f);
    int n = snprintf(f->dir, sizeof f->dir, "/tmp/vexa-store-");
    memset(f->dir + n, 'X', 6);
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/vexa.db", f->dir);
    assert_int_equal(store_open(f->path, 5000, STORE_CREATE, &f->st), VX_OK);
    assert_int_equal(store_reader_open(f->st, &f->db), VX_OK);
    f->a = arena_new(64u << 20);
    assert_non_null(f->a);
    assert_int_equal(store_user_create(f->st, f->a, "ada@example.org", "Ada", 3, &u, &created),
                     VX_OK);
    f->user = u.id;
    assert_int_equal(store_user_create(f->st, f->a, "bob@example.org", NULL, 3, &u, &created),
                     VX_OK);
    f->other = u.id;
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const tails[] = {"", "-wal", "-shm", ".lock", ".gate"};
    char path[128];
    store_reader_close(f->db);
    store_close(f->st);
    arena_free(f->a);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        snprintf(path, sizeof path, "%s%s", f->path, tails[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static inline enum vx_err fixture_sql_run(struct store_conn *w, void *sql)
{
    return sqlite3_exec(w->db, sql, NULL, NULL, NULL) == SQLITE_OK ? VX_OK : VX_ERR_INTERNAL;
}

/* Any statement, committed: the hand that damages or ages a row. */
static inline void fixture_sql(struct fixture *f, const char *sql)
{
    assert_int_equal(store_write(f->st, fixture_sql_run, (void *)(uintptr_t)sql), VX_OK);
}

struct fixture_log {
    struct arena *a;
    size_t n;
    const char *topic[600], *type[600], *data[600];
    int64_t id[600];
};

static inline bool fixture_keep(const struct event *e, void *ctx)
{
    struct fixture_log *l = ctx;
    assert_true(l->n < 600);
    assert_int_equal(e->data_len, strlen(e->data));
    l->topic[l->n] = arena_strdup(l->a, e->topic);
    l->type[l->n] = arena_strdup(l->a, e->type);
    l->data[l->n] = arena_strdup(l->a, e->data);
    l->id[l->n++] = e->id;
    return true;
}

/* The events of a topic (NULL: all) after a cursor. */
static inline void fixture_events(struct fixture *f, const char *topic, int64_t after,
                                  struct fixture_log *l)
{
    int64_t last;
    l->a = f->a;
    l->n = 0;
    assert_int_equal(events_after(f->db, topic, after, 600, fixture_keep, l, &last), VX_OK);
}

static inline int64_t fixture_tip(struct fixture *f)
{
    int64_t tip;
    assert_int_equal(events_tip(f->db, &tip), VX_OK);
    return tip;
}

/* Asks for a bot in google_meet/<native>; *m is the row. */
static inline enum vx_err fixture_bot(struct fixture *f, int64_t user, const char *native,
                                      int64_t cap, struct meeting *m, struct bot_conflict *why)
{
    struct bot_request rq = {.user_id = user,
                             .max_concurrent = cap,
                             .platform = "google_meet",
                             .native_id = native,
                             .url = "https://meet.google.com/x",
                             .data = "{\"transcribe_enabled\":true}",
                             .launch = "{\"bot_name\":\"Vexa\"}"};
    return store_meeting_request_bot(f->st, f->a, &rq, m, why);
}

#endif
