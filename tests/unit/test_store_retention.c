/* Retention: what is trimmed, what a floor says, and that a sweep is made of small writes. */
#include "tests/unit/store_fixture.h"

#include "lib/clock.h"
#include "lib/store_retention.h"

struct fill {
    const char *topic, *type;
    int n;
};

static enum vx_err fill_run(struct store_conn *w, void *ctx)
{
    const struct fill *p = ctx;
    for (int i = 0; i < p->n; i++) {
        enum vx_err err = events_append(w, p->topic, p->type, "{}", NULL);
        if (err != VX_OK)
            return err;
    }
    return VX_OK;
}

static void fill(struct fixture *f, const char *topic, const char *type, int n)
{
    struct fill p = {topic, type, n};
    assert_int_equal(store_write(f->st, fill_run, &p), VX_OK);
}

static int64_t count(struct fixture *f, const char *topic)
{
    int64_t n;
    bool found;
    assert_int_equal(
        sql_int(f->db, &n, &found, "SELECT COUNT(*) FROM events WHERE topic = ?", "t", topic),
        VX_OK);
    return n;
}

/* A whole sweep; no step takes more than 1,000 rows. Returns the steps. */
static int sweep(struct fixture *f, int64_t before_ms, int64_t per_topic)
{
    struct retention_sweep at = {0};
    struct retention_limits limits = {before_ms, per_topic};
    bool done = false, found;
    int steps = 0;
    while (!done) {
        int64_t before, after;
        assert_int_equal(sql_int(f->db, &before, &found, "SELECT COUNT(*) FROM events", ""), VX_OK);
        assert_int_equal(store_retention_step(f->st, f->db, &limits, &at, &done), VX_OK);
        assert_int_equal(sql_int(f->db, &after, &found, "SELECT COUNT(*) FROM events", ""), VX_OK);
        assert_true(before - after <= 1000);
        assert_true(++steps < 1000);
    }
    return steps;
}

static void test_rows_of_a_topic(void **state)
{
    struct fixture *f = *state;
    int64_t floor;
    enum topic_end end;
    struct fixture_log l;
    fill(f, "meeting/1", "x", 2500);
    fill(f, "meeting/2", "x", 300);
    fill(f, "meeting/1", "x", 300);
    fill(f, "meeting/3", "x", 301);
    sweep(f, 0, 300);
    assert_int_equal(count(f, "meeting/1"), 300);
    assert_int_equal(count(f, "meeting/2"), 300);
    assert_int_equal(count(f, "meeting/3"), 300);
    fixture_events(f, "meeting/1", 0, &l);
    assert_int_equal(l.id[0], 2801); /* the oldest ones went, the newest stay */
    assert_int_equal(events_floor_end(f->db, "meeting/1", &floor, &end), VX_OK);
    assert_int_equal(floor, 2500);
    assert_int_equal(end, TOPIC_OPEN);
    assert_int_equal(events_floor_end(f->db, "meeting/2", &floor, &end), VX_OK);
    assert_int_equal(floor, 0); /* nothing was trimmed: no gap may be told */
    assert_int_equal(events_floor(f->db, "meeting/3", &floor), VX_OK);
    assert_int_equal(floor, 3101);
    int64_t tip = fixture_tip(f);
    sweep(f, 0, 300);
    sweep(f, 0, 0);
    assert_int_equal(count(f, "meeting/1"), 300);
    assert_int_equal(fixture_tip(f), tip);
}

static void test_age(void **state)
{
    struct fixture *f = *state;
    int64_t floor, now = clock_now_ms();
    enum topic_end end;
    fill(f, "meeting/1", "x", 1200);
    fill(f, "meeting/1", "meeting-end", 1);
    fill(f, "user/1", "x", 1);
    fixture_sql(f, "UPDATE events SET ts = 1000");
    fill(f, "user/1", "x", 2);
    fill(f, "meeting/1", "x", 1); /* late, after the end */
    sweep(f, 0, 0);
    assert_int_equal(count(f, "meeting/1"), 1202);
    sweep(f, now - 60000, 0);
    assert_int_equal(count(f, "meeting/1"), 1);
    assert_int_equal(count(f, "user/1"), 2);
    assert_int_equal(events_floor_end(f->db, "meeting/1", &floor, &end), VX_OK);
    assert_int_equal(floor, 1201);
    assert_int_equal(end, TOPIC_END_TRIMMED);
    assert_int_equal(events_floor_end(f->db, "user/1", &floor, &end), VX_OK);
    assert_int_equal(floor, 1202);
    assert_int_equal(end, TOPIC_OPEN);
    /* Everything old: the numbers go on all the same. */
    int64_t tip = fixture_tip(f);
    sweep(f, now + 60000, 0);
    assert_int_equal(count(f, "user/1"), 0);
    assert_int_equal(events_floor_end(f->db, "meeting/1", &floor, &end), VX_OK);
    assert_int_equal(floor, tip);
    assert_int_equal(end, TOPIC_END_TRIMMED); /* never forgotten */
    fill(f, "user/1", "x", 1);
    assert_int_equal(fixture_tip(f), tip + 1);
}

/* An event with a clock of the future keeps what is behind it: longer, never shorter. */
static void test_clock_that_ran_ahead(void **state)
{
    struct fixture *f = *state;
    fill(f, "a", "x", 3);
    fixture_sql(f,
                "UPDATE events SET ts = 1000; UPDATE events SET ts = 9000000000000 WHERE id = 2");
    sweep(f, clock_now_ms(), 0);
    assert_int_equal(count(f, "a"), 2);
}

static void test_many_topics(void **state)
{
    struct fixture *f = *state;
    char topic[32];
    for (int i = 0; i < 250; i++) {
        snprintf(topic, sizeof topic, "meeting/%d", i);
        fill(f, topic, "x", 3);
    }
    int steps = sweep(f, 0, 5);
    assert_true(steps <= 6); /* quiet topics share steps */
    sweep(f, 0, 2);
    for (int i = 0; i < 250; i++) {
        snprintf(topic, sizeof topic, "meeting/%d", i);
        assert_int_equal(count(f, topic), 2);
    }
}

static void test_requeue(void **state)
{
    struct fixture *f = *state;
    struct meeting m;
    struct bot_conflict why;
    struct workload w;
    bool pending;
    assert_int_equal(fixture_bot(f, f->user, "req-ueue-one", 3, &m, &why), VX_OK);
    assert_int_equal(store_workload_requeue(f->st, m.workload_id), VX_ERR_INVALID_STATE);
    assert_int_equal(store_workload_claim(f->st, f->a, "r1", 60000, &w), VX_OK);
    assert_int_equal(store_workload_started(f->st, w.id, 4711, 5), VX_OK);
    assert_int_equal(store_workload_requeue(f->st, w.id), VX_OK);
    assert_int_equal(store_workload_pending(f->db, &pending), VX_OK);
    assert_true(pending); /* at once, whatever the lease was */
    assert_int_equal(store_workload_claim(f->st, f->a, "r2", 60000, &w), VX_OK);
    assert_string_equal(w.id, m.workload_id);
    assert_int_equal(w.pid, 0);
    assert_int_equal(w.started_ms, 0);
    assert_int_equal(store_workload_started(f->st, w.id, 4712, 6), VX_OK);
    /* It spoke: it is no longer as good as new. */
    fixture_sql(f, "UPDATE meetings SET status = 'joining'");
    assert_int_equal(store_workload_requeue(f->st, w.id), VX_ERR_INVALID_STATE);
    fixture_sql(f, "UPDATE meetings SET status = 'requested', stop_requested_ms = 1");
    assert_int_equal(store_workload_requeue(f->st, w.id), VX_ERR_INVALID_STATE);
    fixture_sql(f, "UPDATE meetings SET stop_requested_ms = NULL");
    assert_int_equal(store_workload_running(f->st, w.id), VX_OK);
    assert_int_equal(store_workload_requeue(f->st, w.id), VX_ERR_INVALID_STATE);
    assert_int_equal(store_workload_requeue(f->st, "nobody"), VX_ERR_INVALID_STATE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_rows_of_a_topic), T(test_age),     T(test_clock_that_ran_ahead),
        T(test_many_topics),     T(test_requeue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
