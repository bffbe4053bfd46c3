/* The events log: order, topics, cursors, and numbers that outlive their rows. */
#include "tests/unit/store_fixture.h"

struct append {
    const char *topic, *type, *data;
    int64_t id;
    enum vx_err answer;
};

static enum vx_err append_run(struct store_conn *w, void *ctx)
{
    struct append *p = ctx;
    enum vx_err err = events_append(w, p->topic, p->type, p->data, &p->id);
    return err != VX_OK ? err : p->answer;
}

static int64_t append(struct fixture *f, const char *topic, const char *type)
{
    struct append p = {topic, type, "{}", 0, VX_OK};
    assert_int_equal(store_write(f->st, append_run, &p), VX_OK);
    return p.id;
}

static bool stop_at_first(const struct event *e, void *ctx)
{
    (*(int *)ctx)++;
    (void)e;
    return false;
}

static void test_order_and_topics(void **state)
{
    struct fixture *f = *state;
    struct fixture_log l;
    int64_t a1 = append(f, "meeting/1", "x"), b1 = append(f, "meeting/2", "x");
    int64_t a2 = append(f, "meeting/1", "y");
    int64_t last = -1;
    int calls = 0;
    assert_true(a1 < b1 && b1 < a2);
    fixture_events(f, "meeting/1", 0, &l);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.id[0], a1);
    assert_int_equal(l.id[1], a2);
    fixture_events(f, "meeting/1", a1, &l);
    assert_int_equal(l.n, 1);
    fixture_events(f, NULL, a1, &l);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.topic[0], "meeting/2");
    assert_int_equal(events_after(f->db, NULL, 0, 10, stop_at_first, &calls, &last), VX_OK);
    assert_int_equal(calls, 1);
    assert_int_equal(last, a1);
    last = -1;
    assert_int_equal(events_after(f->db, NULL, a2, 10, stop_at_first, &calls, &last), VX_OK);
    assert_int_equal(last, -1);
}

static void test_type_and_replay_cursor(void **state)
{
    struct fixture *f = *state;
    int64_t id, cursor;
    assert_int_equal(events_last_of_type(f->db, "t", "end", &id), VX_OK);
    assert_int_equal(id, 0);
    int64_t e1 = append(f, "t", "x"), end = append(f, "t", "end");
    append(f, "other", "end");
    int64_t e3 = append(f, "t", "x");
    assert_int_equal(events_last_of_type(f->db, "t", "end", &id), VX_OK);
    assert_int_equal(id, end);
    assert_int_equal(events_last_of_type(f->db, "t", "meeting-end", &id), VX_OK);
    assert_int_equal(id, 0);
    int64_t over = append(f, "u", "meeting-end");
    append(f, "u", "x");
    assert_int_equal(events_last_of_type(f->db, "u", "meeting-end", &id), VX_OK);
    assert_int_equal(id, over);
    struct fixture_log l;
    for (int64_t n = 1; n <= 3; n++) {
        assert_int_equal(events_cursor_before_last(f->db, "t", n, &cursor), VX_OK);
        fixture_events(f, "t", cursor, &l);
        assert_int_equal(l.n, n);
    }
    assert_int_equal(l.id[0], e1);
    assert_int_equal(events_cursor_before_last(f->db, "t", 4, &cursor), VX_OK);
    assert_int_equal(cursor, 0);
    assert_int_equal(events_cursor_before_last(f->db, "t", 0, &cursor), VX_OK);
    assert_int_equal(cursor, fixture_tip(f));
    assert_true(cursor > e3);
}

/* The last n of several topics, against the log itself. */
static void test_replay_of_several_topics(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"a", "b", "c", "other"};
    int64_t ids[200], cursor;
    size_t n = 0;
    unsigned seed = 3;
    for (int i = 0; i < 200; i++) {
        size_t t = (size_t)rand_r(&seed) % 4;
        int64_t id = append(f, names[t], "x");
        if (t < 3)
            ids[n++] = id;
    }
    for (size_t k = 1; k <= n; k++) {
        assert_int_equal(events_cursor_before_last_of(f->db, f->a, names, 3, (int64_t)k, &cursor),
                         VX_OK);
        assert_int_equal(cursor, ids[n - k] - 1);
    }
    assert_int_equal(events_cursor_before_last_of(f->db, f->a, names, 3, 1000, &cursor), VX_OK);
    assert_int_equal(cursor, 0);
    assert_int_equal(events_cursor_before_last_of(f->db, f->a, names, 3, 0, &cursor), VX_OK);
    assert_int_equal(cursor, fixture_tip(f));
}

static void test_numbers_survive_a_trim(void **state)
{
    struct fixture *f = *state;
    int64_t floor, id = append(f, "t", "x");
    assert_int_equal(events_floor(f->db, "t", &floor), VX_OK);
    assert_int_equal(floor, 0);
    fixture_sql(f, "DELETE FROM events; INSERT INTO topic_floors VALUES ('t', 7, 0)");
    assert_int_equal(fixture_tip(f), id);
    assert_int_equal(append(f, "t", "x"), id + 1);
    assert_int_equal(events_floor(f->db, "t", &floor), VX_OK);
    assert_int_equal(floor, 7);
}

static void test_refused_write_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    int64_t tip = fixture_tip(f);
    struct append p = {"t", "x", "{}", 0, VX_ERR_INVALID_STATE};
    assert_int_equal(store_write(f->st, append_run, &p), VX_ERR_INVALID_STATE);
    assert_int_equal(fixture_tip(f), tip);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_order_and_topics),
        T(test_type_and_replay_cursor),
        T(test_replay_of_several_topics),
        T(test_numbers_survive_a_trim),
        T(test_refused_write_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
