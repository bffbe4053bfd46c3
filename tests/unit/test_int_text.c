/* Lax integers and booleans of paths and queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/int_text.h"

static void integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } rows[] = {
        {"1", 1},
        {" 1 ", 1},
        {"\t-7\n", -7},
        {"+1", 1},
        {"1_000", 1000},
        {"1_0_0", 100},
        {"1.0", 1},
        {"-1.000", -1},
        {"007", 7},
        {"-0", 0},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"00000000000000000000000000000000001", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t v = 99;
        if (int_text_parse(rows[i].text, &v) != INT_TEXT_OK || v != rows[i].value)
            fail_msg("'%s' gave %lld", rows[i].text, (long long)v);
    }
}

static void not_integers(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    " ",    "1.",    "1e3", "0x10", "1__0",  "_1",
                                      "1_",  "1_.0", "1.0_0", ".0",  "1.5",  "1.01",  "+-1",
                                      "- 1", "+",    "1 2",   "abc", "1a",   "1.0.0", "nan"};
    int64_t v = 99;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (int_text_parse(bad[i], &v) != INT_TEXT_BAD)
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_int_equal(int_text_parse(NULL, &v), INT_TEXT_BAD);
    assert_int_equal(int_text_parse("9223372036854775808", &v), INT_TEXT_RANGE);
    assert_int_equal(int_text_parse("-9223372036854775809", &v), INT_TEXT_RANGE);
    assert_int_equal(int_text_parse("99999999999999999999999999.0", &v), INT_TEXT_RANGE);
    assert_int_equal(int_text_parse("99999999999999999999999999x", &v), INT_TEXT_BAD);
    assert_int_equal(v, 99);
}

static void booleans(void **state)
{
    (void)state;
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "y", "Yes", "on"};
    static const char *const no[] = {"0", "f", "F", "false", "n", "No", "oFf"};
    static const char *const bad[] = {"", " 1", "1 ", "2", "tru", "0.0", "enable"};
    bool b;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        b = false;
        assert_int_equal(bool_text_parse(yes[i], &b), 0);
        assert_true(b);
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        b = true;
        assert_int_equal(bool_text_parse(no[i], &b), 0);
        assert_false(b);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(bool_text_parse(bad[i], &b), -1);
    assert_int_equal(bool_text_parse(NULL, &b), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(not_integers),
        cmocka_unit_test(booleans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
