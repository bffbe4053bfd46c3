/* The config reader: keys, bounds, and errors that name their line. Also texts of time, base64url
 * and the pids file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/config.h"
#include "lib/instance.h"
#include "lib/secret.h"

static enum vx_err load(const char *text, struct config **c, char why[300])
{
    char path[] = "/tmp/vexa-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    enum vx_err err = config_load(path, c, why, 300);
    unlink(path);
    return err;
}

static void defaults_and_values(void **state)
{
    (void)state;
    struct config *c;
    char why[300];
    assert_int_equal(load("# none\n", &c, why), VX_OK);
    assert_int_equal(config_int(c, CFG_BOTS_STOP_GRACE_SECONDS), 20);
    assert_int_equal(config_int(c, CFG_BOTS_FAILED_WINDOW), 3600);
    assert_int_equal(config_int(c, CFG_COMPAT_STOP_RESPONSE), 204);
    assert_string_equal(config_str(c, CFG_SERVER_ADMIN_TOKEN), "");
    config_free(c);
    assert_int_equal(
        load("[server]\nbase_url = https://x.example/v/\n[bots]\nzoom = /bin/z --a\n", &c, why),
        VX_OK);
    assert_string_equal(config_str(c, CFG_SERVER_BASE_URL), "https://x.example/v");
    assert_string_equal(config_str(c, CFG_BOTS_ZOOM), "/bin/z --a");
    config_free(c);
}

static void errors_name_their_line(void **state)
{
    (void)state;
    char long_line[400] = "[server]\nbase_url = http://";
    memset(long_line + strlen(long_line), 'a', 250);
    strncat(long_line, "\n", 2);
    const struct {
        const char *text, *line, *word;
    } cases[] = {
        {"[server]\nthreads = 4\nthreds = 4\n", ":3:", "unknown key server.threds"},
        {"[server]\nthreads = 0\n", ":2:", "server.threads"},
        {"[server]\nthreads = 4x\n", ":2:", "server.threads"},
        {"[servers]\nthreads = 4\n", ":2:", "unknown key servers.threads"},
        {"threads = 4\n", ":1:", "unknown key"},
        {"[server]\nthreads = 4\nthreads = 5\n", ":3:", "twice"},
        {"[server]\nwhat is this\n", ":2:", "key = value"},
        {"[server]\nbase_url = ftp://x\n", "", "base_url"},
        {long_line, ":2:", "199 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config *c;
        char why[300] = "";
        assert_int_equal(load(cases[i].text, &c, why), VX_ERR_BAD_CONFIG);
        assert_null(c);
        assert_non_null(strstr(why, cases[i].line));
        assert_non_null(strstr(why, cases[i].word));
    }
}

static void times_read_back(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_MAX];
    int64_t ms;
    assert_string_equal(clock_format(0, text), "1970-01-01T00:00:00Z");
    assert_string_equal(clock_format(1795424088407, text), "2026-11-23T08:54:48.407Z");
    assert_int_equal(clock_parse(text, &ms), 0);
    assert_int_equal(ms, 1795424088407);
    assert_int_equal(clock_parse("2026-11-23T09:54:48.407123+01:00", &ms), 0);
    assert_int_equal(ms, 1795424088407);
    static const char *const bad[] = {"",
                                      "2026-11-23",
                                      "2026-02-30T00:00:00Z",
                                      "2026-11-23T24:00:00Z",
                                      "2026-11-23T08:54:48.Z",
                                      "2026-11-23T08:54:48Zx",
                                      "26-11-23T08:54:48Z"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(clock_parse(bad[i], &ms), -1);
    assert_int_equal(clock_parse_cue("00:49:52.267", 12, &ms), 0);
    assert_int_equal(ms, 2992267);
    assert_int_equal(clock_parse_cue("02:03.004", 9, &ms), 0);
    assert_int_equal(ms, 123004);
    assert_int_equal(clock_parse_cue("00:61.004", 9, &ms), -1);
    assert_int_equal(clock_parse_cue("1:02.004", 8, &ms), -1);
}

static void base64url_is_strict(void **state)
{
    (void)state;
    char text[16];
    unsigned char out[16];
    secret_b64url_encode("\xff\xfe\xfd\xfc", 4, text);
    assert_string_equal(text, "__79_A");
    assert_int_equal(secret_b64url_decode(text, 6, out, sizeof out), 4);
    assert_memory_equal(out, "\xff\xfe\xfd\xfc", 4);
    assert_int_equal(secret_b64url_decode("__79_B", 6, out, sizeof out), -1);
    assert_int_equal(secret_b64url_decode("a+/=", 4, out, sizeof out), -1);
    assert_int_equal(secret_b64url_decode("AAAAA", 5, out, sizeof out), -1);
    assert_int_equal(secret_b64url_decode("AAAAAAAA", 8, out, 5), -1);
    assert_true(secret_equal("abc", "abc"));
    assert_false(secret_equal("abc", "abd"));
    assert_false(secret_equal("abc", NULL));
    assert_false(secret_equal("", "a"));
}

static void a_full_buffer_stays_failed(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_append_str(&b, "0123456789"), 0);
    assert_int_equal(buf_append_char(&b, 'x'), -1);
    assert_int_equal(buf_append_char(&b, 'y'), -1);
    assert_null(buf_take(&b));
    buf_free(&b);
    buf_init(&b, 100);
    assert_int_equal(buf_append_json_str(&b, "a\"\\\n\x01z", 6), 0);
    assert_string_equal(b.data, "\"a\\\"\\\\\\n\\u0001z\"");
    buf_consume(&b, 2);
    assert_string_equal(b.data, "\\\"\\\\\\n\\u0001z\"");
    buf_free(&b);
}

static void remember(const char *name, pid_t pid, void *ctx)
{
    (void)name;
    *(pid_t *)ctx = pid;
}

static void pids_know_the_dead(void **state)
{
    (void)state;
    char dir[] = "/tmp/vexa-pids-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct instance in;
    assert_int_equal(instance_init(&in, dir), VX_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(pids_set(&in, "bot:x", child), 0);
    assert_int_equal(pids_set(&in, "bad name", child), -1);
    pid_t seen = 0;
    assert_int_equal(pids_each(&in, remember, &seen), 0);
    assert_int_equal(seen, child);
    int64_t start = process_start_time(child);
    assert_true(process_is(child, start));
    assert_false(process_is(child, start + 1));
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_false(process_is(child, start)); /* a zombie is dead */
    seen = 0;
    pids_each(&in, remember, &seen);
    assert_int_equal(seen, 0);
    waitpid(child, NULL, 0);
    assert_int_equal(pids_remove(&in, "bot:x"), 0);
    char path[64];
    unlink(in.pids);
    snprintf(path, sizeof path, "%s/pids.lock", dir);
    unlink(path);
    rmdir(dir);
    instance_free(&in);
}

static void long_folders_get_a_short_socket(void **state)
{
    (void)state;
    struct instance in;
    char dir[200] = "/tmp/";
    memset(dir + 5, 'd', 150);
    assert_int_equal(instance_init(&in, dir), VX_OK);
    assert_true(strlen(in.socket) < 90);
    instance_free(&in);
    assert_int_equal(instance_init(&in, "/tmp/short"), VX_OK);
    assert_string_equal(in.socket, "/tmp/short/run/vexa.sock");
    instance_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_values),
        cmocka_unit_test(errors_name_their_line),
        cmocka_unit_test(times_read_back),
        cmocka_unit_test(base64url_is_strict),
        cmocka_unit_test(a_full_buffer_stays_failed),
        cmocka_unit_test(pids_know_the_dead),
        cmocka_unit_test(long_folders_get_a_short_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
