/* Transcript ingest: what is stored, what is told, and that nothing is told twice. */
#include <math.h>

#include "lib/json_scan.h"
#include "tests/unit/store_fixture.h"

static struct meeting meeting;
static char topic[64];

static int setup(void **state)
{
    struct bot_conflict why;
    fixture_setup(state);
    assert_int_equal(fixture_bot(*state, ((struct fixture *)*state)->user, "m", 3, &meeting, &why),
                     VX_OK);
    snprintf(topic, sizeof topic, "meeting/%lld", (long long)meeting.id);
    return 0;
}

static struct segment seg(const char *id, double start, double end, const char *text, bool done)
{
    return (struct segment){.segment_id = id,
                            .start = start,
                            .end = end,
                            .text = text,
                            .speaker = "Ada",
                            .language = "en",
                            .completed = done};
}

static struct ingest_result ingest(struct fixture *f, const struct segment *s, size_t n)
{
    struct ingest_result r;
    assert_int_equal(store_segments_ingest(f->st, meeting.id, s, n, NULL, 0, &r), VX_OK);
    assert_int_equal(r.stored + r.unchanged, n);
    assert_int_equal(r.cursor, fixture_tip(f));
    return r;
}

static size_t one(struct fixture *f, struct segment s)
{
    return ingest(f, &s, 1).stored;
}

static void test_draft_then_confirmed(void **state)
{
    struct fixture *f = *state;
    struct fixture_log l;
    struct segment *list;
    size_t n;
    int64_t tip = fixture_tip(f);
    assert_int_equal(one(f, seg("a", 1.5, 2, "he", false)), 1);
    assert_int_equal(one(f, seg("a", 1.5, 3, "hello", false)), 1);
    assert_int_equal(one(f, seg("a", 1.5, 3, "hello", true)), 1);
    assert_int_equal(one(f, seg("a", 1.5, 3, "hello", true)), 0);
    assert_int_equal(one(f, seg("a", 1.5, 3, "hell", false)), 0); /* a late draft */
    fixture_events(f, topic, tip, &l);
    assert_int_equal(l.n, 3);
    char want[256];
    snprintf(want, sizeof want,
             "{\"type\":\"transcript\",\"speaker\":\"Ada\",\"text\":\"hello\",\"t\":1.5,"
             "\"tsMs\":%lld,\"completed\":true,\"id\":\"a\"}",
             (long long)meeting.created_ms + 1500);
    assert_string_equal(l.data[2], want);
    assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &list, &n), VX_OK);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].text, "hello");
    assert_true(list[0].completed);
    assert_int_equal(list[0].changed, l.id[2]);
    /* A correction of what is confirmed is told. */
    struct segment s = seg("a", 1.5, 3, "hello", true);
    s.speaker = "Grace";
    assert_int_equal(one(f, s), 1);
    s.speaker = NULL;
    assert_int_equal(one(f, s), 1);
    fixture_events(f, topic, l.id[2], &l);
    assert_int_equal(l.n, 2);
    assert_non_null(strstr(l.data[1], "\"speaker\":null"));
}

static void test_hidden_fields_tell_nothing(void **state)
{
    struct fixture *f = *state;
    struct fixture_log l;
    struct segment s = seg("a", 1, 2, "x", true), *list;
    size_t n;
    assert_int_equal(one(f, s), 1);
    int64_t tip = fixture_tip(f);
    s.end = 2.5;
    s.words = "[{\"word\":\"x\",\"start\":1,\"end\":2}]";
    s.has_confidence = true;
    s.confidence = 0.25;
    s.absolute_start = "2026-11-23T08:00:00Z";
    assert_int_equal(one(f, s), 1);
    assert_int_equal(one(f, s), 0);
    fixture_events(f, topic, tip, &l);
    assert_int_equal(l.n, 0); /* no frame, but a number: a read with ?since= must find it */
    assert_int_equal(fixture_tip(f), tip + 1);
    assert_int_equal(store_segments_since(f->db, f->a, meeting.id, tip, &list, &n), VX_OK);
    assert_int_equal(n, 1);
    assert_int_equal(store_segments_since(f->db, f->a, meeting.id, tip + 1, &list, &n), VX_OK);
    assert_int_equal(n, 0);
    assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &list, &n), VX_OK);
    assert_true(list[0].end > 2.4 && list[0].has_confidence);
    assert_true(list[0].confidence > 0.2 && list[0].confidence < 0.3);
    assert_string_equal(list[0].words, s.words);
    assert_string_equal(list[0].absolute_start, s.absolute_start);
    s.has_confidence = false;
    assert_int_equal(one(f, s), 1);
    assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &list, &n), VX_OK);
    assert_false(list[0].has_confidence);
}

/* The answer of a batch got lost and the bot sends it again. */
static void test_same_batch_again(void **state)
{
    struct fixture *f = *state;
    struct segment batch[] = {
        seg("a", 1, 2, "one", false), seg("a", 1, 2, "one two", false),
        seg("b", 3, 4, "x", false),   seg("a", 1, 3, "one two three", false),
        seg("b", 3, 4, "x", true),    seg("c", 5, 6, "gone", false),
        seg("c", 5, 6, "", false),
    };
    struct ingest_result r = ingest(f, batch, 7);
    assert_int_equal(r.stored, 5); /* c comes and goes within the batch: never there */
    int64_t tip = fixture_tip(f);
    r = ingest(f, batch, 7);
    assert_int_equal(r.stored, 0);
    assert_int_equal(r.unchanged, 7);
    assert_int_equal(fixture_tip(f), tip);
}

static void test_withdraw_and_retract(void **state)
{
    struct fixture *f = *state;
    struct fixture_log l;
    struct segment *list;
    struct ingest_result r;
    size_t n;
    assert_int_equal(one(f, seg("d", 1, 2, "draft", false)), 1);
    assert_int_equal(one(f, seg("c", 3, 4, "sure", true)), 1);
    int64_t tip = fixture_tip(f);
    assert_int_equal(one(f, seg("new", 1, 2, " \n", false)), 0);
    assert_int_equal(one(f, seg("c", 3, 4, "", false)), 0);
    assert_int_equal(one(f, seg("c", 3, 4, "", true)), 0);
    assert_int_equal(fixture_tip(f), tip);
    assert_int_equal(one(f, seg("d", 1, 2, "", false)), 1);
    fixture_events(f, topic, tip, &l);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.type[0], "retract");
    assert_string_equal(l.data[0], "{\"type\":\"retract\",\"segment_ids\":[\"d\"]}");

    assert_int_equal(one(f, seg("e", 5, 6, "e", false)), 1);
    tip = fixture_tip(f);
    const char *ids[] = {"never", "c", "e", "c"};
    struct segment s = seg("g", 7, 8, "g", true);
    assert_int_equal(store_segments_ingest(f->st, meeting.id, &s, 1, ids, 4, &r), VX_OK);
    fixture_events(f, topic, tip, &l);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.data[0], "{\"type\":\"retract\",\"segment_ids\":[\"c\",\"e\"]}");
    assert_string_equal(l.type[1], "transcript");
    tip = fixture_tip(f);
    assert_int_equal(store_segments_ingest(f->st, meeting.id, &s, 1, ids, 4, &r), VX_OK);
    assert_int_equal(fixture_tip(f), tip);
    assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &list, &n), VX_OK);
    assert_int_equal(n, 1);
    assert_string_equal(list[0].segment_id, "g");
}

/* Whatever a writer does between two reads, what the second one says since the first, applied to
 * it, is the whole of the second. */
static void test_since_misses_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned seed = 7;
    static const char *const ids[] = {"1", "2", "3", "4"}, *const texts[] = {"", "a", "b"};
    for (int round = 0; round < 300; round++) {
        struct segment *before, *after, *news;
        const char **gone;
        size_t n_before, n_after, n_news, n_gone, same = 0;
        int64_t tip = fixture_tip(f);
        assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &before, &n_before), VX_OK);
        for (int k = rand_r(&seed) % 4; k > 0; k--) {
            struct segment s = seg(ids[rand_r(&seed) % 4], 1, 1 + rand_r(&seed) % 2,
                                   texts[rand_r(&seed) % 3], rand_r(&seed) % 6 == 0);
            const char *back[] = {ids[rand_r(&seed) % 4]};
            struct ingest_result r;
            s.language = rand_r(&seed) % 2 ? "en" : NULL;
            assert_int_equal(
                store_segments_ingest(f->st, meeting.id, &s, 1, back, rand_r(&seed) % 5 == 0, &r),
                VX_OK);
        }
        assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &after, &n_after), VX_OK);
        assert_int_equal(store_segments_since(f->db, f->a, meeting.id, tip, &news, &n_news), VX_OK);
        assert_int_equal(store_segments_retracted(f->db, f->a, meeting.id, tip, &gone, &n_gone),
                         VX_OK);
        for (size_t i = 0; i < n_before; i++) {
            bool stays = true;
            for (size_t k = 0; k < n_gone; k++)
                stays = stays && strcmp(before[i].segment_id, gone[k]) != 0;
            for (size_t k = 0; k < n_news; k++)
                stays = stays && strcmp(before[i].segment_id, news[k].segment_id) != 0;
            if (!stays)
                continue;
            for (size_t k = 0; k < n_after; k++)
                if (strcmp(before[i].segment_id, after[k].segment_id) == 0) {
                    same++;
                    assert_int_equal(before[i].completed, after[k].completed);
                    assert_string_equal(before[i].text, after[k].text);
                    assert_true(!(before[i].end < after[k].end || before[i].end > after[k].end));
                    assert_int_equal(before[i].language == NULL, after[k].language == NULL);
                }
        }
        assert_int_equal(same + n_news, n_after);
    }
}

/* The end of a meeting confirms its drafts, before it is told; what comes later is confirmed too.
 */
static void test_end_confirms_drafts(void **state)
{
    struct fixture *f = *state;
    struct fixture_log l;
    struct segment *list;
    struct lifecycle_result res;
    struct meeting m;
    size_t n;
    struct lifecycle_event ev = {
        .connection_id = meeting.session_uid, .status = "failed", .reason = "x", .source = "test"};
    assert_int_equal(one(f, seg("b", 3, 4, "two", false)), 1);
    assert_int_equal(one(f, seg("a", 1, 2, "one", false)), 1);
    assert_int_equal(one(f, seg("c", 5, 6, "three", true)), 1);
    fixture_sql(f, "UPDATE segments SET text = ' ' WHERE segment_id = 'b'");
    assert_int_equal(one(f, seg("d", 7, 7, "four", false)), 1);
    int64_t tip = fixture_tip(f);
    assert_int_equal(store_meeting_apply(f->st, f->a, &ev, &res, &m), VX_OK);
    fixture_events(f, topic, tip, &l);
    assert_int_equal(l.n, 5);
    const char *const types[] = {"transcript", "retract", "transcript", "meeting.status",
                                 "meeting-end"};
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(l.type[i], types[i]);
    assert_non_null(strstr(l.data[0], "\"completed\":true,\"id\":\"a\""));
    assert_non_null(strstr(l.data[2], "\"id\":\"d\""));
    assert_int_equal(store_segments_since(f->db, f->a, meeting.id, tip, &list, &n), VX_OK);
    assert_int_equal(n, 2);
    /* The bot repeats its last words, and finds more. */
    assert_int_equal(one(f, seg("a", 1, 2, "one", false)), 0);
    struct segment late[] = {seg("e", 8, 9, "fi", false), seg("e", 8, 9, "five", false)};
    assert_int_equal(ingest(f, late, 2).stored, 2);
    assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &list, &n), VX_OK);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++)
        assert_true(list[i].completed);
    assert_string_equal(list[3].text, "five");
    tip = fixture_tip(f);
    assert_int_equal(ingest(f, late, 2).stored, 0);
    assert_int_equal(fixture_tip(f), tip);
}

static void test_times(void **state)
{
    struct fixture *f = *state;
    struct fixture_log l;
    struct segment *list, s;
    struct ingest_result r;
    size_t n;
    assert_int_equal(one(f, seg("short", 1, 1.0005, "x", true)), 0);
    assert_int_equal(one(f, seg("zero", 5, 5, "x", false)), 1);
    s = seg("chat", 4, 4, "hi", true);
    s.source = "chat";
    assert_int_equal(one(f, s), 1);
    assert_int_equal(one(f, seg("swap", 3, 2, "x", true)), 1);
    assert_int_equal(one(f, seg("swap", 3, 2, "x", true)), 0);
    assert_int_equal(one(f, seg("swap", 2, 3, "x", true)), 0);
    assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &list, &n), VX_OK);
    assert_int_equal(n, 3);
    assert_string_equal(list[0].segment_id, "swap");
    assert_string_equal(list[1].segment_id, "chat");
    assert_string_equal(list[2].segment_id, "zero");
    int64_t tip = fixture_tip(f);
    assert_int_equal(one(f, seg("epoch", 1795424088.25, 1795424089, "x", true)), 1);
    fixture_sql(f, "UPDATE meetings SET start_ms = 1000");
    assert_int_equal(one(f, seg("rel", 0.25, 1, "x", true)), 1);
    fixture_events(f, topic, tip, &l);
    assert_non_null(strstr(l.data[0], "\"tsMs\":1795424088250,"));
    assert_non_null(strstr(l.data[1], "\"tsMs\":1250,"));
    const double bad[] = {NAN, INFINITY, -1e300};
    for (int i = 0; i < 3; i++) {
        s = seg("bad", bad[i], 1, "x", true);
        assert_int_equal(store_segments_ingest(f->st, meeting.id, &s, 1, NULL, 0, &r),
                         VX_ERR_VALIDATION);
    }
    assert_int_equal(store_segments_ingest(f->st, 999, &s, 0, NULL, 0, &r),
                     VX_ERR_MEETING_NOT_FOUND);
}

static void test_big_batch(void **state)
{
    struct fixture *f = *state;
    static struct segment s[500];
    static char id[500][16];
    struct segment *list;
    size_t n;
    for (int i = 0; i < 500; i++) {
        snprintf(id[i], sizeof id[i], "s:%d", i);
        s[i] = seg(id[i], i % 7, i % 7 + 1, "words \"quoted\" \xc3\xa9 / </b>", true);
    }
    int64_t tip = fixture_tip(f);
    assert_int_equal(ingest(f, s, 500).stored, 500);
    assert_int_equal(fixture_tip(f), tip + 500);
    assert_int_equal(ingest(f, s, 500).stored, 0);
    assert_int_equal(store_segments_read(f->db, f->a, meeting.id, &list, &n), VX_OK);
    assert_int_equal(n, 500);
    for (size_t i = 1; i < n; i++) /* by start, then by arrival */
        assert_true(list[i - 1].start < list[i].start || (!(list[i].start < list[i - 1].start) &&
                                                          list[i - 1].changed < list[i].changed));
    assert_string_equal(list[0].text, s[0].text);
}

/* Whatever a batch holds, the same batch again changes nothing and tells nothing. */
static void test_any_batch_again(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"", "a", "ab", "abc", " "}, *const ids[] = {"1", "2", "3"};
    unsigned seed = 1;
    for (int round = 0; round < 1000; round++) {
        struct segment b[8];
        struct ingest_result r;
        size_t n = 1 + (size_t)rand_r(&seed) % 8;
        for (size_t i = 0; i < n; i++) {
            b[i] = seg(ids[rand_r(&seed) % 3], rand_r(&seed) % 3, rand_r(&seed) % 3,
                       texts[rand_r(&seed) % 5], rand_r(&seed) % 8 == 0);
            b[i].speaker = rand_r(&seed) % 2 ? "x" : NULL;
            b[i].language = rand_r(&seed) % 2 ? "en" : NULL;
        }
        int64_t cursor = ingest(f, b, n).cursor;
        r = ingest(f, b, n);
        if (r.cursor != cursor || r.stored != 0)
            fail_msg("round %d: %zu stored again", round, r.stored);
        if (round % 20 == 0)
            fixture_sql(f, "DELETE FROM segments");
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_draft_then_confirmed),
        T(test_hidden_fields_tell_nothing),
        T(test_same_batch_again),
        T(test_withdraw_and_retract),
        T(test_since_misses_nothing),
        T(test_end_confirms_drafts),
        T(test_times),
        T(test_big_batch),
        T(test_any_batch_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
