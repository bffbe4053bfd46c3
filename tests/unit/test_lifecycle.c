/* The lifecycle table, every pair of it, and what an ended process means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/lifecycle.h"

static const char *const states[] = {
    NULL, "joining", "awaiting_admission", "needs_help", "active", "completed", "failed"};
enum { N = sizeof states / sizeof states[0] };

/* Same, Advance, synthetic (H for hop) or illegal; written out again from the spec's table. */
static const char *const expected[N] = {
    "-AHHH.A", "-SAAA.A", "-.SAA.A", "-..SA.A", "-...SAA", "-....S.", "-.....S",
};

static char letter(enum lifecycle_verdict v)
{
    return v == LIFECYCLE_SAME        ? 'S'
           : v == LIFECYCLE_ADVANCE   ? 'A'
           : v == LIFECYCLE_SYNTHETIC ? 'H'
                                      : '.';
}

static void table(void **state)
{
    (void)state;
    for (int from = 0; from < N; from++) {
        for (int to = 1; to < N; to++) {
            char got = letter(lifecycle_judge(states[from], states[to], false));
            if (got != expected[from][to])
                fail_msg("%s -> %s: %c", states[from] ? states[from] : "(none)", states[to], got);
        }
    }
}

static void forced(void **state)
{
    (void)state;
    for (int from = 0; from < 5; from++) {
        assert_int_equal(lifecycle_judge(states[from], "completed", true), LIFECYCLE_ADVANCE);
        assert_int_equal(lifecycle_judge(states[from], "failed", true), LIFECYCLE_ADVANCE);
    }
    assert_int_equal(lifecycle_judge("completed", "failed", true), LIFECYCLE_ILLEGAL);
    assert_int_equal(lifecycle_judge("failed", "completed", true), LIFECYCLE_ILLEGAL);
    assert_int_equal(lifecycle_judge("failed", "failed", true), LIFECYCLE_SAME);
    assert_int_equal(lifecycle_judge("active", "joining", true), LIFECYCLE_ILLEGAL);
}

static void strange_words(void **state)
{
    (void)state;
    assert_int_equal(lifecycle_judge(NULL, "stopping", false), LIFECYCLE_ILLEGAL);
    assert_int_equal(lifecycle_judge(NULL, "requested", true), LIFECYCLE_ILLEGAL);
    assert_int_equal(lifecycle_judge("active", NULL, false), LIFECYCLE_ILLEGAL);
    assert_int_equal(lifecycle_judge("active", "", false), LIFECYCLE_ILLEGAL);
    assert_null(lifecycle_state("requested"));
    assert_null(lifecycle_state("idle"));
    assert_null(lifecycle_state("scheduled"));
    assert_null(lifecycle_state("no such word"));
    assert_null(lifecycle_state(NULL));
    assert_string_equal(lifecycle_state("stopping"), "active");
    for (int i = 1; i < N; i++)
        assert_string_equal(lifecycle_state(states[i]), states[i]);
    assert_true(lifecycle_is_terminal("completed") && lifecycle_is_terminal("failed"));
    assert_false(lifecycle_is_terminal("stopping") || lifecycle_is_terminal(NULL));
}

static void stages(void **state)
{
    (void)state;
    assert_string_equal(lifecycle_failure_stage(NULL), "requested");
    assert_string_equal(lifecycle_failure_stage("joining"), "joining");
    assert_string_equal(lifecycle_failure_stage("awaiting_admission"), "awaiting_admission");
    assert_string_equal(lifecycle_failure_stage("needs_help"), "awaiting_admission");
    assert_string_equal(lifecycle_failure_stage("active"), "active");
}

static void endings(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        bool stop;
        const char *status, *reason;
    } rows[] = {
        {"requested", false, "failed", "join_failure"},
        {"requested", true, "failed", "stopped"},
        {"joining", false, "failed", "join_failure"},
        {"joining", true, "failed", "stopped"},
        {"awaiting_admission", false, "failed", "awaiting_admission_timeout"},
        {"awaiting_admission", true, "failed", "stopped"},
        {"needs_help", false, "completed", "left_alone"},
        {"active", false, "completed", "left_alone"},
        {"active", true, "completed", "stopped"},
        {"stopping", false, "completed", "stopped"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lifecycle_ending e = lifecycle_ending_of(rows[i].row, rows[i].stop);
        assert_string_equal(e.status, rows[i].status);
        assert_string_equal(e.completion_reason, rows[i].reason);
        assert_int_equal(lifecycle_judge(lifecycle_state(rows[i].row), e.status, true),
                         LIFECYCLE_ADVANCE);
    }
    assert_null(lifecycle_ending_of("completed", true).status);
    assert_null(lifecycle_ending_of("failed", false).status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),  cmocka_unit_test(forced),  cmocka_unit_test(strange_words),
        cmocka_unit_test(stages), cmocka_unit_test(endings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
