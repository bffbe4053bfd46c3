/* Idempotency keys: whose work it is, what is kept, what a lease and a day mean, and the sweep. */
#include "tests/unit/store_fixture.h"

#include <pthread.h>

#include "lib/clock.h"
#include "lib/store_idempotency.h"
#include "lib/store_retention.h"

static const unsigned char one[SECRET_SHA256] = {1}, two[SECRET_SHA256] = {2};

static enum vx_err claim(struct fixture *f, int64_t user, const char *path, const char *key,
                         const unsigned char *fingerprint, struct idempotency_outcome *out)
{
    struct idempotency_scope scope = {user, "POST", path, key};
    return store_idempotency_claim(f->st, f->db, f->a, &scope, fingerprint, out);
}

static int64_t rows(struct fixture *f)
{
    int64_t n;
    bool found;
    assert_int_equal(sql_int(f->db, &n, &found, "SELECT COUNT(*) FROM idempotency", ""), VX_OK);
    return n;
}

static void test_kept_answer(void **state)
{
    struct fixture *f = *state;
    struct idempotency_outcome o;
    struct store_stats before, after;
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_true(o.claim > 0);
    int64_t first = o.claim;
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_ERR_IDEMPOTENCY_IN_PROGRESS);
    assert_int_equal(claim(f, 1, "/bots", "k", two, &o), VX_ERR_IDEMPOTENCY_MISMATCH);
    assert_int_equal(o.claim, 0);
    assert_int_equal(store_idempotency_keep(f->st, first, 201, "{\"id\":7}"), VX_OK);
    store_stats(f->st, &before);
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_int_equal(o.claim, 0);
    assert_int_equal(o.status, 201);
    assert_string_equal(o.body, "{\"id\":7}");
    assert_int_equal(claim(f, 1, "/bots", "k", two, &o), VX_ERR_IDEMPOTENCY_MISMATCH);
    store_stats(f->st, &after);
    assert_int_equal(after.writes, before.writes); /* repeating needs no write */
    /* A kept answer is neither replaced nor freed. */
    assert_int_equal(store_idempotency_keep(f->st, first, 500, "x"), VX_ERR_INVALID_STATE);
    assert_int_equal(store_idempotency_free(f->st, first), VX_OK);
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_string_equal(o.body, "{\"id\":7}");
}

static void test_scope(void **state)
{
    struct fixture *f = *state;
    struct idempotency_outcome o;
    struct idempotency_scope put = {1, "PUT", "/bots", "k"};
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_int_equal(claim(f, 2, "/bots", "k", two, &o), VX_OK);
    assert_true(o.claim > 0);
    assert_int_equal(claim(f, 0, "/bots", "k", two, &o), VX_OK);
    assert_int_equal(claim(f, 1, "/events", "k", two, &o), VX_OK);
    assert_int_equal(claim(f, 1, "/bots", "K", two, &o), VX_OK);
    assert_int_equal(store_idempotency_claim(f->st, f->db, f->a, &put, two, &o), VX_OK);
    assert_true(o.claim > 0);
    assert_int_equal(rows(f), 6);
}

static void test_freed_and_lease(void **state)
{
    struct fixture *f = *state;
    struct idempotency_outcome o;
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_int_equal(store_idempotency_free(f->st, o.claim), VX_OK);
    assert_int_equal(rows(f), 0);
    assert_int_equal(claim(f, 1, "/bots", "k", two, &o), VX_OK); /* another body is fine now */
    int64_t late = o.claim;
    fixture_sql(f, "UPDATE idempotency SET expires_ms = 1000");
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_true(o.claim > late);
    /* Who comes back after the lease has no say any more. */
    assert_int_equal(store_idempotency_keep(f->st, late, 201, "late"), VX_ERR_INVALID_STATE);
    assert_int_equal(store_idempotency_free(f->st, late), VX_OK);
    assert_int_equal(store_idempotency_keep(f->st, o.claim, 201, "in time"), VX_OK);
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_string_equal(o.body, "in time");
    /* The day is over, swept or not. */
    fixture_sql(f, "UPDATE idempotency SET expires_ms = 1000");
    assert_int_equal(claim(f, 1, "/bots", "k", two, &o), VX_OK);
    assert_true(o.claim > 0);
    /* A lease from a clock that ran a day ahead does not hold the key for that day. */
    fixture_sql(f, "UPDATE idempotency SET expires_ms = expires_ms + 86400000");
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_true(o.claim > 0);
    assert_int_equal(rows(f), 1);
}

static void test_times(void **state)
{
    struct fixture *f = *state;
    struct idempotency_outcome o;
    int64_t until, now = clock_now_ms();
    bool found;
    static const char sql[] = "SELECT expires_ms FROM idempotency";
    assert_int_equal(claim(f, 1, "/bots", "k", one, &o), VX_OK);
    assert_int_equal(sql_int(f->db, &until, &found, sql, ""), VX_OK);
    assert_in_range(until, now + 60000, now + 65000);
    assert_int_equal(store_idempotency_keep(f->st, o.claim, 201, ""), VX_OK);
    assert_int_equal(sql_int(f->db, &until, &found, sql, ""), VX_OK);
    assert_in_range(until, now + 86400000, now + 86405000);
}

static const char *kept_body(void *ctx)
{
    int64_t *id = ctx;
    return *id > 0 ? "{\"token\":null}" : NULL; /* asked when the work is done */
}

static void test_kept_with_the_work(void **state)
{
    struct fixture *f = *state;
    struct idempotency_outcome o;
    struct token *list;
    int64_t id = 0;
    size_t n;
    assert_int_equal(claim(f, 0, "/tokens", "k", one, &o), VX_OK);
    struct idempotency_keep keep = {o.claim, 201, kept_body, &id};
    /* Work that fails keeps nothing. */
    assert_int_equal(store_token_create(f->st, 999, "s", "bot", NULL, 0, &id, &keep),
                     VX_ERR_USER_NOT_FOUND);
    assert_int_equal(claim(f, 0, "/tokens", "k", one, &o), VX_ERR_IDEMPOTENCY_IN_PROGRESS);
    assert_int_equal(store_token_create(f->st, f->user, "s", "bot", NULL, 0, &id, &keep), VX_OK);
    assert_int_equal(claim(f, 0, "/tokens", "k", one, &o), VX_OK);
    assert_int_equal(o.status, 201);
    assert_string_equal(o.body, "{\"token\":null}");
    /* The lease ran out and another request has the key: nothing is done twice. */
    assert_int_equal(claim(f, 0, "/tokens", "late", one, &o), VX_OK);
    keep.claim = o.claim;
    fixture_sql(f, "UPDATE idempotency SET expires_ms = 1000 WHERE key = 'late'");
    assert_int_equal(claim(f, 0, "/tokens", "late", one, &o), VX_OK);
    assert_int_equal(store_token_create(f->st, f->user, "t", "bot", NULL, 0, &id, &keep),
                     VX_ERR_IDEMPOTENCY_IN_PROGRESS);
    assert_int_equal(store_token_list(f->db, f->a, f->user, &list, &n), VX_OK);
    assert_int_equal(n, 1);
    /* The same for a meeting. */
    struct meeting m = {0};
    struct bot_conflict why;
    struct bot_request rq = {.user_id = f->user,
                             .max_concurrent = 3,
                             .platform = "google_meet",
                             .native_id = "abc-defg-hij",
                             .url = "https://meet.google.com/x",
                             .data = "{}",
                             .launch = "{}",
                             .keep = &keep};
    assert_int_equal(store_meeting_request_bot(f->st, f->a, &rq, &m, &why),
                     VX_ERR_IDEMPOTENCY_IN_PROGRESS);
    keep.claim = o.claim;
    assert_int_equal(store_meeting_request_bot(f->st, f->a, &rq, &m, &why), VX_OK);
    assert_int_equal(claim(f, 0, "/tokens", "late", one, &o), VX_OK);
    assert_int_equal(o.claim, 0);
}

struct racer {
    struct fixture *f;
    pthread_t thread;
    enum vx_err err;
    bool won;
};

static void *race(void *ctx)
{
    struct racer *r = ctx;
    struct store_conn *db = NULL;
    struct arena *a = arena_new(1 << 20);
    struct idempotency_scope scope = {1, "POST", "/bots", "race"};
    struct idempotency_outcome o = {0};
    r->err = a ? store_reader_open(r->f->st, &db) : VX_ERR_NO_MEMORY;
    if (!r->err) {
        r->err = store_idempotency_claim(r->f->st, db, a, &scope, one, &o);
        r->won = o.claim > 0;
        store_reader_close(db);
    }
    arena_free(a);
    return NULL;
}

static void test_one_wins(void **state)
{
    struct racer racers[16] = {{0}};
    int won = 0;
    for (size_t i = 0; i < 16; i++) {
        racers[i].f = *state;
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < 16; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_int_equal(racers[i].err, racers[i].won ? VX_OK : VX_ERR_IDEMPOTENCY_IN_PROGRESS);
        won += racers[i].won;
    }
    assert_int_equal(won, 1);
}

static void test_sweep(void **state)
{
    struct fixture *f = *state;
    bool more, done = false;
    fixture_sql(f, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2300)"
                   " INSERT INTO idempotency (user_id, method, path, key, fingerprint, created_ms,"
                   " expires_ms) SELECT 1, 'POST', '/bots', i, zeroblob(32), 0,"
                   " CASE WHEN i <= 2200 THEN i ELSE 9000000000000 END FROM n");
    assert_int_equal(store_idempotency_sweep(f->st, f->db, &more), VX_OK);
    assert_true(more);
    assert_int_equal(rows(f), 1300);
    struct retention_sweep at = {0};
    struct retention_limits limits = {0};
    for (int steps = 0; !done; steps++) {
        assert_true(steps < 20);
        assert_int_equal(store_retention_step(f->st, f->db, &limits, &at, &done), VX_OK);
    }
    assert_int_equal(rows(f), 100); /* those whose time is not over */
    assert_int_equal(store_idempotency_sweep(f->st, f->db, &more), VX_OK);
    assert_false(more);
    assert_int_equal(rows(f), 100);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_kept_answer),        T(test_scope),    T(test_freed_and_lease), T(test_times),
        T(test_kept_with_the_work), T(test_one_wins), T(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
