/* Bots and meetings: asking, refusing, stopping, lifecycle, lists, workloads. */
#include <pthread.h>

#include "lib/clock.h"
#include "lib/json_scan.h"
#include "tests/unit/store_fixture.h"

static struct json_object *parse(struct fixture *f, const char *text)
{
    struct json_fault fault;
    struct json_object *o = NULL;
    assert_int_equal(json_read(f->a, text, strlen(text), &o, &fault), VX_OK);
    return o;
}

static struct json_object *member(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;
    json_object_object_get_ex(o, key, &v);
    return v;
}

static const char *topic_of(const char *kind, int64_t id)
{
    static char text[64];
    snprintf(text, sizeof text, "%s/%lld", kind, (long long)id);
    return text;
}

static enum vx_err apply(struct fixture *f, const struct meeting *m, const char *status,
                         struct lifecycle_result *res, struct meeting *out)
{
    struct lifecycle_event ev = {
        .connection_id = m->session_uid, .status = status, .source = "bot_callback"};
    return store_meeting_apply(f->st, f->a, &ev, res, out);
}

static enum vx_err stop(struct fixture *f, const char *native, struct stop_result *r)
{
    return store_meeting_stop(f->st, f->user, "google_meet", native, r);
}

/* A bot whose process runs: claimed and let go. */
static void bot_running(struct fixture *f, const char *native, struct meeting *m)
{
    struct bot_conflict why;
    struct workload w;
    assert_int_equal(fixture_bot(f, f->user, native, 3, m, &why), VX_OK);
    assert_int_equal(store_workload_claim(f->st, f->a, "r", 1000, &w), VX_OK);
    assert_string_equal(w.id, m->workload_id);
    assert_int_equal(store_workload_started(f->st, w.id, 4242, 1), VX_OK);
    assert_int_equal(store_workload_running(f->st, w.id), VX_OK);
}

static void test_request(void **state)
{
    struct fixture *f = *state;
    struct meeting m, by;
    struct bot_conflict why;
    struct fixture_log l;
    char want[64];
    assert_int_equal(fixture_bot(f, f->user, "abc", 3, &m, &why), VX_OK);
    assert_string_equal(m.status, "requested");
    assert_int_equal(strlen(m.session_uid), 36);
    snprintf(want, sizeof want, "mtg-%lld-%.8s", (long long)m.id, m.session_uid);
    assert_string_equal(m.workload_id, want);
    assert_string_equal(m.data, "{\"transcribe_enabled\":true}");
    assert_int_equal(m.start_ms, 0);

    fixture_events(f, topic_of("meeting", m.id), 0, &l);
    assert_int_equal(l.n, 1);
    struct json_object *e = parse(f, l.data[0]);
    assert_string_equal(json_get_str(e, "type"), "meeting.status");
    assert_string_equal(json_get_str(member(e, "meeting"), "native_id"), "abc");
    assert_int_equal(json_get_int(member(e, "meeting"), "id", 0), m.id);
    assert_string_equal(json_text(member(e, "payload")), "{\"status\":\"requested\"}");
    assert_int_equal(json_get_int(e, "user_id", 0), f->user);
    fixture_events(f, topic_of("user", f->user), 0, &l);
    assert_int_equal(l.n, 1);
    e = parse(f, l.data[0]);
    assert_int_equal(json_object_object_length(e), 5);
    assert_string_equal(json_get_str(e, "native"), "abc");
    assert_string_equal(json_get_str(e, "status"), "requested");

    assert_int_equal(store_meeting_by_session(f->db, f->a, m.session_uid, &by), VX_OK);
    assert_int_equal(by.id, m.id);
    assert_int_equal(store_meeting_by_id(f->db, f->a, f->other, m.id, &by),
                     VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(store_meeting_by_id(f->db, f->a, 0, m.id, &by), VX_OK);
    assert_int_equal(store_meeting_by_native(f->db, f->a, f->user, NULL, "abc", &by), VX_OK);
    assert_int_equal(store_meeting_by_native(f->db, f->a, f->user, "zoom", "abc", &by),
                     VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(store_meeting_by_native(f->db, f->a, f->other, NULL, "abc", &by),
                     VX_ERR_MEETING_NOT_FOUND);
}

static void test_duplicates_and_cap(void **state)
{
    struct fixture *f = *state;
    struct meeting a, b, m;
    struct bot_conflict why;
    struct stop_result r;
    struct lifecycle_result res;
    int64_t tip;
    bot_running(f, "abc", &a);
    tip = fixture_tip(f);
    assert_int_equal(fixture_bot(f, f->user, "abc", 3, &m, &why), VX_ERR_MEETING_ALREADY_ACTIVE);
    assert_int_equal(why.meeting_id, a.id);
    assert_string_equal(why.status, "requested");
    assert_int_equal(fixture_bot(f, f->user, "abc", 0, &m, &why), VX_ERR_CONCURRENCY_LIMIT);
    assert_int_equal(fixture_bot(f, f->user, "x", -1, &m, &why), VX_ERR_CONCURRENCY_LIMIT);
    assert_int_equal(fixture_bot(f, f->user, "x", 1, &m, &why), VX_ERR_CONCURRENCY_LIMIT);
    assert_int_equal(why.limit, 1);
    assert_int_equal(why.in_use, 1);
    assert_int_equal(fixture_tip(f), tip);
    /* Another user's meeting of the same link is his own. */
    assert_int_equal(fixture_bot(f, f->other, "abc", 1, &b, &why), VX_OK);

    /* needs_help counts and blocks; stopping blocks but does not count. */
    assert_int_equal(apply(f, &a, "joining", &res, &m), VX_OK);
    assert_int_equal(apply(f, &a, "awaiting_admission", &res, &m), VX_OK);
    assert_int_equal(apply(f, &a, "needs_help", &res, &m), VX_OK);
    assert_int_equal(fixture_bot(f, f->user, "x", 1, &m, &why), VX_ERR_CONCURRENCY_LIMIT);
    assert_int_equal(fixture_bot(f, f->user, "abc", 9, &m, &why), VX_ERR_MEETING_ALREADY_ACTIVE);
    assert_int_equal(stop(f, "abc", &r), VX_OK);
    assert_int_equal(fixture_bot(f, f->user, "abc", 1, &m, &why), VX_ERR_MEETING_ALREADY_ACTIVE);
    assert_string_equal(why.status, "stopping");
    assert_int_equal(fixture_bot(f, f->user, "x", 1, &m, &why), VX_OK);
    /* A terminal row frees the link: a new row. */
    assert_int_equal(apply(f, &a, "completed", &res, &m), VX_OK);
    assert_int_equal(fixture_bot(f, f->user, "abc", 2, &m, &why), VX_OK);
    assert_true(m.id > a.id);
}

static void test_claims_a_planned_row(void **state)
{
    struct fixture *f = *state;
    struct meeting m;
    struct bot_conflict why;
    char sql[512];
    snprintf(
        sql, sizeof sql,
        "INSERT INTO meetings (id, user_id, platform, native_meeting_id, status, data,"
        " created_ms, updated_ms) VALUES (77, %lld, 'google_meet', 'abc', 'scheduled',"
        " '{\"title\":\"Weekly\",\"stop_requested\":true,\"transcribe_enabled\":false}', 5, 5)",
        (long long)f->user);
    fixture_sql(f, sql);
    assert_int_equal(fixture_bot(f, f->user, "abc", 1, &m, &why), VX_OK);
    assert_int_equal(m.id, 77);
    assert_string_equal(m.status, "requested");
    assert_int_equal(m.created_ms, 5);
    assert_string_equal(m.data, "{\"title\":\"Weekly\",\"transcribe_enabled\":true}");
}

struct racer {
    struct fixture *f;
    pthread_t thread;
    enum vx_err err;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    struct fixture own = *r->f;
    struct meeting m;
    struct bot_conflict why;
    own.a = arena_new(1 << 20);
    r->err = fixture_bot(&own, own.user, "race", 3, &m, &why);
    arena_free(own.a);
    return NULL;
}

static void test_ten_at_once(void **state)
{
    struct fixture *f = *state;
    struct racer r[10];
    int ok = 0, already = 0;
    for (int i = 0; i < 10; i++) {
        r[i].f = f;
        assert_int_equal(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
    }
    for (int i = 0; i < 10; i++) {
        pthread_join(r[i].thread, NULL);
        ok += r[i].err == VX_OK;
        already += r[i].err == VX_ERR_MEETING_ALREADY_ACTIVE;
    }
    assert_int_equal(ok, 1);
    assert_int_equal(already, 9);
}

static void test_life(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now;
    struct lifecycle_result res;
    struct fixture_log l;
    static const char *const steps[] = {"joining", "awaiting_admission", "active", "completed"};
    bot_running(f, "abc", &m);
    for (int i = 0; i < 4; i++) {
        int64_t tip = fixture_tip(f);
        assert_int_equal(apply(f, &m, steps[i], &res, &now), VX_OK);
        assert_true(res.changed);
        assert_string_equal(now.status, steps[i]);
        assert_int_equal(fixture_tip(f), tip + (i == 3 ? 3 : 2));
        tip = fixture_tip(f);
        assert_int_equal(apply(f, &m, steps[i], &res, &now), VX_OK); /* redelivery */
        assert_false(res.changed);
        assert_int_equal(fixture_tip(f), tip);
        assert_int_equal(now.start_ms != 0, i >= 2);
        assert_int_equal(now.end_ms != 0, i == 3);
    }
    assert_int_equal(apply(f, &m, "failed", &res, &now), VX_ERR_INVALID_STATE);
    assert_string_equal(res.from, "completed");
    fixture_events(f, topic_of("meeting", m.id), 0, &l);
    assert_int_equal(l.n, 6);
    assert_string_equal(l.type[5], "meeting-end");
    assert_string_equal(l.data[5], "{\"type\":\"meeting-end\"}");
    assert_null(now.failure_reason);
    struct json_object *trail = member(parse(f, now.data), "status_transition");
    assert_int_equal(json_object_array_length(trail), 4);
    assert_null(member(json_object_array_get_idx(trail, 0), "from"));
    assert_string_equal(json_get_str(json_object_array_get_idx(trail, 3), "from"), "active");
    assert_int_equal(json_get_int(parse(f, now.data), "segments_captured", -1), 0);
    assert_int_equal(apply(f, &(struct meeting){.session_uid = "nope"}, "joining", &res, &now),
                     VX_ERR_MEETING_NOT_FOUND);
}

static void test_lost_joining(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now;
    struct lifecycle_result res;
    struct fixture_log l;
    bot_running(f, "abc", &m);
    assert_int_equal(apply(f, &m, "completed", &res, &now), VX_ERR_INVALID_STATE);
    assert_null(res.from);
    assert_int_equal(apply(f, &m, "active", &res, &now), VX_OK);
    struct json_object *trail = member(parse(f, now.data), "status_transition");
    assert_int_equal(json_object_array_length(trail), 2);
    assert_string_equal(json_get_str(json_object_array_get_idx(trail, 1), "from"), "joining");
    fixture_events(f, topic_of("meeting", m.id), 0, &l);
    assert_int_equal(l.n, 3);
    assert_non_null(strstr(l.data[1], "\"status\":\"joining\""));
    assert_non_null(strstr(l.data[2], "\"status\":\"active\""));
}

static void test_failure_forensics(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now;
    struct lifecycle_result res;
    bot_running(f, "abc", &m);
    assert_int_equal(apply(f, &m, "joining", &res, &now), VX_OK);
    struct json_object *logs = json_object_new_array();
    char line[1024];
    memset(line, 'l', sizeof line);
    for (int i = 0; i < 100; i++) {
        line[0] = '0';
        line[1] = (char)('0' + i / 10);
        line[2] = (char)('0' + i % 10);
        line[1022] = '\0';
        json_object_array_add(logs, json_object_new_string(line));
    }
    struct lifecycle_event ev = {.connection_id = m.session_uid,
                                 .status = "failed",
                                 .source = "bot_callback",
                                 .completion_reason = "awaiting_admission_rejected",
                                 .reason = "the host said no",
                                 .timestamp = "2026-11-23T08:00:00Z",
                                 .has_exit_code = true,
                                 .exit_code = 1,
                                 .bot_logs = logs};
    assert_int_equal(store_meeting_apply(f->st, f->a, &ev, &res, &now), VX_OK);
    json_object_put(logs);
    assert_string_equal(res.completion_reason, "awaiting_admission_rejected");
    assert_string_equal(res.failure_stage, "joining");
    assert_string_equal(now.failure_reason, "the host said no");
    struct json_object *d = parse(f, now.data), *kept = member(d, "bot_logs");
    assert_int_equal(json_object_array_length(kept), 50); /* 50 * 1023 <= 50 KiB */
    assert_memory_equal(json_object_get_string(json_object_array_get_idx(kept, 49)), "099", 3);
    assert_true(json_get_bool(d, "bot_logs_truncated", 0));
    assert_string_equal(json_get_str(member(d, "last_error"), "error_details"),
                        "Bot exited with code 1; reason: the host said no");
    struct json_object *last = json_object_array_get_idx(member(d, "status_transition"), 1);
    assert_string_equal(json_get_str(last, "timestamp"), "2026-11-23T08:00:00Z");
    assert_string_equal(json_get_str(last, "timestamp_source"), "producer");
    assert_string_equal(json_get_str(last, "failure_stage"), "joining");
}

static void test_died_without_a_word(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now;
    struct lifecycle_result res;
    struct fixture_log l;
    bot_running(f, "abc", &m);
    assert_int_equal(apply(f, &m, "active", &res, &now), VX_OK);
    struct lifecycle_event ev = {.connection_id = m.session_uid,
                                 .status = "completed",
                                 .completion_reason = "left_alone",
                                 .reason = "the bot was killed by signal 9",
                                 .forced = true,
                                 .source = "runtime_destroy"};
    assert_int_equal(store_meeting_apply(f->st, f->a, &ev, &res, &now), VX_OK);
    assert_string_equal(now.failure_reason, "the bot was killed by signal 9");
    fixture_events(f, topic_of("meeting", m.id), 0, &l);
    struct json_object *p = member(parse(f, l.data[l.n - 2]), "payload");
    assert_string_equal(json_get_str(p, "completion_reason"), "left_alone");
    assert_string_equal(json_get_str(p, "failure_reason"), "the bot was killed by signal 9");
    assert_string_equal(l.type[l.n - 1], "meeting-end");
}

static void test_stop_active(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now;
    struct lifecycle_result res;
    struct stop_result r;
    struct fixture_log l;
    char bot[64];
    bot_running(f, "abc", &m);
    assert_int_equal(stop(f, "nope", &r), VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(store_meeting_stop(f->st, f->other, "google_meet", "abc", &r),
                     VX_ERR_MEETING_NOT_FOUND);
    assert_int_equal(apply(f, &m, "active", &res, &now), VX_OK);
    int64_t tip = fixture_tip(f);
    assert_int_equal(stop(f, "abc", &r), VX_OK);
    assert_int_equal(r.meeting_id, m.id);
    assert_int_equal(r.n_also + r.n_cancelled, 0);
    assert_int_equal(fixture_tip(f), tip + 3);
    assert_int_equal(store_meeting_by_id(f->db, f->a, f->user, m.id, &now), VX_OK);
    assert_string_equal(now.status, "stopping");
    assert_true(now.stop_requested);
    assert_true(json_get_bool(parse(f, now.data), "stop_requested", 0));
    snprintf(bot, sizeof bot, "bot/%s", m.session_uid);
    fixture_events(f, bot, 0, &l);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.type[0], "leave");
    struct json_object *e = parse(f, l.data[0]);
    assert_string_equal(json_get_str(e, "action"), "leave");
    assert_int_equal(json_get_int(e, "meeting_id", 0), m.id);
    assert_int_equal(stop(f, "abc", &r), VX_ERR_MEETING_NOT_FOUND);
    /* A late `active` does not take the stop back, and the stop names the reason. */
    assert_int_equal(apply(f, &m, "active", &res, &now), VX_OK);
    assert_false(res.changed);
    assert_string_equal(now.status, "stopping");
    struct lifecycle_event ev = {.connection_id = m.session_uid,
                                 .status = "completed",
                                 .completion_reason = "evicted",
                                 .source = "bot_callback"};
    assert_int_equal(store_meeting_apply(f->st, f->a, &ev, &res, &now), VX_OK);
    assert_string_equal(res.completion_reason, "stopped");
    assert_string_equal(now.completion_reason, "stopped");
}

static void test_stop_while_joining(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now;
    struct lifecycle_result res;
    struct stop_result r;
    struct workload *live;
    size_t n;
    bot_running(f, "abc", &m);
    assert_int_equal(apply(f, &m, "joining", &res, &now), VX_OK);
    int64_t tip = fixture_tip(f);
    assert_int_equal(stop(f, "abc", &r), VX_OK);
    assert_int_equal(fixture_tip(f), tip + 1); /* leave only: the status did not change */
    assert_int_equal(store_workload_live(f->db, f->a, &live, &n), VX_OK);
    assert_int_equal(n, 1);
    assert_true(live[0].stop_requested && live[0].stop_ms > 0);
    assert_string_equal(live[0].meeting_status, "joining");
    struct lifecycle_event ev = {.connection_id = m.session_uid,
                                 .status = "failed",
                                 .completion_reason = "join_failure",
                                 .source = "bot_callback"};
    assert_int_equal(store_meeting_apply(f->st, f->a, &ev, &res, &now), VX_OK);
    assert_string_equal(now.completion_reason, "stopped");
    assert_string_equal(now.failure_stage, "joining");
}

static void test_stop_before_launch(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now;
    struct bot_conflict why;
    struct stop_result r;
    struct workload w;
    struct fixture_log l;
    bool pending;
    assert_int_equal(fixture_bot(f, f->user, "abc", 3, &m, &why), VX_OK);
    assert_int_equal(stop(f, "abc", &r), VX_OK);
    assert_int_equal(r.meeting_id, m.id);
    assert_int_equal(store_meeting_by_id(f->db, f->a, f->user, m.id, &now), VX_OK);
    assert_string_equal(now.status, "failed");
    assert_string_equal(now.completion_reason, "stopped");
    assert_string_equal(now.failure_stage, "requested");
    assert_string_equal(now.failure_reason,
                        "stopped by the user before the bot workload was created");
    assert_true(now.end_ms > 0);
    assert_int_equal(store_workload_pending(f->db, &pending), VX_OK);
    assert_false(pending);
    assert_int_equal(store_workload_claim(f->st, f->a, "r", 1000, &w), VX_OK);
    assert_null(w.id);
    fixture_events(f, topic_of("meeting", m.id), 0, &l);
    assert_string_equal(l.type[l.n - 1], "meeting-end");
    /* A stopped bot is not one that failed. */
    struct meeting *list;
    size_t n;
    assert_int_equal(store_meeting_failed(f->db, f->a, f->user, NULL, 0, &list, &n), VX_OK);
    assert_int_equal(n, 0);
}

static void test_stop_cancels_a_plan(void **state)
{
    struct fixture *f = *state;
    struct meeting now;
    struct stop_result r;
    char sql[512];
    snprintf(sql, sizeof sql,
             "INSERT INTO meetings (id, user_id, platform, native_meeting_id, status, data,"
             " created_ms, updated_ms) VALUES (77, %lld, 'google_meet', 'abc', 'idle', '{}', 5, 5)",
             (long long)f->user);
    fixture_sql(f, sql);
    assert_int_equal(stop(f, "abc", &r), VX_OK);
    assert_int_equal(r.n_cancelled, 1);
    assert_int_equal(r.cancelled[0], 77);
    assert_int_equal(store_meeting_by_id(f->db, f->a, f->user, 77, &now), VX_OK);
    assert_string_equal(now.status, "failed");
    assert_null(now.failure_stage);
    assert_string_equal(now.failure_reason, "cancelled by the user before the bot was dispatched");
}

static void test_lists(void **state)
{
    struct fixture *f = *state;
    struct meeting m, *list;
    struct bot_conflict why;
    struct lifecycle_result res;
    struct meeting_filter q = {.user_id = f->user, .limit = 2};
    size_t n;
    bool more;
    int64_t id[5];
    for (int i = 0; i < 5; i++) {
        char native[16];
        snprintf(native, sizeof native, "m%d", i);
        assert_int_equal(fixture_bot(f, f->user, native, 9, &m, &why), VX_OK);
        id[i] = m.id;
    }
    fixture_sql(f, "UPDATE meetings SET created_ms = 1000"); /* a tie: the id decides */
    assert_int_equal(store_meeting_list(f->db, f->a, &q, &list, &n, &more), VX_OK);
    assert_int_equal(n, 2);
    assert_true(more);
    assert_int_equal(list[0].id, id[4]);
    q.before_created_ms = list[1].created_ms;
    q.before_id = list[1].id;
    q.limit = 3;
    assert_int_equal(store_meeting_list(f->db, f->a, &q, &list, &n, &more), VX_OK);
    assert_int_equal(n, 3);
    assert_false(more);
    assert_int_equal(list[0].id, id[2]);
    assert_int_equal(list[2].id, id[0]);
    q = (struct meeting_filter){.user_id = f->user, .limit = 100, .offset = 4};
    assert_int_equal(store_meeting_list(f->db, f->a, &q, &list, &n, &more), VX_OK);
    assert_int_equal(n, 1);

    assert_int_equal(apply(f, &m, "failed", &res, &m), VX_OK);
    assert_string_equal(m.failure_stage, "requested");
    q = (struct meeting_filter){.user_id = f->user, .limit = 100, .status = "failed"};
    assert_int_equal(store_meeting_list(f->db, f->a, &q, &list, &n, &more), VX_OK);
    assert_int_equal(n, 1);
    q.platform = "zoom";
    assert_int_equal(store_meeting_list(f->db, f->a, &q, &list, &n, &more), VX_OK);
    assert_int_equal(n, 0);
    assert_int_equal(store_meeting_running(f->db, f->a, f->user, NULL, &list, &n), VX_OK);
    assert_int_equal(n, 4);
    assert_int_equal(store_meeting_running(f->db, f->a, f->other, NULL, &list, &n), VX_OK);
    assert_int_equal(n, 0);
    int64_t t = clock_now_ms();
    assert_int_equal(store_meeting_failed(f->db, f->a, f->user, NULL, t - 60000, &list, &n), VX_OK);
    assert_int_equal(n, 1);
    assert_int_equal(store_meeting_failed(f->db, f->a, f->user, NULL, t + 60000, &list, &n), VX_OK);
    assert_int_equal(n, 0);
    fixture_sql(f, "UPDATE meetings SET status = 'scheduled' WHERE native_meeting_id = 'm0'");
    q = (struct meeting_filter){.user_id = f->user, .limit = 100, .exclude_planned = true};
    assert_int_equal(store_meeting_list(f->db, f->a, &q, &list, &n, &more), VX_OK);
    assert_int_equal(n, 4);
    q.status = "scheduled";
    assert_int_equal(store_meeting_list(f->db, f->a, &q, &list, &n, &more), VX_OK);
    assert_int_equal(n, 1);
}

static void test_corrupt_row(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"", "nonsense", "[]", "null", "{\"a\":"};
    struct meeting m, now;
    struct lifecycle_result res;
    struct stop_result r;
    bot_running(f, "abc", &m);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "UPDATE meetings SET data = '%s'", bad[i]);
        fixture_sql(f, sql);
        int64_t tip = fixture_tip(f);
        assert_int_equal(apply(f, &m, "joining", &res, &now), VX_ERR_INTERNAL);
        assert_int_equal(stop(f, "abc", &r), VX_ERR_INTERNAL);
        assert_int_equal(fixture_tip(f), tip);
        assert_int_equal(store_meeting_by_id(f->db, f->a, f->user, m.id, &now), VX_OK);
        assert_string_equal(now.data, bad[i]);
        assert_string_equal(now.status, "requested");
    }
}

/* The events of a change cannot be written: then there is no change. */
static void test_no_change_without_its_events(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now, *list;
    struct bot_conflict why;
    struct lifecycle_result res;
    struct stop_result r;
    size_t n;
    bot_running(f, "abc", &m);
    int64_t tip = fixture_tip(f);
    fixture_sql(f, "CREATE TRIGGER t BEFORE INSERT ON events"
                   " WHEN new.topic LIKE 'user/%' OR new.topic LIKE 'bot/%'"
                   " BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert_int_not_equal(apply(f, &m, "joining", &res, &now), VX_OK);
    assert_int_not_equal(stop(f, "abc", &r), VX_OK);
    assert_int_not_equal(fixture_bot(f, f->user, "def", 3, &now, &why), VX_OK);
    assert_int_equal(fixture_tip(f), tip);
    assert_int_equal(store_meeting_running(f->db, f->a, f->user, NULL, &list, &n), VX_OK);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].status, "requested");
    assert_false(list[0].stop_requested);
}

/* A bot's words may be long: the row, the trail and two frames hold a bounded piece of them. */
static void test_long_reason(void **state)
{
    struct fixture *f = *state;
    struct meeting m, now;
    struct lifecycle_result res;
    char *words = arena_alloc(f->a, 100001);
    bot_running(f, "abc", &m);
    for (int i = 0; i < 100000; i += 2)
        memcpy(words + i, i == 0 ? ".." : "\xc3\xa9", 2);
    words[1] = '\xc3'; /* characters now begin at odd places */
    for (int i = 2; i < 99998; i += 2)
        memcpy(words + i, "\xa9\xc3", 2);
    memcpy(words + 99998, "\xa9.", 2);
    struct lifecycle_event ev = {.connection_id = m.session_uid,
                                 .status = "failed",
                                 .reason = words,
                                 .timestamp = words,
                                 .source = "bot_callback"};
    assert_int_equal(store_meeting_apply(f->st, f->a, &ev, &res, &now), VX_OK);
    assert_int_equal(strlen(now.failure_reason), 4095);
    assert_true(strlen(now.data) < 32768);
    parse(f, now.data); /* valid UTF-8 */
}

static void test_workloads(void **state)
{
    struct fixture *f = *state;
    struct meeting m, m2;
    struct bot_conflict why;
    struct workload w, *list;
    size_t n;
    bool pending;
    int64_t age;
    assert_int_equal(fixture_bot(f, f->user, "a", 3, &m, &why), VX_OK);
    assert_int_equal(fixture_bot(f, f->user, "b", 3, &m2, &why), VX_OK);
    assert_int_equal(store_workload_overdue(f->db, f->a, clock_now_ms() + 1000, &list, &n), VX_OK);
    assert_int_equal(n, 2);
    assert_int_equal(store_workload_pending(f->db, &pending), VX_OK);
    assert_true(pending);
    assert_int_equal(store_workload_claim(f->st, f->a, "r1", 60000, &w), VX_OK);
    assert_string_equal(w.id, m.workload_id);
    assert_string_equal(w.session_uid, m.session_uid);
    assert_string_equal(w.launch, "{\"bot_name\":\"Vexa\"}");
    assert_string_equal(w.native_id, "a");
    assert_string_equal(w.state, "starting");
    assert_false(w.stop_requested);
    assert_int_equal(w.user_id, f->user);
    assert_int_equal(store_workload_claim(f->st, f->a, "r2", 60000, &w), VX_OK);
    assert_string_equal(w.id, m2.workload_id);
    assert_int_equal(store_workload_claim(f->st, f->a, "r2", 60000, &w), VX_OK);
    assert_null(w.id);
    /* The lease runs out: claimed again only while no process was made. */
    assert_int_equal(store_workload_started(f->st, m2.workload_id, 99, 7), VX_OK);
    fixture_sql(f, "UPDATE workloads SET lease_until_ms = 1");
    assert_int_equal(store_workload_claim(f->st, f->a, "r2", 60000, &w), VX_OK);
    assert_string_equal(w.id, m.workload_id);
    assert_int_equal(store_workload_claim(f->st, f->a, "r2", 60000, &w), VX_OK);
    assert_null(w.id);
    assert_int_equal(store_workload_started(f->st, m.workload_id, 100, 8), VX_OK);
    assert_int_equal(store_workload_started(f->st, m.workload_id, 101, 9), VX_ERR_INVALID_STATE);
    assert_int_equal(store_workload_running(f->st, m.workload_id), VX_OK);
    assert_int_equal(store_workload_live(f->db, f->a, &list, &n), VX_OK);
    assert_int_equal(n, 2);
    assert_int_equal(list[0].pid, 100);
    assert_int_equal(list[0].pid_start, 8);
    assert_int_equal(store_workload_ended(f->st, m.workload_id, 0, 0, "bye"), VX_OK);
    assert_int_equal(store_workload_ended(f->st, m.workload_id, 1, 9, NULL), VX_OK);
    assert_int_equal(store_workload_ended(f->st, m2.workload_id, -1, 9, NULL), VX_OK);
    assert_int_equal(store_workload_running(f->st, m.workload_id), VX_ERR_INVALID_STATE);
    assert_int_equal(store_workload_live(f->db, f->a, &list, &n), VX_OK);
    assert_int_equal(n, 0);
    int64_t rows;
    bool found;
    assert_int_equal(sql_int(f->db, &rows, &found,
                             "SELECT COUNT(*) FROM workloads WHERE state = 'ended' AND"
                             " ((exit_code = 0 AND signal IS NULL AND note = 'bye')"
                             " OR (exit_code IS NULL AND signal = 9))",
                             ""),
                     VX_OK);
    assert_int_equal(rows, 2);

    assert_int_equal(store_runner_age(f->db, &age), VX_OK);
    assert_int_equal(age, -1);
    assert_int_equal(store_runner_seen(f->st, "r1", 1), VX_OK);
    assert_int_equal(store_runner_seen(f->st, "r1", 2), VX_OK);
    assert_int_equal(store_runner_age(f->db, &age), VX_OK);
    assert_in_range(age, 0, 5000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_request),
        T(test_duplicates_and_cap),
        T(test_claims_a_planned_row),
        T(test_ten_at_once),
        T(test_life),
        T(test_lost_joining),
        T(test_failure_forensics),
        T(test_died_without_a_word),
        T(test_stop_active),
        T(test_stop_while_joining),
        T(test_stop_before_launch),
        T(test_stop_cancels_a_plan),
        T(test_lists),
        T(test_corrupt_row),
        T(test_no_change_without_its_events),
        T(test_long_reason),
        T(test_workloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
