/* Changing single lines of vexa.conf keeps all others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "cli/conf_file.h"

static void check(const char *text, const char *section, const char *key, const char *value,
                  const char *want)
{
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(conf_set(&b, text, section, key, value), 0);
    assert_string_equal(b.data, want);
    buf_free(&b);
}

static void test_set(void **state)
{
    (void)state;
    const char *text = "; top\n[server]\n;base_url = hint\nbase_url=old\nx = 1\n[bots]\nx = 2";
    check(text, "server", "base_url", "new",
          "; top\n[server]\n;base_url = hint\nbase_url = new\nx = 1\n[bots]\nx = 2\n");
    check(text, "bots", "x", "3",
          "; top\n[server]\n;base_url = hint\nbase_url=old\nx = 1\n[bots]\nx = 3\n");
    check(text, "bots", "y", "3",
          "; top\n[server]\n;base_url = hint\nbase_url=old\nx = 1\n[bots]\ny = 3\nx = 2\n");
    check(text, "log", "level", "warn",
          "; top\n[server]\n;base_url = hint\nbase_url=old\nx = 1\n[bots]\nx = 2\n"
          "\n[log]\nlevel = warn\n");
    check("", "log", "level", "warn", "\n[log]\nlevel = warn\n");
    /* a key that only begins alike, a heading that only begins alike, a section given twice */
    check("[serve]\nbase = 1\n[server]\nbase_url2 = 1\n[server]\n base_url : 1\n", "server",
          "base_url", "n", "[serve]\nbase = 1\n[server]\nbase_url2 = 1\n[server]\nbase_url = n\n");
}

static void test_make(void **state)
{
    (void)state;
    struct conf_secrets s = {"AAA", "BBB", "CCC"};
    struct buf b;
    buf_init(&b, 65536);
    assert_int_equal(conf_make(&b, &s, NULL, "60"), 0);
    assert_non_null(strstr(b.data, "\nadmin_token = AAA\n"));
    assert_non_null(strstr(b.data, "\n;base_url = "));
    assert_non_null(strstr(b.data, "\nreplay_speed = 60\n"));
    for (const char *p = b.data; *p; p += strcspn(p, "\n") + 1)
        assert_true(strcspn(p, "\n") < 199);
    buf_free(&b);
    buf_init(&b, 100); /* too small: said, not cut */
    assert_int_equal(conf_make(&b, &s, NULL, NULL), -1);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_set), cmocka_unit_test(test_make)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
