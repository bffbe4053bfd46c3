/* Deleting meetings: absent at once, gone from the disk, and what is interrupted goes on. */
#include "tests/unit/store_fixture.h"

#include "lib/json_scan.h"
#include "lib/store_retention.h"

static struct meeting make(struct fixture *f, const char *native, const char *status)
{
    struct meeting m;
    struct bot_conflict why;
    char sql[200];
    assert_int_equal(fixture_bot(f, f->user, native, 100, &m, &why), VX_OK);
    snprintf(sql, sizeof sql, "UPDATE meetings SET status = '%s' WHERE id = %lld", status,
             (long long)m.id);
    fixture_sql(f, sql);
    return m;
}

static void say(struct fixture *f, const struct meeting *m, int n)
{
    static struct segment s[500];
    static char ids[500][16];
    struct ingest_result r;
    for (int i = 0; i < n; i++) {
        snprintf(ids[i], sizeof ids[i], "s%d", i);
        s[i] = (struct segment){
            .segment_id = ids[i], .start = i, .end = i + 1, .text = "words", .completed = true};
    }
    assert_int_equal(store_segments_ingest(f->st, m->id, s, (size_t)n, NULL, 0, &r), VX_OK);
    for (int i = 0; i < n; i++)
        s[i].language = "en"; /* a change no frame shows has its topic too */
    assert_int_equal(store_segments_ingest(f->st, m->id, s, 1, NULL, 0, &r), VX_OK);
}

static int64_t number(struct fixture *f, const char *sql)
{
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(f->db->db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static void test_delete(void **state)
{
    struct fixture *f = *state;
    struct meeting m = make(f, "del-ete-meee", "completed"), other, out, *list;
    struct fixture_log l;
    struct ingest_result r;
    char topic[64];
    enum topic_end end;
    int64_t floor, tip;
    size_t n;
    bool more;
    say(f, &m, 500);
    fixture_sql(
        f, "UPDATE meetings SET data = '{\"title\":\"t\",\"notes\":[1],\"bot_logs\":[\"x\"]}'");
    other = make(f, "sta-yher-eeee", "completed");
    say(f, &other, 3);
    tip = fixture_tip(f);
    assert_int_equal(store_meeting_delete(f->st, f->a, f->other, m.id, &out),
                     VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(store_meeting_delete(f->st, f->a, f->user, m.id, &out), VX_OK);
    assert_string_equal(out.status, "completed");
    assert_string_equal(out.native_id, "del-ete-meee");
    /* absent, for everybody */
    assert_int_equal(store_meeting_delete(f->st, f->a, f->user, m.id, &out),
                     VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(store_meeting_by_id(f->db, f->a, 0, m.id, &out), VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(store_meeting_by_native(f->db, f->a, f->user, NULL, "del-ete-meee", &out),
                     VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(store_meeting_by_session(f->db, f->a, m.session_uid, &out),
                     VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(store_segments_ingest(f->st, m.id, NULL, 0, NULL, 0, &r),
                     VX_ERR_MEETING_NOT_FOUND);
    struct meeting_filter filter = {.user_id = f->user, .limit = 10};
    assert_int_equal(store_meeting_list(f->db, f->a, &filter, &list, &n, &more), VX_OK);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].id, other.id);
    /* gone */
    assert_int_equal(number(f, "SELECT COUNT(*) FROM segments"), 3);
    snprintf(topic, sizeof topic, "meeting/%lld", (long long)m.id);
    fixture_events(f, topic, 0, &l);
    assert_int_equal(l.n, 0);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM events WHERE topic = 'edits/1'"), 0);
    /* the topic is closed past everything a stream of it can have seen */
    assert_int_equal(events_floor_end(f->db, topic, &floor, &end), VX_OK);
    assert_int_equal(end, TOPIC_DELETED);
    assert_true(floor > tip);
    snprintf(topic, sizeof topic, "user/%lld", (long long)f->user);
    fixture_events(f, topic, tip, &l);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.id[0], floor + 1); /* a hole before it: that is how the hub notices */
    assert_non_null(strstr(l.data[0], "\"native\":\"del-ete-meee\",\"status\":\"deleted\""));
    /* the tombstone */
    assert_int_equal(number(f, "SELECT COUNT(*) FROM meetings WHERE id = 1 AND deleted_ms > 0"
                               " AND purged_ms > 0 AND status = 'completed'"
                               " AND data LIKE '{\"title\":\"t\",\"artifact_deletion\":"
                               "{\"state\":\"completed\",\"completed_at\":%'"
                               " AND data NOT LIKE '%bot_logs%'"),
                     1);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM workloads WHERE launch = '{}'"), 1);
}

static void test_refusals_and_plans(void **state)
{
    struct fixture *f = *state;
    static const char *const live[] = {"requested",  "joining", "awaiting_admission",
                                       "needs_help", "active",  "stopping"};
    struct meeting m = make(f, "liv-emee-ting", "requested"), out;
    char sql[100];
    for (size_t i = 0; i < 6; i++) {
        snprintf(sql, sizeof sql, "UPDATE meetings SET status = '%s'", live[i]);
        fixture_sql(f, sql);
        int64_t tip = fixture_tip(f);
        assert_int_equal(store_meeting_delete(f->st, f->a, f->user, m.id, &out),
                         VX_ERR_INVALID_STATE);
        assert_string_equal(out.status, live[i]);
        assert_int_equal(fixture_tip(f), tip);
    }
    fixture_sql(f, "UPDATE meetings SET status = 'scheduled'");
    int64_t tip = fixture_tip(f);
    struct fixture_log l;
    assert_int_equal(store_meeting_delete(f->st, f->a, f->user, m.id, &out), VX_OK);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM meetings"), 0);
    fixture_events(f, NULL, tip, &l);
    assert_int_equal(l.n, 1);
    assert_non_null(strstr(l.data[0], "\"native\":null,\"status\":\"deleted\""));
    /* A damaged row can be deleted as well. */
    m = make(f, "dam-aged-row", "failed");
    fixture_sql(f, "UPDATE meetings SET data = 'x'");
    assert_int_equal(store_meeting_delete(f->st, f->a, f->user, m.id, &out), VX_OK);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM meetings WHERE data LIKE '{%'"), 1);
}

/* The process died after the first commit: the sweep goes on, in writes of at most 1,000 rows. */
static void test_interrupted(void **state)
{
    struct fixture *f = *state;
    struct meeting m = make(f, "int-erru-pted", "completed"), n = make(f, "two-nnnn-nnn", "failed");
    struct retention_sweep at = {0};
    struct retention_limits limits = {0, 0};
    bool done = false;
    say(f, &m, 500);
    for (int i = 0; i < 4; i++)
        say(f, &n, 500);
    fixture_sql(f, "INSERT INTO events (topic, type, data, ts) SELECT 'meeting/2', 'x', '{}', 1"
                   " FROM events");
    fixture_sql(f, "UPDATE meetings SET deleted_ms = 5");
    for (int steps = 0; !done; steps++) {
        int64_t before = number(f, "SELECT (SELECT COUNT(*) FROM events) + COUNT(*) FROM segments");
        assert_int_equal(store_retention_step(f->st, f->db, &limits, &at, &done), VX_OK);
        int64_t after = number(f, "SELECT (SELECT COUNT(*) FROM events) + COUNT(*) FROM segments");
        assert_true(before - after <= 1000 && steps < 30);
    }
    assert_int_equal(number(f, "SELECT COUNT(*) FROM segments"), 0);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM events WHERE topic NOT LIKE 'user/%'"), 0);
    assert_int_equal(number(f, "SELECT COUNT(*) FROM meetings WHERE purged_ms IS NOT NULL"), 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_delete),
        T(test_refusals_and_plans),
        T(test_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
