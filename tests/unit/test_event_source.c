/* The parser of event streams: what the HTML standard says, in pieces of every size, and bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/event_source.h"

struct seen {
    struct buf text;  /* "<id or ->|<data>\n" of each event */
    unsigned skipped; /* events told as too long */
    unsigned stop_at; /* on_event says no at this event; 0 = never */
    unsigned events;
};

static bool on_event(void *ctx, const char *id, const char *data, size_t len)
{
    struct seen *s = ctx;
    buf_append_str(&s->text, id != NULL ? id : "-");
    buf_append_char(&s->text, '|');
    buf_append(&s->text, data, len);
    buf_append_char(&s->text, '\n');
    return ++s->events != s->stop_at;
}

static void on_news(void *ctx, const struct event_source_news *news)
{
    struct seen *s = ctx;
    assert_int_equal(news->what, EVENT_SOURCE_SKIPPED);
    s->skipped++;
}

static struct event_source *open_source(struct seen *s, size_t event_max, const char *last_id)
{
    const struct event_source_config cfg = {
        .url = "http://127.0.0.1/",
        .last_id = last_id,
        .event_max = event_max,
        .on_event = on_event,
        .on_news = on_news,
        .ctx = s,
    };
    memset(s, 0, sizeof *s);
    buf_init(&s->text, (size_t)1 << 20);
    struct event_source *es = event_source_new(NULL, &cfg);
    assert_non_null(es);
    return es;
}

static void close_source(struct event_source *es, struct seen *s)
{
    event_source_free(es);
    buf_free(&s->text);
}

static void feed(struct event_source *es, const char *p, size_t len, size_t piece)
{
    for (size_t i = 0; i < len; i += piece)
        event_source_feed(es, p + i, len - i < piece ? len - i : piece);
}

/* Fed whole and in pieces of every size the text gives the same events and the same last id. */
static void gives_bytes(const char *text, size_t len, const char *events, const char *last_id)
{
    for (size_t piece = 1; piece <= len; piece++) {
        struct seen s;
        struct event_source *es = open_source(&s, 0, NULL);
        feed(es, text, len, piece);
        assert_string_equal(s.text.data != NULL ? s.text.data : "", events);
        assert_string_equal(event_source_last_id(es), last_id);
        close_source(es, &s);
    }
}

static void gives(const char *text, const char *events, const char *last_id)
{
    gives_bytes(text, strlen(text), events, last_id);
}

static void line_ends(void **state)
{
    (void)state;
    gives("id: e-1\ndata: a\n\nid: e-2\ndata: b\n\n", "e-1|a\ne-2|b\n", "e-2");
    gives("id: e-1\r\ndata: a\r\n\r\nid: e-2\r\ndata: b\r\n\r\n", "e-1|a\ne-2|b\n", "e-2");
    gives("id: e-1\rdata: a\r\rid: e-2\rdata: b\r\r", "e-1|a\ne-2|b\n", "e-2");
    gives("data: a\r\n\ndata: b\n\r\n", "-|a\n-|b\n", "");
    gives("data: a\r\rdata: b\n\n\n\r\r\n", "-|a\n-|b\n", "");
}

static void data_lines(void **state)
{
    (void)state;
    gives("data: a\ndata:b\ndata\ndata:  c\n\n", "-|a\nb\n\n c\n", "");
    gives("data\n\n", "-|\n", "");
    gives("data:\ndata:\n\n", "-|\n\n", "");
    gives("data: x: y\n\n", "-|x: y\n", "");
    gives("datum: a\nDATA: b\n data: c\nevent: d\n: data: e\n\n", "", "");
    gives("data: not ended\n", "", "");
    gives("data: \xc3\xa9\xe2\x82\xac\n\n", "-|\xc3\xa9\xe2\x82\xac\n", "");
}

static void ids(void **state)
{
    (void)state;
    gives("id: e-0\n\n", "", "e-0"); /* arms the cursor, is no event */
    gives("id: e-0\n\ndata: a\n\n", "-|a\n", "e-0");
    gives("id: e-1\ndata: a\n\nid: e-2\ndata: b\n", "e-1|a\n", "e-1"); /* the second is half */
    gives("id: e-1\nid: e-2\ndata: a\n\n", "e-2|a\n", "e-2");
    gives("id: e-1\ndata: a\n\nid\ndata: b\n\n", "e-1|a\n|b\n", ""); /* an empty id takes it back */
    static const char nul[] = "id: e-1\ndata: a\n\nid: e\0-2\ndata: b\n\n";
    gives_bytes(nul, sizeof nul - 1, "e-1|a\n-|b\n", "e-1");
    char text[EVENT_SOURCE_ID_MAX + 32] = "id: ";
    memset(text + 4, 'x', EVENT_SOURCE_ID_MAX);
    memcpy(text + 4 + EVENT_SOURCE_ID_MAX, "\ndata: a\n\n", 11);
    gives(text, "-|a\n", "");
}

static void comments_and_mark(void **state)
{
    (void)state;
    gives(": keepalive\n\n:\n\ndata: a\n: between\ndata: b\n\n", "-|a\nb\n", "");
    gives("\xef\xbb\xbf"
          "data: a\n\n",
          "-|a\n", "");
    gives("\xef\xbb\xbf\xef\xbb\xbf"
          "data: a\n\ndata: b\n\n",
          "-|b\n", ""); /* one mark only: the second is the name of an unknown field */
    gives("\xef\xbb"
          "data: a\n\ndata: b\n\n",
          "-|b\n", "");
    gives("data: a\n\n\xef\xbb\xbf"
          "data: b\n\n",
          "-|a\n", "");
}

static void cut(void **state)
{
    (void)state;
    struct seen s;
    struct event_source *es = open_source(&s, 0, "e-5");
    assert_string_equal(event_source_last_id(es), "e-5");
    static const char half[] = "id: e-6\ndata: a\r";
    event_source_feed(es, half, sizeof half - 1);
    event_source_cut(es);
    assert_string_equal(event_source_last_id(es), "e-5");
    /* The new connection begins anew: mark, no line under way, and this LF is an empty line. */
    static const char rest[] = "\xef\xbb\xbf\nid: e-6\ndata: a\n\n";
    feed(es, rest, sizeof rest - 1, 1);
    assert_string_equal(s.text.data, "e-6|a\n");
    close_source(es, &s);
}

static void bounds(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 70; piece += 3) {
        struct seen s;
        struct event_source *es = open_source(&s, 16, NULL);
        /* exactly as long as may be: "data: " and ten bytes make a line of 16 */
        static const char fits[] = "id: e-1\ndata: 0123456789\n\n";
        feed(es, fits, sizeof fits - 1, piece);
        assert_int_equal(s.skipped, 0);
        /* a line too long spoils its event, whose id counts; so do many lines */
        static const char line[] = "id: e-2\ndata: 0123456789a\ndata: b\n\n";
        feed(es, line, sizeof line - 1, piece);
        assert_int_equal(s.skipped, 1);
        assert_string_equal(event_source_last_id(es), "e-2");
        static const char lines[] = "data: 01234567\ndata: 0123456\ndata: 9\n\n";
        feed(es, lines, sizeof lines - 1, piece);
        assert_int_equal(s.skipped, 2);
        /* comments and unknown fields as long as you like */
        static const char comment[] = ":0123456789012345678901234567890\nunknown: 01234567890123\n"
                                      "data: a\n\n";
        feed(es, comment, sizeof comment - 1, piece);
        assert_int_equal(s.skipped, 2);
        assert_string_equal(s.text.data, "e-1|0123456789\n-|a\n");
        close_source(es, &s);
    }
}

static void endless(void **state)
{
    (void)state;
    struct seen s;
    struct event_source *es = open_source(&s, 1024, NULL);
    char block[4096];
    memset(block, 'x', sizeof block);
    event_source_feed(es, "data:", 5);
    for (int i = 0; i < 10000; i++)
        event_source_feed(es, block, sizeof block);
    event_source_feed(es, "\n\ndata: a\n\n", 11);
    assert_int_equal(s.skipped, 1);
    assert_string_equal(s.text.data, "-|a\n");
    close_source(es, &s);
}

static void stops(void **state)
{
    (void)state;
    struct seen s;
    struct event_source *es = open_source(&s, 0, NULL);
    s.stop_at = 2;
    static const char text[] = "data: a\n\ndata: b\n\ndata: c\n\n";
    event_source_feed(es, text, sizeof text - 1);
    assert_string_equal(s.text.data, "-|a\n-|b\n");
    assert_true(event_source_closed(es));
    assert_int_equal(event_source_step(es, 0), INT64_MAX);
    close_source(es, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(line_ends),         cmocka_unit_test(data_lines), cmocka_unit_test(ids),
        cmocka_unit_test(comments_and_mark), cmocka_unit_test(cut),        cmocka_unit_test(bounds),
        cmocka_unit_test(endless),           cmocka_unit_test(stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
