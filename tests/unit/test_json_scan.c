/* The strict scan: what json-c would let through, and the words and positions of CPython. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/json_scan.h"

/* The text in a block of exactly its size, so that ASan sees a read past its end. */
static int scan(const char *text, size_t n, struct json_fault *fault)
{
    char *copy = malloc(n != 0 ? n : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, text, n);
    rc = json_scan(copy, n, fault);
    free(copy);
    return rc;
}

struct row {
    const char *text;
    size_t n; /* 0: strlen */
    size_t pos;
    const char *message; /* NULL: fine */
};

static void check(const struct row *rows, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        const struct row *r = &rows[i];
        struct json_fault fault = {0};
        int rc = scan(r->text, r->n != 0 ? r->n : strlen(r->text), &fault);
        if (rc != (r->message == NULL ? 0 : -1))
            fail_msg("%s: %s", r->text, rc == 0 ? "accepted" : fault.message);
        if (r->message == NULL)
            continue;
        assert_string_equal(fault.message, r->message);
        if (fault.pos != r->pos)
            fail_msg("%s: at %zu, not %zu", r->text, fault.pos, r->pos);
    }
}

static void words_and_positions(void **state)
{
    static const struct row rows[] = {
        {"", 0, 0, "Expecting value"},
        {"  \n", 0, 3, "Expecting value"},
        {"[1,]", 0, 3, "Expecting value"},
        {"[", 0, 1, "Expecting value"},
        {"[1", 0, 2, "Expecting ',' delimiter"},
        {"nul", 0, 0, "Expecting value"},
        {"NaN", 0, 0, "Expecting value"},
        {"[Infinity]", 0, 1, "Expecting value"},
        {"-Infinity", 0, 0, "Expecting value"},
        {"'a'", 0, 0, "Expecting value"},
        {"{", 0, 1, "Expecting property name enclosed in double quotes"},
        {"{a", 0, 1, "Expecting property name enclosed in double quotes"},
        {"{'a':1}", 0, 1, "Expecting property name enclosed in double quotes"},
        {"{\"a\":1,}", 0, 7, "Expecting property name enclosed in double quotes"},
        {"{\"a\" 1}", 0, 5, "Expecting ':' delimiter"},
        {"[1 2]", 0, 3, "Expecting ',' delimiter"},
        {"{} x", 0, 3, "Extra data"},
        {"{}{}", 0, 2, "Extra data"},
        {"01", 0, 1, "Extra data"},
        {"[-01]", 0, 3, "Expecting ',' delimiter"},
        {"1.", 0, 1, "Extra data"},
        {"1e+", 0, 1, "Extra data"},
        {"-", 0, 0, "Expecting value"},
        {"+1", 0, 0, "Expecting value"},
        {".5", 0, 0, "Expecting value"},
        {"\"abc", 0, 0, "Unterminated string starting at"},
        {"[\"abc\\", 0, 1, "Unterminated string starting at"},
        {"\"a\tb\"", 0, 2, "Invalid control character at"},
        {"\"a\0b\"", 5, 2, "Invalid control character at"},
        {"\"a\\x\"", 0, 2, "Invalid \\escape"},
        {"\"a\\u12g4\"", 0, 3, "Invalid \\uXXXX escape"},
        {"\"\\u12", 0, 2, "Invalid \\uXXXX escape"},
        /* characters, not bytes */
        {"[\"\xC3\xA9\xF0\x9F\x98\x80\", x]", 0, 7, "Expecting value"},
        {"// c\n1", 0, 0, "Expecting value"},
        {"1\0", 2, 1, "Extra data"},
    };

    (void)state;
    check(rows, sizeof rows / sizeof *rows);
}

static void what_we_refuse_beyond_cpython(void **state)
{
    static const struct row rows[] = {
        {"\"\\ud800\"", 0, 1, "Unpaired surrogate escape"},
        {"\"\\udc00\"", 0, 1, "Unpaired surrogate escape"},
        {"\"\\ud800\\u0041\"", 0, 1, "Unpaired surrogate escape"},
        {"\"\\ud800x\"", 0, 1, "Unpaired surrogate escape"},
        {"\"\\ud83d\\ude00\"", 0, 0, NULL},
        {"\"a\\u0000z\"", 0, 2, "U+0000 is not allowed"},
        {"{\"a\\u0000z\":1}", 0, 3, "U+0000 is not allowed"},
        {"\xEF\xBB\xBF{}", 0, 0, "Unexpected UTF-8 BOM (decode using utf-8-sig)"},
        {"\"\xC0\xAF\"", 0, 1, "Invalid UTF-8"},         /* overlong */
        {"\"\xE0\x80\xAF\"", 0, 1, "Invalid UTF-8"},     /* overlong */
        {"\"\xF0\x80\x80\xAF\"", 0, 1, "Invalid UTF-8"}, /* overlong */
        {"\"\xED\xA0\x80\"", 0, 1, "Invalid UTF-8"},     /* surrogate */
        {"\"\xF4\x90\x80\x80\"", 0, 1, "Invalid UTF-8"}, /* above U+10FFFF */
        {"\"\xF5\x80\x80\x80\"", 0, 1, "Invalid UTF-8"},
        {"\"a\x80\"", 0, 2, "Invalid UTF-8"},
        {"\"\xE2\x82\"", 0, 1, "Invalid UTF-8"},
        {"\"\xE2\x82", 0, 1, "Invalid UTF-8"},
        {"\xFF", 0, 0, "Invalid UTF-8"},
        {"\"\xF4\x8F\xBF\xBF\xEF\xBF\xBF\"", 0, 0, NULL},
        {"9223372036854775807", 0, 0, NULL},
        {"-9223372036854775808", 0, 0, NULL},
        {"[9223372036854775808]", 0, 1, "Integer out of range"},
        {"-9223372036854775809", 0, 0, "Integer out of range"},
        {"99999999999999999999999999", 0, 0, "Integer out of range"},
        {"1e308", 0, 0, NULL},
        {"1e309", 0, 0, "Number out of range"},
        {"-1E999", 0, 0, "Number out of range"},
        {"1e-400", 0, 0, NULL},
        {"9223372036854775808.0", 0, 0, NULL},
    };
    char digits[200];

    (void)state;
    check(rows, sizeof rows / sizeof *rows);
    memset(digits, '1', sizeof digits);
    check(&(struct row){digits, sizeof digits, 0, "Number is too long"}, 1);
}

static void depth(void **state)
{
    char text[200];
    struct json_fault fault;

    (void)state;
    for (size_t n = 32; n <= 33; n++) {
        memset(text, '[', n);
        text[n] = '1';
        memset(text + n + 1, ']', n);
        assert_int_equal(scan(text, 2 * n + 1, &fault), n == 32 ? 0 : -1);
    }
    assert_string_equal(fault.message, "Nested too deeply");
    assert_int_equal(fault.pos, 32);
}

static void count_of_values(void **state)
{
    static char text[60000];
    struct json_fault fault;
    size_t n = 0;

    (void)state;
    text[n++] = '[';
    for (int i = 0; i < 19999; i++) { /* with the array itself: 20,000 */
        text[n++] = '1';
        text[n++] = ',';
    }
    text[n - 1] = ']';
    assert_int_equal(scan(text, n, &fault), 0);
    text[n - 1] = ',';
    text[n++] = '1';
    text[n++] = ']';
    assert_int_equal(scan(text, n, &fault), -1);
    assert_string_equal(fault.message, "Too many values");
    assert_int_equal(fault.pos, n - 2);
}

static void a_mebibyte_of_objects_builds_nothing(void **state)
{
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    struct arena *a = arena_new(4096);
    struct json_object *o;
    struct json_fault fault;
    clock_t start;

    (void)state;
    assert_non_null(text);
    assert_non_null(a);
    text[0] = '[';
    for (size_t i = 1; i < SIZE; i++)
        text[i] = "{},"[(i - 1) % 3];
    start = clock();
    assert_int_equal(json_read(a, text, SIZE, &o, &fault), VX_ERR_JSON_INVALID);
    assert_true(clock() - start < CLOCKS_PER_SEC / 10);
    assert_string_equal(fault.message, "Too many values");
    assert_null(o);
    arena_free(a);
    free(text);
}

static void builds_what_it_passed(void **state)
{
    static const char text[] = "{\"a\":1,\"a\":[1.50,\"\\ud83d\\ude00/\",true,null]}";
    struct arena *a = arena_new(1 << 20);
    struct json_object *o;
    struct json_fault fault;

    (void)state;
    assert_int_equal(json_read(a, text, strlen(text), &o, &fault), VX_OK);
    /* the last of a repeated name wins; numbers and slashes stay as they were */
    assert_string_equal(json_text(o), "{\"a\":[1.50,\"\xF0\x9F\x98\x80/\",true,null]}");
    assert_int_equal(json_read(a, " null ", 6, &o, &fault), VX_OK);
    assert_null(o);
    assert_int_equal(json_read(a, "12", 2, &o, &fault), VX_OK);
    assert_string_equal(json_text(o), "12");
    assert_int_equal(json_read(a, "12345678", 2, &o, &fault), VX_OK); /* not past n */
    assert_string_equal(json_text(o), "12");
    assert_int_equal(json_read(a, "false", 5, &o, &fault), VX_OK);
    assert_string_equal(json_text(o), "false");
    arena_free(a);
}

static void numbers(void **state)
{
    static const struct {
        double d;
        const char *text;
    } rows[] = {{1.5, "1.5"},
                {2.867, "2.867"},
                {3, "3"},
                {0.1, "0.1"},
                {-0.0, "0"},
                {0.1 + 0.2, "0.30000000000000004"},
                {1763887688.407, "1763887688.407"},
                {-12.25, "-12.25"}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_object *o = json_number(rows[i].d);
        assert_string_equal(json_text(o), rows[i].text);
        json_object_put(o);
    }
    assert_null(json_number(HUGE_VAL));
    assert_null(json_number(NAN));
}

static void puts_and_gets(void **state)
{
    struct json_object *o = json_object_new_object();

    (void)state;
    assert_int_equal(json_put_str(o, "s", "a/b"), 0);
    assert_int_equal(json_put_str(o, "n", NULL), 0);
    assert_int_equal(json_put_int(o, "i", INT64_MIN), 0);
    assert_int_equal(json_put_bool(o, "b", 4), 0);
    assert_int_equal(json_put_time(o, "t0", 0), 0);
    assert_int_equal(json_put_time(o, "t", 1000), 0);
    assert_int_equal(json_put(o, "x", NULL), -1);
    assert_int_equal(json_put(NULL, "x", json_object_new_int(1)), -1);
    assert_string_equal(json_text(o), "{\"s\":\"a/b\",\"n\":null,\"i\":-9223372036854775808,"
                                      "\"b\":true,\"t0\":null,\"t\":\"1970-01-01T00:00:01Z\"}");
    assert_string_equal(json_get_str(o, "s"), "a/b");
    assert_null(json_get_str(o, "i"));
    assert_null(json_get_str(o, "n"));
    assert_null(json_get_str(NULL, "n"));
    assert_int_equal(json_get_int(o, "s", 7), 7);
    assert_true(json_get_int(o, "i", 7) == INT64_MIN);
    assert_int_equal(json_get_bool(o, "b", 0), 1);
    assert_int_equal(json_get_bool(o, "s", -1), -1);
    assert_int_equal(json_put(o, "d", json_object_new_double(4.0)), 0);
    assert_int_equal(json_get_int(o, "d", 7), 4);
    assert_int_equal(json_put(o, "d", json_object_new_double(1e300)), 0);
    assert_int_equal(json_get_int(o, "d", 7), 7);
    json_object_put(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_positions),
        cmocka_unit_test(what_we_refuse_beyond_cpython),
        cmocka_unit_test(depth),
        cmocka_unit_test(count_of_values),
        cmocka_unit_test(a_mebibyte_of_objects_builds_nothing),
        cmocka_unit_test(builds_what_it_passed),
        cmocka_unit_test(numbers),
        cmocka_unit_test(puts_and_gets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
