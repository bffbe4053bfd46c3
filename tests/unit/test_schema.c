/* The validator: every keyword with its exact error, what stays hidden, what stays bounded; and the
 * contracts themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/contracts.h"
#include "lib/json_scan.h"
#include "lib/schema.h"

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new((size_t)16 << 20);
    return arena != NULL && contracts_init() == VX_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    contracts_free();
    return 0;
}

static struct json_object *parse(const char *text)
{
    struct json_object *o;
    struct json_fault fault;

    if (json_read(arena, text, strlen(text), &o, &fault) != VX_OK)
        fail_msg("%s: %s at %zu", text, fault.message, fault.pos);
    return o;
}

static struct violations check(struct json_object *schema, struct json_object *value)
{
    struct violations v = {.max = 100};

    assert_int_equal(schema_check(arena, schema, value, &v), VX_OK);
    return v;
}

static void same(const struct violations *v, const char *expected)
{
    struct json_object *o = violations_to_detail(v);

    assert_non_null(o);
    assert_string_equal(json_text(o), expected);
    json_object_put(o);
}

static void expect(const char *schema, const char *value, const char *detail)
{
    struct violations v = check(parse(schema), parse(value));
    same(&v, detail);
}

static void expect_contract(const char *name, const char *value, const char *detail)
{
    struct json_object *schema = contract_find(name);
    struct violations v;

    assert_non_null(schema);
    v = check(schema, parse(value));
    same(&v, detail);
}

/* One violation of the whole body by a schema. */
static void one(const char *schema, const char *value, const char *type, const char *msg,
                const char *ctx)
{
    char expected[1024];

    snprintf(expected, sizeof expected,
             "[{\"type\":\"%s\",\"loc\":[\"body\"],\"msg\":\"%s\",\"input\":%s%s%s}]", type, msg,
             value, ctx != NULL ? ",\"ctx\":" : "", ctx != NULL ? ctx : "");
    expect(schema, value, expected);
}

static void types(void **state)
{
    static const char i[] = "{\"type\":\"integer\"}", s[] = "{\"type\":\"string\"}";

    (void)state;
    one(s, "5", "string_type", "Input should be a valid string", NULL);
    one(s, "null", "string_type", "Input should be a valid string", NULL);
    one(i, "\"5\"", "int_type", "Input should be a valid integer", NULL);
    one(i, "true", "int_type", "Input should be a valid integer", NULL);
    one(i, "null", "int_type", "Input should be a valid integer", NULL);
    one(i, "1e300", "int_type", "Input should be a valid integer", NULL);
    one(i, "1.5", "int_from_float",
        "Input should be a valid integer, got a number with a fractional part", NULL);
    expect(i, "1.0", "[]");
    expect(i, "-3e2", "[]");
    one("{\"type\":\"number\"}", "\"1\"", "float_type", "Input should be a valid number", NULL);
    expect("{\"type\":\"number\"}", "1", "[]");
    one("{\"type\":\"boolean\"}", "1", "bool_type", "Input should be a valid boolean", NULL);
    one("{\"type\":\"array\"}", "{}", "list_type", "Input should be a valid list", NULL);
    one("{\"type\":\"object\"}", "[1]", "model_attributes_type",
        "Input should be a valid dictionary or object to extract fields from", NULL);
    one("{\"type\":[\"string\",\"null\"]}", "5", "string_type", "Input should be a valid string",
        NULL);
    one("{\"type\":[\"integer\",\"null\"]}", "2.5", "int_from_float",
        "Input should be a valid integer, got a number with a fractional part", NULL);
    expect("{\"type\":[\"string\",\"null\"]}", "null", "[]");
    expect("{}", "[{},null]", "[]");
}

static void literals(void **state)
{
    (void)state;
    one("{\"enum\":[\"x\",\"y\"]}", "\"z\"", "literal_error", "Input should be 'x' or 'y'",
        "{\"expected\":\"'x' or 'y'\"}");
    one("{\"enum\":[\"x\",\"y\",\"z\",null]}", "5", "literal_error",
        "Input should be 'x', 'y' or 'z'", "{\"expected\":\"'x', 'y' or 'z'\"}");
    one("{\"const\":\"x\"}", "null", "literal_error", "Input should be 'x'",
        "{\"expected\":\"'x'\"}");
    one("{\"enum\":[1,true]}", "2", "literal_error", "Input should be 1 or True",
        "{\"expected\":\"1 or True\"}");
    expect("{\"enum\":[\"x\",null]}", "null", "[]");
}

static void bounds(void **state)
{
    (void)state;
    one("{\"minimum\":0}", "-1", "greater_than_equal", "Input should be greater than or equal to 0",
        "{\"ge\":0}");
    one("{\"exclusiveMinimum\":0}", "0", "greater_than", "Input should be greater than 0",
        "{\"gt\":0}");
    one("{\"exclusiveMinimum\":0}", "-0.5", "greater_than", "Input should be greater than 0",
        "{\"gt\":0}");
    one("{\"maximum\":500}", "501", "less_than_equal", "Input should be less than or equal to 500",
        "{\"le\":500}");
    one("{\"maximum\":0.5}", "0.75", "less_than_equal", "Input should be less than or equal to 0.5",
        "{\"le\":0.5}");
    /* equal as doubles, not as integers */
    one("{\"maximum\":9223372036854775806}", "9223372036854775807", "less_than_equal",
        "Input should be less than or equal to 9223372036854775806",
        "{\"le\":9223372036854775806}");
    one("{\"minLength\":1}", "\"\"", "string_too_short", "String should have at least 1 character",
        "{\"min_length\":1}");
    one("{\"maxLength\":3}", "\"\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\"", "string_too_long",
        "String should have at most 3 characters", "{\"max_length\":3}");
    expect("{\"maxLength\":3}", "\"\xC3\xA9\xC3\xA9\xF0\x9F\x98\x80\"", "[]");
    one("{\"minItems\":1}", "[]", "too_short",
        "List should have at least 1 item after validation, not 0",
        "{\"field_type\":\"List\",\"min_length\":1,\"actual_length\":0}");
    one("{\"maxItems\":1,\"items\":{\"type\":\"string\"}}", "[1,2]", "too_long",
        "List should have at most 1 item after validation, not 2",
        "{\"field_type\":\"List\",\"max_length\":1,\"actual_length\":2}");
    one("{\"minProperties\":1}", "{}", "too_short",
        "Dictionary should have at least 1 item after validation, not 0",
        "{\"field_type\":\"Dictionary\",\"min_length\":1,\"actual_length\":0}");
    /* a keyword says nothing about other types */
    expect("{\"minimum\":1,\"minLength\":9,\"minItems\":9,\"required\":[\"a\"]}", "true", "[]");
}

static void objects(void **state)
{
    static const char schema[] =
        "{\"type\":\"object\",\"required\":[\"z\",\"b\"],\"properties\":{\"a\":{\"type\":"
        "\"string\"},\"b\":{\"type\":\"integer\"},\"c\":{\"type\":\"array\",\"items\":{\"type\":"
        "\"object\",\"properties\":{\"d\":{\"type\":\"boolean\"}}}}},\"additionalProperties\":"
        "false}";

    (void)state;
    /* schema's order, then required names without a property, then unknown ones in the body's */
    expect(schema, "{\"y\":null,\"x\":[1],\"c\":[{},{\"d\":1},2],\"a\":7}",
           "[{\"type\":\"string_type\",\"loc\":[\"body\",\"a\"],\"msg\":\"Input should be a valid "
           "string\",\"input\":7},"
           "{\"type\":\"missing\",\"loc\":[\"body\",\"b\"],\"msg\":\"Field required\",\"input\":"
           "{\"y\":null,\"x\":[1],\"c\":[{},{\"d\":1},2],\"a\":7}},"
           "{\"type\":\"bool_type\",\"loc\":[\"body\",\"c\",1,\"d\"],\"msg\":\"Input should be a "
           "valid boolean\",\"input\":1},"
           "{\"type\":\"model_attributes_type\",\"loc\":[\"body\",\"c\",2],\"msg\":\"Input should "
           "be a valid dictionary or object to extract fields from\",\"input\":2},"
           "{\"type\":\"missing\",\"loc\":[\"body\",\"z\"],\"msg\":\"Field required\",\"input\":"
           "{\"y\":null,\"x\":[1],\"c\":[{},{\"d\":1},2],\"a\":7}},"
           "{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"y\"],\"msg\":\"Extra inputs are not "
           "permitted\",\"input\":null},"
           "{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"x\"],\"msg\":\"Extra inputs are not "
           "permitted\",\"input\":[1]}]");
}

static void pointers(void **state)
{
    struct violations v =
        check(parse("{\"properties\":{\"a~/b\":{\"items\":{\"type\":\"string\"}}},"
                    "\"additionalProperties\":false}"),
              parse("{\"a~/b\":[\"x\",1],\"/~\":0}"));
    struct json_object *o = violations_to_errors(&v);

    (void)state;
    assert_string_equal(json_text(o), "[{\"pointer\":\"/a~0~1b/1\",\"message\":\"Input should be a "
                                      "valid string\"},{\"pointer\":\"/~1~0\",\"message\":\"Extra "
                                      "inputs are not permitted\"}]");
    json_object_put(o);
    v = check(parse("{\"type\":\"object\"}"), NULL);
    assert_string_equal(v.v[0].pointer, "");
}

static void references(void **state)
{
    static const char tree[] =
        "{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\","
        "\"properties\":{\"next\":{\"$ref\":\"#/$defs/node\"}},"
        "\"additionalProperties\":false}}}";
    struct violations v = {.max = 100};

    (void)state;
    expect(tree, "{\"next\":{\"next\":{\"x\":1}}}",
           "[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"next\",\"next\",\"x\"],\"msg\":"
           "\"Extra inputs are not permitted\",\"input\":1}]");
    expect("{\"$ref\":\"health.v1.json\"}", "{\"status\":\"ok\",\"service\":\"vexa\"}", "[]");
    /* a circle or a hole in a schema is our fault, never a pass */
    assert_int_equal(schema_check(arena,
                                  parse("{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":"
                                        "\"#/$defs/a\"}}}"),
                                  NULL, &v),
                     VX_ERR_INTERNAL);
    assert_int_equal(schema_check(arena, parse("{\"$ref\":\"#/$defs/a\"}"), NULL, &v),
                     VX_ERR_INTERNAL);
    assert_int_equal(schema_check(arena, parse("{\"$ref\":\"nowhere.json\"}"), NULL, &v),
                     VX_ERR_INTERNAL);
}

static void unions(void **state)
{
    static const char one_of[] =
        "{\"oneOf\":[{\"type\":\"object\",\"required\":[\"kind\",\"n\"],\"properties\":{\"kind\":"
        "{\"const\":\"a\"},\"n\":{\"type\":\"integer\"}}},{\"type\":\"object\",\"required\":["
        "\"kind\"],\"properties\":{\"kind\":{\"const\":\"b\"}}}]}";
    static const char none[] = "Input should match one of the allowed forms";

    (void)state;
    expect(one_of, "{\"kind\":\"a\",\"n\":1}", "[]");
    expect(one_of, "{\"kind\":\"b\"}", "[]");
    /* the branch that is meant speaks */
    expect(one_of, "{\"kind\":\"a\",\"n\":\"1\"}",
           "[{\"type\":\"int_type\",\"loc\":[\"body\",\"n\"],\"msg\":\"Input should be a valid "
           "integer\",\"input\":\"1\"}]");
    one(one_of, "{\"kind\":\"c\"}", "union_error", none, NULL);
    one(one_of, "{}", "union_error", none, NULL);
    one(one_of, "7", "union_error", none, NULL);
    one("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "null", "union_error", none,
        NULL);
    expect("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}}]"
           "}",
           "[1]",
           "[{\"type\":\"string_type\",\"loc\":[\"body\",0],\"msg\":\"Input should be a valid "
           "string\",\"input\":1}]");
    expect("{\"anyOf\":[{\"minimum\":1},{\"minimum\":2}]}", "3", "[]");
    one("{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "3", "union_error",
        "Input should match exactly one of the allowed forms", NULL);
}

static void secrets_stay_out(void **state)
{
    static const char schema[] =
        "{\"type\":\"object\",\"required\":[\"id\"],\"properties\":{\"id\":{},\"key\":{\"type\":"
        "\"string\",\"maxLength\":3,\"writeOnly\":true},\"sub\":{\"type\":\"object\",\"writeOnly\":"
        "true,\"properties\":{\"pin\":{\"type\":\"string\"}},\"additionalProperties\":false}}}";

    (void)state;
    expect(
        schema, "{\"key\":\"hunter2\",\"sub\":{\"pin\":1234,\"x\":\"y\"}}",
        "[{\"type\":\"missing\",\"loc\":[\"body\",\"id\"],\"msg\":\"Field required\"},"
        "{\"type\":\"string_too_long\",\"loc\":[\"body\",\"key\"],\"msg\":\"String should have at "
        "most 3 characters\",\"ctx\":{\"max_length\":3}},"
        "{\"type\":\"string_type\",\"loc\":[\"body\",\"sub\",\"pin\"],\"msg\":\"Input should be a "
        "valid string\"},"
        "{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"sub\",\"x\"],\"msg\":\"Extra inputs "
        "are not permitted\"}]");
    /* a body of another kind is no enclosing object, unless it wraps one */
    expect(schema, "[{\"key\":\"hunter2\"}]",
           "[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input should be a "
           "valid dictionary or object to extract fields from\"}]");
    expect(schema, "[]",
           "[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],\"msg\":\"Input should be a "
           "valid dictionary or object to extract fields from\",\"input\":[]}]");
}

static void long_inputs_are_cut(void **state)
{
    char *text = arena_alloc(arena, 4096);
    struct json_object *detail, *input;
    struct violations v;

    (void)state;
    text[0] = '"';
    text[1] = 'x';
    for (size_t i = 2; i < 2002; i += 2)
        memcpy(text + i, "\xC3\xA9", 2);
    memcpy(text + 2002, "\"", 2);
    v = check(parse("{\"type\":\"integer\"}"), parse(text));
    detail = violations_to_detail(&v);
    json_object_object_get_ex(json_object_array_get_idx(detail, 0), "input", &input);
    /* 1,024 bytes would end inside a character */
    assert_int_equal(json_object_get_string_len(input), 1023);
    json_object_put(detail);

    memset(text, '1', 2001);
    text[0] = '[';
    for (size_t i = 2; i < 2000; i += 2)
        text[i] = ',';
    memcpy(text + 2000, "]", 2);
    v = check(parse("{\"type\":\"integer\"}"), parse(text));
    detail = violations_to_detail(&v);
    json_object_object_get_ex(json_object_array_get_idx(detail, 0), "input", &input);
    assert_true(json_object_is_type(input, json_type_string));
    assert_int_equal(json_object_get_string_len(input), 1024);
    assert_memory_equal(json_object_get_string(input), "[1,1,1", 6);
    json_object_put(detail);
}

static void violations_are_bounded(void **state)
{
    static char text[60000];
    struct json_object *value, *detail;
    struct violations v;
    clock_t start;
    size_t n = 0;

    (void)state;
    text[n++] = '[';
    for (int i = 0; i < 19000; i++)
        n += (size_t)snprintf(text + n, 4, "1,");
    text[n - 1] = ']';
    value = parse(text);
    start = clock();
    v = check(parse("{\"items\":{\"type\":\"string\"}}"), value);
    assert_int_equal(v.n, 100);
    v = (struct violations){0}; /* no maximum given is the default one */
    assert_int_equal(schema_check(arena,
                                  parse("{\"items\":{\"oneOf\":[{\"type\":\"string\"},{\"type\":"
                                        "\"null\"}]}}"),
                                  value, &v),
                     VX_OK);
    assert_int_equal(v.n, 100);
    detail = violations_to_detail(&v);
    assert_int_equal(json_object_array_length(detail), 100);
    json_object_put(detail);
    assert_true(clock() - start < CLOCKS_PER_SEC / 2);
}

static void by_hand(void **state)
{
    struct violations v = {.max = 100};
    struct json_fault fault = {3, "Expecting value"};
    struct json_object *x = arena_own_json(arena, json_object_new_string("x"));

    (void)state;
    assert_int_equal(violation_add(arena, &v, "int_parsing", "No", "query", "limit", x, NULL),
                     VX_OK);
    assert_int_equal(
        violation_add(arena, &v, "missing", "Field required", "body", NULL, NULL, NULL), VX_OK);
    assert_int_equal(violation_add_fault(arena, &v, &fault), VX_OK);
    assert_string_equal(v.v[0].pointer, "/limit");
    same(&v, "[{\"type\":\"int_parsing\",\"loc\":[\"query\",\"limit\"],\"msg\":\"No\",\"input\":"
             "\"x\"},{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field required\",\"input\":"
             "null},{\"type\":\"json_invalid\",\"loc\":[\"body\",3],\"msg\":\"JSON decode error\","
             "\"input\":{},\"ctx\":{\"error\":\"Expecting value\"}}]");
}

/* ---- the contracts ---- */

static void contracts_are_all_there(void **state)
{
    static const char *const names[] = {
        "admin.user.create.v1", "admin.user.update.v1",  "admin.token.create.v1", "bots.create.v1",
        "lifecycle.v1",         "transcripts.ingest.v1", "invocation.v1",         "error.v1",
        "bots.chat.v1"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(contract_find(names[i]));
    for (i = 0; contract_name(i) != NULL; i++) {
        assert_non_null(contract_find(contract_name(i)));
        if (i > 0)
            assert_true(strcmp(contract_name(i - 1), contract_name(i)) < 0);
    }
    assert_null(contract_find("admin.user.create"));
    assert_null(contract_find(""));
}

static void admin_contracts(void **state)
{
    (void)state;
    expect_contract("admin.user.create.v1", "{\"name\":null,\"foo\":1}",
                    "[{\"type\":\"missing\",\"loc\":[\"body\",\"email\"],\"msg\":\"Field required\""
                    ",\"input\":{\"name\":null,\"foo\":1}},"
                    "{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"foo\"],\"msg\":\"Extra "
                    "inputs are not permitted\",\"input\":1}]");
    expect_contract("admin.user.create.v1", "{\"email\":\"a@b\",\"max_concurrent_bots\":2.0}",
                    "[]");
    expect_contract("admin.user.create.v1", "{\"email\":\"a@b\",\"max_concurrent_bots\":null}",
                    "[{\"type\":\"int_type\",\"loc\":[\"body\",\"max_concurrent_bots\"],\"msg\":"
                    "\"Input should be a valid integer\",\"input\":null}]");
    expect_contract("admin.user.update.v1", "{}", "[]");
    expect_contract("admin.user.update.v1", "{\"max_concurrent_bots\":null,\"data\":{\"x\":[]}}",
                    "[]");
    expect_contract("admin.token.create.v1",
                    "{\"scopes\":[\"bot\",5],\"name\":\"\",\"expires_in\":0}",
                    "[{\"type\":\"string_type\",\"loc\":[\"body\",\"scopes\",1],\"msg\":\"Input "
                    "should be a valid string\",\"input\":5},"
                    "{\"type\":\"greater_than\",\"loc\":[\"body\",\"expires_in\"],\"msg\":\"Input "
                    "should be greater than 0\",\"input\":0,\"ctx\":{\"gt\":0}}]");
}

static void bots_contract(void **state)
{
    (void)state;
    expect_contract("bots.create.v1",
                    "{\"platform\":\"zoom\",\"native_meeting_id\":123,\"url\":5,\"passcode\":null,"
                    "\"transcription_tier\":null,\"recording_enabled\":[],\"webhook_url\":1}",
                    "[]");
    expect_contract("bots.create.v1",
                    "{\"passcode\":1234,\"transcription_tier\":\"fast\",\"x\":{}}",
                    "[{\"type\":\"string_type\",\"loc\":[\"body\",\"passcode\"],\"msg\":\"Input "
                    "should be a valid string\"},"
                    "{\"type\":\"literal_error\",\"loc\":[\"body\",\"transcription_tier\"],\"msg\":"
                    "\"Input should be 'realtime' or 'deferred'\",\"input\":\"fast\",\"ctx\":{"
                    "\"expected\":\"'realtime' or 'deferred'\"}},"
                    "{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"x\"],\"msg\":\"Extra inputs "
                    "are not permitted\",\"input\":{}}]");
}

static void lifecycle_contract(void **state)
{
    (void)state;
    expect_contract("lifecycle.v1",
                    "{\"connection_id\":\"c\",\"status\":\"failed\",\"stt_fault\":{},\"bot_logs\":["
                    "\"x\"],\"bot_resources\":{\"peak_memory_bytes\":1,\"more\":2}}",
                    "[]");
    expect_contract("lifecycle.v1",
                    "{\"connection_id\":\"c\",\"status\":\"active\",\"reason\":null}",
                    "[{\"type\":\"string_type\",\"loc\":[\"body\",\"reason\"],\"msg\":\"Input "
                    "should be a valid string\",\"input\":null}]");
}

static void ingest_contract(void **state)
{
    static const char name[] = "transcripts.ingest.v1";

    (void)state;
    expect_contract(name,
                    "{\"meeting_id\":\"7\",\"session_uid\":\"u\",\"segments\":[{\"segment_id\":"
                    "\"u:1\",\"start\":0,\"end\":1.5,\"text\":\"a\",\"speaker\":\"\",\"completed\":"
                    "false,\"language\":null,\"confidence\":null,\"source\":\"merged\",\"words\":[{"
                    "\"word\":\"a\",\"start\":0,\"end\":1,\"probability\":0.5}]}]}",
                    "[]");
    expect_contract(name, "{\"type\":\"transcript_retract\",\"segment_ids\":[\"u:1\"]}", "[]");
    expect_contract(name, "{\"type\":\"transcript_retract\",\"segments\":[]}",
                    "[{\"type\":\"missing\",\"loc\":[\"body\",\"segment_ids\"],\"msg\":\"Field "
                    "required\",\"input\":{\"type\":\"transcript_retract\",\"segments\":[]}}]");
    expect_contract(name, "{}",
                    "[{\"type\":\"missing\",\"loc\":[\"body\",\"segments\"],\"msg\":\"Field "
                    "required\",\"input\":{}}]");
    expect_contract(name, "{\"type\":\"x\"}",
                    "[{\"type\":\"literal_error\",\"loc\":[\"body\",\"type\"],\"msg\":\"Input "
                    "should be 'transcription', 'transcript' or 'transcript_retract'\",\"input\":"
                    "\"x\",\"ctx\":{\"expected\":\"'transcription', 'transcript' or "
                    "'transcript_retract'\"}}]");
    /* one bad segment is told once, with its place */
    expect_contract(name,
                    "{\"segments\":[{\"segment_id\":\"1\",\"start\":0,\"end\":1},{\"segment_id\":"
                    "\"\",\"start\":\"0\",\"end\":1,\"q\":2}]}",
                    "[{\"type\":\"string_too_short\",\"loc\":[\"body\",\"segments\",1,"
                    "\"segment_id\"],\"msg\":\"String should have at least 1 character\",\"input\":"
                    "\"\",\"ctx\":{\"min_length\":1}},"
                    "{\"type\":\"float_type\",\"loc\":[\"body\",\"segments\",1,\"start\"],\"msg\":"
                    "\"Input should be a valid number\",\"input\":\"0\"},"
                    "{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"segments\",1,\"q\"],\"msg\":"
                    "\"Extra inputs are not permitted\",\"input\":2}]");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(types),
        TEST(literals),
        TEST(bounds),
        TEST(objects),
        TEST(pointers),
        TEST(references),
        TEST(unions),
        TEST(secrets_stay_out),
        TEST(long_inputs_are_cut),
        TEST(violations_are_bounded),
        TEST(by_hand),
        TEST(contracts_are_all_there),
        TEST(admin_contracts),
        TEST(bots_contract),
        TEST(lifecycle_contract),
        TEST(ingest_contract),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
