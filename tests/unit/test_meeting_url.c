/* Links of four platforms, and links a bot is not sent to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/meeting_url.h"
#include "lib/py_text.h"

static struct arena *a;

static int make_arena(void **state)
{
    (void)state;
    a = arena_new(1 << 20);
    return a ? 0 : -1;
}

static int drop_arena(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static const char *text_or_none(const char *s)
{
    return s ? s : "(none)";
}

static void links(void **state)
{
    (void)state;
    static const struct {
        const char *url, *platform, *id, *passcode;
    } rows[] = {
        {"abc-defg-hij", "google_meet", "abc-defg-hij", NULL},
        {"  ABC-defg-HIJ\n", "google_meet", "abc-defg-hij", NULL},
        {"https://meet.google.com/abc-defg-hij", "google_meet", "abc-defg-hij", NULL},
        {"https://MEET.google.com:443/x/ABC-DEFG-HIJ/?authuser=0", "google_meet", "abc-defg-hij",
         NULL},
        {"https://meet.google.com/lookup/abcdefghij", NULL, NULL, NULL},
        {"https://meet.google.com/", NULL, NULL, NULL},
        {"meet.google.com/abc-defg-hij", NULL, NULL, NULL},
        {"https://us05web.zoom.us/j/84335626851?pwd=x", "zoom", "84335626851", "x"},
        {"https://zoom.us/j/123456789012?pwd=&p=q%20r+s", "zoom", "12345678901", "q r s"},
        {"https://zoom.us/wc/join?confno=987654321", "zoom", "987654321", NULL},
        {"https://zoom.us/j/12345678", NULL, NULL, NULL},
        {"123456789", "zoom", "123456789", NULL},
        {"12345678901", "zoom", "12345678901", NULL},
        {"12345678", NULL, NULL, NULL},
        {"123456789012", NULL, NULL, NULL},
        {"https://teams.live.com/meet/9361792952021?p=abc", "teams", "9361792952021", "abc"},
        {"https://teams.microsoft.com/v2/?meetingjoin=true#/MEET/55", NULL, NULL, NULL},
        {"https://teams.microsoft.com/l/meetup-join/19%3ameeting_NjQ%40thread.v2/0?context=1",
         "teams", "19:meeting_NjQ@thread.v2", NULL},
        {"https://teams.microsoft.com/l/meetup-join/19:MEETING_x@THREAD.V2/0", "teams",
         "19:MEETING_x@THREAD.V2", NULL},
        {"https://teams.microsoft.com/l/meetup-join/19%3ameeting_a%00b%40thread.v2/0", NULL, NULL,
         NULL},
        {"https://teams.microsoft.com/l/meetup-join/19%3ameeting_%ff%40thread.v2/0", NULL, NULL,
         NULL},
        {"https://teams.microsoft.com/l/channel/1", NULL, NULL, NULL},
        {"https://meet.jit.si/Team%20Sync", "jitsi", "Team%20Sync", NULL},
        {"https://meet.jit.si/Room/#config.x=1", "jitsi", "Room", NULL},
        {"https://meet.jit.si/a/b", NULL, NULL, NULL},
        {"https://meet.jit.si/", NULL, NULL, NULL},
        {"https://meet.jit.si/a b", NULL, NULL, NULL},
        {"https://eu.meet.example.org/Q", "jitsi", "Q@eu.meet.example.org", NULL},
        {"https://my-jitsi.example.org/Q", "jitsi", "Q@my-jitsi.example.org", NULL},
        {"https://Call.Example.org:8443/Q", "jitsi", "Q@call.example.org", NULL},
        {"https://talk.example.org/Q", "jitsi", "Q@talk.example.org", NULL},
        {"https://meetings.example.org/Room", NULL, NULL, NULL},
        {"https://user:pw@meet.google.com@evil.example/abc-defg-hij", NULL, NULL, NULL},
        {"http://zoom.us/j/84335626851", "zoom", "84335626851", NULL},
        {"", NULL, NULL, NULL},
        {"   ", NULL, NULL, NULL},
        {"://", NULL, NULL, NULL},
        {"https://", NULL, NULL, NULL},
        {"https:///123456789", NULL, NULL, NULL},
        {"%", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct meeting_link l;
        int rc =
            meeting_url_parse(a, rows[i].url, "x.example, CALL.example.org ,talk.example.org", &l);
        if (rc != (rows[i].platform ? 0 : -1))
            fail_msg("%s: %d", rows[i].url, rc);
        if (rc != 0)
            continue;
        if (strcmp(l.platform, rows[i].platform) != 0 || strcmp(l.native_id, rows[i].id) != 0 ||
            strcmp(text_or_none(l.passcode), text_or_none(rows[i].passcode)) != 0)
            fail_msg("%s: %s %s %s", rows[i].url, l.platform, l.native_id,
                     text_or_none(l.passcode));
    }
    struct meeting_link l;
    assert_int_equal(meeting_url_parse(a, NULL, "", &l), -1);
}

#define EMPTY "meeting_url must be a non-empty string"
#define HTTPS "meeting_url must use https:// — the bot only joins TLS deployments"
#define HOST  "meeting_url must have a valid hostname"
#define LOCAL "meeting_url cannot target localhost"
#define IP    "meeting_url cannot be an IP literal — use the deployment's hostname"

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *url, *detail;
    } rows[] = {
        {"https://meet.google.com/abc-defg-hij", NULL},
        {"  HTTPS://zoom.us/j/1?x=%5B#[ ", NULL},
        {"https://user@jitsi.example.org:8443/Room", NULL},
        {"https://jitsi.example.org./Room", NULL},
        {"https://1.2.3.4.example/Room", NULL},
        {"https://10.example.org/Room", NULL},
        {"https://xn--bcher-kva.example/Room", NULL},
        {"", EMPTY},
        {" \t\n", EMPTY},
        {"https://[::1/x", "meeting_url does not parse as a URL: 'https://[::1/x'"},
        {"http://x]'", "meeting_url does not parse as a URL: \"http://x]'\""},
        {"https://[nonsense]/", "meeting_url does not parse as a URL: 'https://[nonsense]/'"},
        {"http://zoom.us/j/1", HTTPS},
        {"zoom.us/j/1", HTTPS},
        {"file:///etc/passwd", HTTPS},
        {"httpsx://zoom.us", HTTPS},
        {"https:zoom.us", HOST},
        {"https://", HOST},
        {"https:///x", HOST},
        {"https://?x", HOST},
        {"https://:443/", HOST},
        {"https://a..b/", HOST},
        {"https://a b/", HOST},
        {"https://127%2e0%2e0%2e1/", HOST},
        {"https://127\xe3\x80\x82"
         "0.0.1/",
         HOST},
        {"https://\xef\xbc\x91"
         "27.0.0.1/",
         HOST},
        {"https://127.0.0.1\\@meet.google.com/", HOST},
        {"https://meet.goo\tgle.com/", HOST},
        {"https://zoom.us:port/", HOST},
        {"https://zoom.us:70000/", HOST},
        {"https://localhost/", LOCAL},
        {"https://LOCALHOST.:8443/", LOCAL},
        {"https://a.b.localhost/", LOCAL},
        {"https://u:p@localhost/", LOCAL},
        {"https://notlocalhost/", NULL},
        {"https://127.0.0.1/", IP},
        {"https://[::1]:443/", IP},
        {"https://[::ffff:10.0.0.1]/", IP},
        {"https://2130706433/", IP},
        {"https://0x7f000001/", IP},
        {"https://0x7f.1/", IP},
        {"https://127.1./", IP},
        {"https://example.0x/", IP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = meeting_url_refusal(a, rows[i].url);
        if (strcmp(text_or_none(got), text_or_none(rows[i].detail)) != 0)
            fail_msg("%s: %s", rows[i].url, text_or_none(got));
    }
    assert_string_equal(meeting_url_refusal(a, NULL), EMPTY);
}

static void native_ids(void **state)
{
    (void)state;
    static const char url_chars[] =
        "'native_meeting_id' must be the bare meeting id and cannot contain URL characters ('?', "
        "'#', '&', '=', '/') or spaces — pass any passcode in 'passcode' or supply the full "
        "'meeting_url' instead";
    static const char *const fine[] = {"x",           "abc-defg-hij",  "19:meeting_x@thread.v2",
                                       "Team%20Sync", "9361792952021", "Räume",
                                       "r@h"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        assert_null(native_id_refusal(a, fine[i]));
    static const char *const bad[] = {"a?p=1",
                                      "a#",
                                      "a&b",
                                      "a=b",
                                      "a/b",
                                      "a b",
                                      "a\xc2\xa0"
                                      "b",
                                      "\xe3\x80\x80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_string_equal(native_id_refusal(a, bad[i]), url_chars);
    assert_string_equal(native_id_refusal(a, "a\x1f"),
                        "'native_meeting_id' contains control characters");
    assert_string_equal(native_id_refusal(a, "a\x7f?"),
                        "'native_meeting_id' contains control characters");

    char id[600] = "";
    for (size_t i = 0; i < 255; i++)
        memcpy(id + 2 * i, "\xc3\xbc", 3);
    assert_null(native_id_refusal(a, id)); /* characters count, not bytes */
    memcpy(id + 510, "/", 2);
    assert_string_equal(native_id_refusal(a, id),
                        "'native_meeting_id' is 256 characters; the maximum is 255");
}

static void templates(void **state)
{
    (void)state;
    assert_string_equal(meeting_url_from_id(a, "google_meet", "abc-defg-hij"),
                        "https://meet.google.com/abc-defg-hij");
    assert_string_equal(meeting_url_from_id(a, "teams", "9"),
                        "https://teams.microsoft.com/l/meetup-join/9");
    assert_null(meeting_url_from_id(a, "zoom", "9"));
    assert_null(meeting_url_from_id(a, "jitsi", "9"));
    assert_true(platform_is_known("google_meet") && platform_is_known("zoom") &&
                platform_is_known("teams") && platform_is_known("jitsi"));
    assert_false(platform_is_known("browser_session") || platform_is_known("") ||
                 platform_is_known(NULL) || platform_is_known("Zoom"));
}

static void repr(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"", "''"},
        {"abc", "'abc'"},
        {"it's", "\"it's\""},
        {"it's \"x\"", "'it\\'s \"x\"'"},
        {"a\\b\n\r\t", "'a\\\\b\\n\\r\\t'"},
        {"\x01\x7f", "'\\x01\\x7f'"},
        {"é\xc2\xa0\xc2\xad", "'é\\xa0\\xad'"},
        {"\xe2\x80\x8b\xe2\x80\xa8", "'\\u200b\\u2028'"},
        {"\xf0\x9f\x98\x80\xf3\xa0\x80\x81", "'\xf0\x9f\x98\x80\\U000e0001'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(py_repr(a, rows[i].in), rows[i].out);
    assert_string_equal(py_strip(a, "\xe3\x80\x80 x y\xc2\x85\n"), "x y");
}

static void utf8(void **state)
{
    (void)state;
    static const char *const broken[] = {"\xc0\x80",     "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                         "\xe2\x82",     "\x80",         "\xf8\x88\x80\x80\x80",
                                         "\xe0\x80\x80", "\xc3("};
    uint32_t cp;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_int_equal(utf8_read(broken[i], strlen(broken[i]), &cp), 0);
    static const uint32_t edges[] = {1, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        char b[4];
        size_t n = utf8_write(edges[i], b);
        assert_int_equal(utf8_read(b, n, &cp), n);
        assert_int_equal(cp, edges[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links),     cmocka_unit_test(refusals), cmocka_unit_test(native_ids),
        cmocka_unit_test(templates), cmocka_unit_test(repr),     cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
