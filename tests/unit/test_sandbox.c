/* What the report says of a kernel, and that nothing gets through the boundary of this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sandbox.h"

/* The guards that hold, as one text. */
static const char *held(int abi, bool filter)
{
    static char text[400];
    struct sandbox_report r;
    sandbox_report_of(abi, filter, &r);
    size_t len = 0;
    text[0] = '\0';
    for (int i = 0; i < SANDBOX_GUARD_COUNT; i++) {
        assert_true(strlen(r.facts[i].sentence) > 20);
        if (r.facts[i].enforced)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s ", r.facts[i].name);
    }
    return text;
}

static void test_report_by_abi(void **state)
{
    (void)state;
    assert_string_equal(held(0, false), "");
    assert_string_equal(held(1, false), "write read process ");
    assert_string_equal(held(2, false), "write read process ");
    assert_string_equal(held(3, false), "write read truncate process ");
    assert_string_equal(held(4, false), "write read truncate process connect ");
    assert_string_equal(held(5, false), "write read truncate devices process connect ");
    assert_string_equal(held(6, false),
                        "write read truncate devices process signal abstract connect ");
    assert_string_equal(held(0, true), "rlimits abstract sockets bind connect udp ");
    assert_string_equal(held(99, true), "write read truncate devices process signal rlimits "
                                        "abstract sockets bind connect udp ");
}

static size_t entries(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void test_nothing_gets_through(void **state)
{
    (void)state;
    char exe[PATH_MAX], dir[] = "/tmp/vexa-unit-XXXXXX";
    struct sandbox_self_test test;
    if (!realpath("vexa", exe)) /* make check runs in the build folder */
        skip();
    assert_non_null(mkdtemp(dir));
    int rc = sandbox_self_test(exe, dir, &test);
    size_t left = entries(dir);
    rmdir(dir);
    assert_string_equal(test.why, "");
    assert_int_equal(rc, 0);
    assert_int_equal(test.n, 23);
    assert_int_equal(test.through, 0);
    assert_int_equal(left, 2); /* . and .. */
    for (size_t i = 0; i < test.n; i++)
        assert_int_equal(test.attempts[i].expected && !test.attempts[i].error, 0);
}

static void test_a_self_test_that_cannot_run_says_why(void **state)
{
    (void)state;
    struct sandbox_self_test test;
    assert_int_equal(sandbox_self_test("/nonexistent/vexa", "/tmp", &test), -1);
    assert_string_equal(test.why, "cannot start /nonexistent/vexa: No such file or directory");
    assert_int_equal(sandbox_self_test("/bin/true", "/nonexistent", &test), -1);
    assert_string_equal(test.why,
                        "cannot make a folder in /nonexistent: No such file or directory");
    assert_int_equal(sandbox_self_test("/bin/true", "/tmp", &test), -1);
    assert_string_equal(test.why, "the program inside said nothing");
    assert_int_equal(sandbox_self_test("/bin/echo", "/tmp", &test), -1);
    assert_int_equal(strncmp(test.why, "exec-in --ro /bin/echo", 22), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_by_abi),
        cmocka_unit_test(test_nothing_gets_through),
        cmocka_unit_test(test_a_self_test_that_cannot_run_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
