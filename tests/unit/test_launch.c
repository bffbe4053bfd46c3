/* Command lines, the invocation, and what the end of a bot's process is called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <json-c/json.h>
#include <string.h>

#include "lib/contracts.h"
#include "lib/json_scan.h"
#include "lib/meeting_token.h"
#include "runner/ending.h"
#include "runner/launch.h"

static int setup(void **state)
{
    *state = arena_new(1 << 20);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

/* Splits line and joins the words with '|'. */
static const char *split(struct arena *a, const char *line)
{
    char **words;
    size_t n;
    const char *why = "", *out = "";
    if (command_split(a, line, &words, &n, &why))
        return why;
    for (size_t i = 0; i < n; i++)
        out = arena_printf(a, "%s%s|", out, words[i]);
    assert_null(words[n]);
    return out;
}

static void test_words(void **state)
{
    struct arena *a = *state;
    assert_string_equal(split(a, ""), "");
    assert_string_equal(split(a, " \t "), "");
    assert_string_equal(split(a, "  /bin/a  b\tc "), "/bin/a|b|c|");
    assert_string_equal(split(a, "sh -c 'cd \"/x y\" && $HOME \\n'"),
                        "sh|-c|cd \"/x y\" && $HOME \\n|");
    assert_string_equal(split(a, "a \"b 'c' \\\" \\\\ \\n\" d"), "a|b 'c' \" \\ \\n|d|");
    assert_string_equal(split(a, "a\\ b \\'c \"\" ''"), "a b|'c|||");
    assert_string_equal(split(a, "x\"y\"'z'"), "xyz|");
    assert_string_equal(split(a, "$(rm) `x` *;&|"), "$(rm)|`x`|*;&||");
}

static void test_words_refused(void **state)
{
    struct arena *a = *state;
    const char *unclosed = "the command line has an unclosed quote or ends in a backslash";
    assert_string_equal(split(a, "a 'b"), unclosed);
    assert_string_equal(split(a, "a \"b"), unclosed);
    assert_string_equal(split(a, "a b\\"), unclosed);
    char many[2 * 256 + 1];
    for (size_t i = 0; i < sizeof many - 1; i++)
        many[i] = i % 2 ? ' ' : 'x';
    many[sizeof many - 1] = '\0';
    assert_string_equal(split(a, many), "the command line has too many words");
}

static struct ending_facts died(const char *status, int code, int sig)
{
    return (struct ending_facts){.meeting_status = status,
                                 .known = true,
                                 .exit_code = sig ? -1 : code,
                                 .sig = sig,
                                 .grace_s = 20,
                                 .max_s = 60};
}

static void check(struct arena *a, struct ending_facts f, const char *status, const char *reason,
                  const char *text)
{
    struct ending e;
    assert_int_equal(ending_of(a, &f, &e), VX_OK);
    assert_string_equal(e.status, status);
    assert_string_equal(e.completion_reason, reason);
    assert_string_equal(e.reason, text);
}

static void test_endings(void **state)
{
    struct arena *a = *state;
    check(a, died("active", 0, 9), "completed", "left_alone",
          "the bot process was killed by signal 9 (SIGKILL) before it reported an end");
    check(a, died("joining", 3, 0), "failed", "join_failure",
          "the bot process exited with code 3 before it reported an end (never admitted)");
    check(a, died("awaiting_admission", 1, 0), "failed", "awaiting_admission_timeout",
          "the bot process exited with code 1 before it reported an end (never admitted)");
    struct ending_facts f = died("active", 0, 0);
    f.known = false;
    check(a, f, "completed", "left_alone",
          "the bot process is gone (it ended while no runner was watching)");
    f = died("requested", 127, 0);
    f.start_error = "the bot program could not be started: x: No such file or directory";
    check(a, f, "failed", "start_failed", f.start_error);
    f = died("active", 0, 15);
    f.why = BOT_WHY_MAX_TIME;
    check(a, f, "completed", "max_bot_time_exceeded",
          "the bot was ended after 60 s, the longest life of a bot here");
}

static void test_stops(void **state)
{
    struct arena *a = *state;
    struct ending_facts f = died("stopping", 0, 9);
    f.stop_requested = f.killed = true;
    f.why = BOT_WHY_STOP;
    check(a, f, "completed", "stopped",
          "stopped (workload killed after 20 s, confirmed by runtime)");
    f = died("awaiting_admission", 0, 0);
    f.stop_requested = true;
    check(a, f, "failed", "stopped", "stopped by the user at awaiting_admission (never admitted)");
    f = died("completed", 0, 0);
    struct ending e;
    assert_int_equal(ending_of(a, &f, &e), VX_OK);
    assert_null(e.status);
}

static void test_invocation(void **state)
{
    struct arena *a = *state;
    struct instance in = {.dir = "/d", .exe = "/x/vexa", .cfg = config_defaults()};
    struct workload w = {.id = "mtg-7-abcdefgh",
                         .session_uid = "abcdefgh-1",
                         .launch = "{\"botName\":\"B\",\"recordingEnabled\":true,"
                                   "\"transcribeEnabled\":true,\"token\":\"mine\"}",
                         .meeting_id = 7,
                         .user_id = 2,
                         .platform = "google_meet",
                         .native_id = "abc",
                         .url = "https://meet.google.com/abc"};
    const char *text = NULL, *why = NULL;
    assert_int_equal(contracts_init(), VX_OK);
    /* no signing key: told by name */
    assert_int_equal(invocation_build(a, &in, &w, 1000, &text, &why), VX_ERR_BAD_CONFIG);
    assert_non_null(strstr(why, "server.signing_key"));
    w.launch = "[]";
    assert_int_equal(invocation_build(a, &in, &w, 1000, &text, &why), VX_ERR_INTERNAL);
    contracts_free();
    config_free(in.cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_endings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invocation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
