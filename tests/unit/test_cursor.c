/* Event ids: only our own spelling is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/cursor.h"

static void ours(void **state)
{
    (void)state;
    int64_t n = -1;
    assert_int_equal(cursor_parse("k3x9-0", "k3x9", 12, &n), CURSOR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(cursor_parse("k3x9-12", "k3x9", 12, &n), CURSOR_OK);
    assert_int_equal(n, 12);
    assert_int_equal(cursor_parse("k3x9-9223372036854775807", "k3x9", INT64_MAX, &n), CURSOR_OK);
    assert_true(n == INT64_MAX);
}

static void strange(void **state)
{
    (void)state;
    int64_t n = 77;
    static const struct {
        const char *text;
        enum cursor_kind kind;
    } rows[] = {
        {NULL, CURSOR_NONE},
        {"", CURSOR_NONE},
        {"k3x9-13", CURSOR_FUTURE},
        {"k3x9-9223372036854775808", CURSOR_FUTURE},
        {"k3x9-99999999999999999999999999", CURSOR_FUTURE},
        {"k3x-1", CURSOR_FOREIGN},
        {"k3x99-1", CURSOR_FOREIGN},
        {"K3X9-1", CURSOR_FOREIGN},
        {"1690000000000-0", CURSOR_FOREIGN},
        {"12", CURSOR_GARBAGE},
        {"-12", CURSOR_GARBAGE},
        {"k3x9", CURSOR_GARBAGE},
        {"k3x9-", CURSOR_GARBAGE},
        {"k3x9--1", CURSOR_GARBAGE},
        {"k3x9-01", CURSOR_GARBAGE},
        {"k3x9-1 ", CURSOR_GARBAGE},
        {" k3x9-1", CURSOR_GARBAGE},
        {"k3x9-1x", CURSOR_GARBAGE},
        {"k3x9-+1", CURSOR_GARBAGE},
        {"k3/9-1", CURSOR_GARBAGE},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1", CURSOR_GARBAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (cursor_parse(rows[i].text, "k3x9", 12, &n) != rows[i].kind)
            fail_msg("row %zu: %s", i, rows[i].text ? rows[i].text : "NULL");
        assert_int_equal(n, 77);
    }
}

static void round_trip(void **state)
{
    (void)state;
    char text[CURSOR_TEXT_MAX];
    int64_t n;
    assert_string_equal(cursor_format("k3x9", 42, text), "k3x9-42");
    assert_int_equal(cursor_parse(cursor_format("ab", INT64_MAX, text), "ab", INT64_MAX, &n),
                     CURSOR_OK);
    assert_true(n == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ours),
        cmocka_unit_test(strange),
        cmocka_unit_test(round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
