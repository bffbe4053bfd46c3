/* What vexa tail shows: lines, the draft in the last line, and nothing that rewrites the screen. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/tail_view.h"

#define DRAFT                                                                                      \
    "{\"type\":\"transcript\",\"id\":\"s:1\",\"t\":3661.9,\"completed\":false,\"speaker\":"        \
    "\"Ada\",\"text\":"
#define FINAL                                                                                      \
    "{\"type\":\"transcript\",\"id\":\"s:1\",\"t\":3661.9,\"completed\":true,\"speaker\":\"Ada\"," \
    "\"text\":"
#define ERASE "\033[K"

static struct buf out;

static struct tail_view *view(enum tail_form form)
{
    buf_init(&out, (size_t)1 << 20);
    struct tail_view *v = tail_view_new(form, &out);
    assert_non_null(v);
    return v;
}

static void done(struct tail_view *v)
{
    tail_view_free(v);
    buf_free(&out);
}

static bool event(struct tail_view *v, const char *data)
{
    return tail_view_event(v, "e-1", data, strlen(data));
}

/* What was written since the last call. */
static void wrote(const char *text)
{
    assert_string_equal(out.data != NULL ? out.data : "", text);
    buf_clear(&out);
}

static void lines(void **state)
{
    (void)state;
    struct tail_view *v = view(TAIL_LINES);
    assert_true(event(v, "{\"type\":\"meeting.status\",\"meeting\":{\"id\":1,\"platform\":\"zoom\","
                         "\"native_id\":\"77\"},\"payload\":{\"status\":\"active\"}}"));
    wrote("-- zoom/77: active\n");
    assert_true(event(v, DRAFT "\"Hel\"}"));
    assert_true(event(v, "{\"type\":\"ping\"}"));
    wrote("");
    assert_true(event(v, FINAL "\"Hello,\\nworld\"}"));
    wrote("[01:01:01] Ada: Hello, world\n");
    assert_true(event(v, "{\"type\":\"retract\",\"segment_ids\":[\"s:1\",\"s:2\"]}"));
    wrote("-- taken back: s:1 s:2\n");
    assert_true(event(v,
                      "{\"type\":\"meeting.status\",\"meeting_id\":9,\"native\":\"abc\",\"status\":"
                      "\"failed\",\"when\":\"\"}"));
    wrote("-- abc: failed\n");
    assert_true(event(v, "{\"type\":\"meeting-end\",\"topic\":\"meeting/3\"}"));
    wrote("-- meeting/3: the meeting has ended\n");
    assert_true(event(v, "{\"type\":\"news\",\"a\":1}"));
    assert_true(event(v, "no json \033[2J"));
    wrote("-- {\"type\":\"news\",\"a\":1}\n-- no json [2J\n");
    assert_false(event(v, "{\"type\":\"meeting-end\"}"));
    wrote("-- the meeting has ended\n");
    done(v);
}

static void json(void **state)
{
    (void)state;
    struct tail_view *v = view(TAIL_JSON);
    assert_true(event(v, "{\"a\":\n1}"));
    assert_true(tail_view_event(v, NULL, "{\"type\":\"ping\"}", 15));
    assert_true(event(v, "a \"b\""));
    assert_false(event(v, "{\"type\":\"meeting-end\"}"));
    wrote("{\"id\":\"e-1\",\"data\":{\"a\": 1}}\n"
          "{\"id\":null,\"data\":{\"type\":\"ping\"}}\n"
          "{\"id\":\"e-1\",\"data\":\"a \\\"b\\\"\"}\n"
          "{\"id\":\"e-1\",\"data\":{\"type\":\"meeting-end\"}}\n");
    done(v);
}

static void drafts(void **state)
{
    (void)state;
    struct tail_view *v = view(TAIL_LIVE);
    event(v, DRAFT "\"One\"}");
    event(v, DRAFT "\"One two\"}");
    wrote("");
    tail_view_draw(v, 80);
    wrote("\r[01:01:01] Ada: One two" ERASE);
    tail_view_draw(v, 80); /* nothing new, nothing written */
    wrote("");
    /* somebody else's line goes above the draft, which is drawn again */
    event(v, "{\"type\":\"transcript\",\"id\":\"s:0\",\"t\":1,\"completed\":true,\"speaker\":\"\","
             "\"text\":"
             "\"Hm\"}");
    tail_view_draw(v, 80);
    wrote("\r[00:00:01] Hm" ERASE "\n\r[01:01:01] Ada: One two" ERASE);
    event(v, FINAL "\"One two three\"}");
    tail_view_draw(v, 80);
    wrote("\r[01:01:01] Ada: One two three" ERASE "\n");
    event(v, DRAFT "\"Four\"}");
    tail_view_draw(v, 80);
    buf_clear(&out);
    tail_view_clear(v);
    tail_view_clear(v);
    wrote("\r" ERASE);
    tail_view_draw(v, 80);
    wrote("\r[01:01:01] Ada: Four" ERASE);
    event(v, "{\"type\":\"retract\",\"segment_ids\":[\"s:1\"]}");
    tail_view_draw(v, 80);
    wrote("\r-- taken back: s:1" ERASE "\n");
    done(v);
}

/* Of every width the last line fits, and is valid UTF-8. */
static void widths(void **state)
{
    (void)state;
    struct tail_view *v = view(TAIL_LIVE);
    event(v, DRAFT "\"na\\u00efve \\u4f60\\u597d\\u4e16\\u754c e\\u0301e\\u0301e\\u0301 "
                   "\\ud83d\\ude00\\ud83d\\ude00 the end\"}");
    for (size_t columns = 1; columns < 70; columns++) {
        tail_view_draw(v, columns);
        assert_int_equal(out.data[0], '\r');
        size_t n = out.len - 1 - strlen(ERASE);
        assert_string_equal(out.data + 1 + n, ERASE);
        assert_true(tail_view_width(out.data + 1, n) <= (columns > 1 ? columns - 1 : 1));
        struct buf plain;
        buf_init(&plain, 4096);
        tail_view_plain(&plain, out.data + 1, n);
        assert_null(plain.data != NULL ? strstr(plain.data, "\xef\xbf\xbd") : NULL);
        if (columns > 30) /* the newest words are those that stay */
            assert_int_equal(memcmp(out.data + 1 + n - 7, "the end", 7), 0);
        buf_free(&plain);
        buf_clear(&out);
    }
    done(v);
}

static void plain(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"a\033[31mb\x07", "a[31mb"},
        {"  a \t\r\n b  ", "a b"},
        {"\xc2\x9b"
         "31m",
         "31m"}, /* CSI as one character */
        {"\xe2\x80\xae"
         "abc",
         "abc"}, /* right-to-left override */
        {"\xff\xc0\x80\xed\xa0\x80",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc3\xa9", "\xc3\xa9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 4096);
        tail_view_plain(&b, cases[i].in, strlen(cases[i].in));
        assert_string_equal(b.data, cases[i].out);
        buf_free(&b);
    }
}

int main(void)
{
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),  cmocka_unit_test(json),  cmocka_unit_test(drafts),
        cmocka_unit_test(widths), cmocka_unit_test(plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
