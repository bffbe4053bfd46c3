/* What of a meeting's data leaves the server, and whether the route table is one a router can
 * trust: no row twice, every contract known, no text missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "handlers/body.h"
#include "handlers/meeting_json.h"
#include "handlers/routes.h"
#include "lib/contracts.h"
#include "lib/json_scan.h"

#define ARENA_MAX (1u << 20)

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(ARENA_MAX);
    return arena != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void secret_keys(void **state)
{
    static const char *const secret[] = {"webhook_secret",     "WEBHOOK_SECRETS", "share_grants",
                                         "auth_userdata_path", "token",           "my_Token",
                                         "x_api_key",          "_password",       "apikey",
                                         "a_b_credentials"};
    static const char *const open[] = {"token_count",     "secret_santa_notes",
                                       "tokens_used",     "mytoken",
                                       "my_share_grants", "",
                                       "x-token",         "key"};
    (void)state;
    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++)
        assert_true(data_key_is_secret(secret[i]));
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        assert_false(data_key_is_secret(open[i]));
}

/* The projection of text, as text. */
static const char *project(const char *text, bool slim)
{
    struct json_object *stored;
    assert_int_equal(stored_object(arena, text, "meeting", 1, &stored), VX_OK);
    const char *before = arena_strdup(arena, json_text(stored));
    struct json_object *out = arena_own_json(arena, meeting_data_project(stored, slim));
    assert_non_null(out);
    assert_string_equal(json_text(stored), before); /* the stored tree is not touched */
    return json_text(out);
}

static void projection(void **state)
{
    static const char data[] =
        "{\"title\":\"t\",\"bot_logs\":[1],\"webhook_secret\":1,\"recordings\":[],"
        "\"calendar_sources\":[{\"id\":1,\"ics_url\":\"u\",\"bot_name\":null},{\"name\":\"n\"},"
        "{\"id\":null},7],\"inner\":{\"token\":1}}";
    (void)state;
    assert_string_equal(project(data, false), "{\"title\":\"t\",\"bot_logs\":[1],\"recordings\":[],"
                                              "\"calendar_sources\":[{\"id\":1,\"bot_name\":null}],"
                                              "\"inner\":{\"token\":1}}");
    assert_string_equal(project(data, true),
                        "{\"title\":\"t\",\"calendar_sources\":[{\"id\":1,\"bot_name\":null}],"
                        "\"inner\":{\"token\":1}}");
    assert_string_equal(project("{\"calendar_sources\":5}", false), "{\"calendar_sources\":[]}");
}

static void corrupt_data(void **state)
{
    static const char *const bad[] = {"",     "[]",  "7",          "null",     "nope",
                                      "{\"a", "{}x", "{\"a\":1}}", "{\"a\":1", "\"s\""};
    struct json_object *o;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(stored_object(arena, bad[i], "meeting", 1, &o), VX_ERR_INTERNAL);
    assert_int_equal(stored_object(arena, NULL, "meeting", 1, &o), VX_ERR_INTERNAL);
    assert_int_equal(stored_object(arena, "{\"a\":1} ", "meeting", 1, &o), VX_OK);
}

static void row_keys(void **state)
{
    struct meeting m = {.id = 4,
                        .user_id = 2,
                        .platform = "zoom",
                        .status = "failed",
                        .session_uid = "s",
                        .data = "{\"x\":1}",
                        .failure_reason = "why",
                        .created_ms = 1000,
                        .updated_ms = 2000};
    struct json_object *o;
    (void)state;
    assert_int_equal(meeting_row(arena, &m, MEETING_NEW, &o), VX_OK);
    assert_string_equal(
        json_text(arena_own_json(arena, o)),
        "{\"id\":4,\"user_id\":2,\"platform\":\"zoom\",\"native_meeting_id\":null,"
        "\"constructed_meeting_url\":null,\"status\":\"failed\",\"bot_container_id\":null,"
        "\"start_time\":null,\"end_time\":null,\"completion_reason\":null,"
        "\"failure_stage\":null,\"data\":{\"x\":1,\"sessions\":[\"s\"]},"
        "\"created_at\":\"1970-01-01T00:00:01Z\",\"updated_at\":\"1970-01-01T00:00:02Z\"}");
    assert_int_equal(meeting_row(arena, &m, MEETING_LIST, &o), VX_OK);
    assert_string_equal(
        json_text(arena_own_json(arena, o)),
        "{\"id\":4,\"user_id\":2,\"platform\":\"zoom\",\"native_meeting_id\":null,"
        "\"constructed_meeting_url\":null,\"status\":\"failed\",\"bot_container_id\":null,"
        "\"start_time\":null,\"end_time\":null,\"completion_reason\":null,"
        "\"failure_stage\":null,\"failure_reason\":\"why\",\"shared\":false,"
        "\"created_at\":\"1970-01-01T00:00:01Z\",\"updated_at\":\"1970-01-01T00:00:02Z\","
        "\"data\":{\"x\":1}}");
}

static void python_lists(void **state)
{
    static const char *const s[] = {"foo", "it's", ""};
    (void)state;
    assert_string_equal(python_list(arena, s, 3), "['foo', \"it's\", '']");
    assert_string_equal(python_list(arena, s, 0), "[]");
}

static void text_is_cut_between_characters(void **state)
{
    (void)state;
    assert_string_equal(text_cut(arena, "abc", 3), "abc");
    assert_string_equal(text_cut(arena, "a\xc3\xa9", 2), "a");
    assert_string_equal(text_cut(arena, "\xf0\x9f\x98\x80x", 4), "\xf0\x9f\x98\x80");
    assert_string_equal(text_cut(arena, "\xf0\x9f\x98\x80", 3), "");
}

static void whole_numbers(void **state)
{
    int64_t v = 0;
    struct json_object *d = arena_own_json(arena, json_object_new_double(3.0));
    struct json_object *half = arena_own_json(arena, json_object_new_double(0.5));
    struct json_object *huge = arena_own_json(arena, json_object_new_double(0x1p63));
    (void)state;
    assert_true(body_int(d, &v));
    assert_int_equal(v, 3);
    assert_false(body_int(half, &v));
    assert_false(body_int(huge, &v));
    assert_false(body_int(NULL, &v));
}

static void route_table(void **state)
{
    const struct route *r, *q;
    (void)state;
    assert_int_equal(contracts_init(), VX_OK);
    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        assert_true(r->pattern[0] == '/');
        assert_true(r->summary != NULL && *r->summary != '\0');
        assert_true(r->success >= 101 && r->success < 300);
        if (r->contract != NULL && contract_find(r->contract) == NULL)
            fail_msg("%s %s: no contract %s", r->method, r->pattern, r->contract);
        if (r->contract != NULL && r->handler == NULL)
            fail_msg("%s %s: a contract and no handler", r->method, r->pattern);
        if (r->handler != NULL && r->contract == NULL && strcmp(r->method, "GET") != 0 &&
            strcmp(r->method, "DELETE") != 0)
            fail_msg("%s %s: a body nobody checks", r->method, r->pattern);
        if (r->auth != AUTH_KEY && r->scopes != 0)
            fail_msg("%s %s: scopes without a key", r->method, r->pattern);
        for (size_t j = i + 1; (q = route_at(j)) != NULL; j++)
            if (strcmp(r->method, q->method) == 0 && strcmp(r->pattern, q->pattern) == 0)
                fail_msg("%s %s twice", r->method, r->pattern);
    }
    contracts_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secret_keys),   cmocka_unit_test(projection),
        cmocka_unit_test(corrupt_data),  cmocka_unit_test(row_keys),
        cmocka_unit_test(python_lists),  cmocka_unit_test(text_is_cut_between_characters),
        cmocka_unit_test(whole_numbers), cmocka_unit_test(route_table),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
