/* WebVTT recordings: cues, voices, entities, NOTE replay, bounds, and a real conversation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/webvtt.h"

static struct arena *a;
static struct vtt v;
static const char *why;

static int make_arena(void **state)
{
    (void)state;
    a = arena_new(64u << 20);
    return a ? 0 : -1;
}

static int drop_arena(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static enum vx_err parse(const char *text)
{
    return vtt_parse(a, text, strlen(text), &v, &why);
}

static void must_parse(const char *text)
{
    if (parse(text) != VX_OK)
        fail_msg("refused: %s", why);
}

static void must_refuse(const char *text, const char *part)
{
    assert_int_equal(parse(text), VX_ERR_VALIDATION);
    if (!strstr(why, part))
        fail_msg("'%s' is not in '%s'", part, why);
}

/* Text and speaker of a cue whose payload is given. */
static void cue(const char *payload, const char *speaker, const char *text)
{
    char *doc = arena_printf(a, "WEBVTT\n\n00:00.000 --> 00:01.000\n%s\n", payload);
    must_parse(doc);
    assert_int_equal(v.n, 1);
    assert_string_equal(v.cues[0].speaker, speaker);
    assert_string_equal(v.cues[0].text, text);
}

static void blocks(void **state)
{
    (void)state;
    must_parse("\xef\xbb\xbfWEBVTT - a title\r\nKind: captions\r\n\r\nSTYLE\r\n::cue { color: "
               "red }\r\n\r\nREGION\r\nid:x\r\n\r\nNOTE a comment\r\nof two lines\r\n\r\n"
               "intro\r\n00:01.500 --> 01:00:02.250 align:start position:0%\r\n<v Ann>One\r\n"
               "two\r\n\r\n\r\n00:03.000\t-->\t00:04.000\r\nthree");
    assert_int_equal(v.n, 2);
    assert_int_equal(v.cues[0].start_ms, 1500);
    assert_int_equal(v.cues[0].end_ms, 3602250);
    assert_string_equal(v.cues[0].speaker, "Ann");
    assert_string_equal(v.cues[0].text, "One\ntwo");
    assert_int_equal(v.cues[1].start_ms, 3000);
    assert_string_equal(v.cues[1].speaker, "");
    assert_string_equal(v.cues[1].text, "three");
    assert_true(v.drafts);
    assert_int_equal(v.admission, VTT_ADMIT_OK);
    assert_int_equal(v.end, VTT_END_LEFT_ALONE);

    must_parse("WEBVTT");
    assert_int_equal(v.n, 0);
    must_parse("WEBVTT\r\r00:00.000 --> 00:01.000\rx\ry\r\r00:01.000 --> 00:02.000\rz");
    assert_int_equal(v.n, 2);
    assert_string_equal(v.cues[0].text, "x\ny");
    must_parse("WEBVTT\n\nSTYLE\n00:00.000 --> 00:01.000\nan id may be any word\n");
    assert_int_equal(v.n, 1);
    must_parse("WEBVTT\n\nNOTE\n00:00.000 --> 00:01.000\ncommented out\n\n");
    assert_int_equal(v.n, 0);
    must_parse("WEBVTT\n\n00:00.000 --> 00:01.000\nx\n00:01.000 --> 00:02.000\ny\n");
    assert_int_equal(v.n, 2);
    must_parse("WEBVTT\n\n00:00.000 --> 00:01.000\n\n00:01.000 --> 00:02.000\ny");
    assert_int_equal(v.n, 2);
    assert_string_equal(v.cues[0].text, "");
}

static void texts(void **state)
{
    (void)state;
    cue("plain", "", "plain");
    cue("  kept  as is  ", "", "  kept  as is  ");
    cue("<v CapCom>Go.", "CapCom", "Go.");
    cue("<v.loud.first  Neil \t Armstrong >That's</v>", "Neil Armstrong", "That's");
    cue("<v Tom &amp; Ann&#32;>x", "Tom & Ann", "x");
    cue("<v Ann>Hi</v> <v Bob>yo</v>", "Ann", "Hi yo");
    cue("<v>x</v>", "", "x");
    cue("<video>x", "", "x");
    cue("<b>bold <i.c>it<u>al</u></i></b> <00:00.500>late<lang en>y</lang>", "", "bold ital latey");
    cue("<v A\nB>x\ny", "A B", "x\ny");
    cue("&amp;&lt;&gt;&nbsp;&lrm;&rlm;", "", "&<>\xc2\xa0\xe2\x80\x8e\xe2\x80\x8f");
    cue("&amp;lt; &#38;gt;", "", "&lt; &gt;");
    cue("&#8217;&#x2019;&#X1F600;", "", "\xe2\x80\x99\xe2\x80\x99\xf0\x9f\x98\x80");
    cue("&#0;&#xd800;&#x110000;&#99999999999999;", "",
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    cue("AT&T & R&D; &#; &#x; &bogus; &amp", "", "AT&T & R&D; &#; &#x; &bogus; &amp");
    cue("a < b, c > d, I <3 it, x<", "", "a < b, c > d, I <3 it, x<");
    cue("half <v Ann", "", "half <v Ann");
    cue("-- > not an arrow", "", "-- > not an arrow");
}

static void replay(void **state)
{
    (void)state;
    must_parse("WEBVTT\n\nNOTE replay\nadmission: wait 30s\nend:crash\n drafts :  off \n\n"
               "00:00.000 --> 00:01.000\nx\n");
    assert_int_equal(v.admission, VTT_ADMIT_WAIT);
    assert_int_equal(v.wait_ms, 30000);
    assert_int_equal(v.end, VTT_END_CRASH);
    assert_false(v.drafts);
    assert_int_equal(v.n, 1);
    must_parse("WEBVTT\r\n\r\nNOTE replay\r\nadmission: reject\r\nend: hang");
    assert_int_equal(v.admission, VTT_ADMIT_REJECT);
    assert_int_equal(v.end, VTT_END_HANG);
    must_parse("WEBVTT\n\nNOTE replay\nadmission: timeout\nend: evicted\ndrafts: on");
    assert_int_equal(v.admission, VTT_ADMIT_TIMEOUT);
    assert_int_equal(v.end, VTT_END_EVICTED);
    /* Only the exact first line makes a replay block. */
    must_parse("WEBVTT\n\nNOTE replays\nend: nonsense\n\nNOTE Replay\nend: x\n");
    assert_int_equal(v.end, VTT_END_LEFT_ALONE);

    must_refuse("WEBVTT\n\nNOTE replay\nadmission: maybe\n", "line 4: unknown value 'maybe'");
    must_refuse("WEBVTT\n\nNOTE replay\nend: crash\nspeed: 2\n", "line 5: unknown key 'speed'");
    must_refuse("WEBVTT\n\nNOTE replay\nend: crash\nend: hang\n", "line 5: 'end' is given twice");
    must_refuse("WEBVTT\n\nNOTE replay\nhello\n", "line 4:");
    must_refuse("WEBVTT\n\nNOTE replay\nend: Crash\n", "line 4:");
    static const char *const waits[] = {"wait",     "wait s",    "wait 3",      "wait3s",
                                        "wait -3s", "wait 1e3s", "wait 99999s", "wait 3s 4s"};
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++)
        must_refuse(arena_printf(a, "WEBVTT\n\nNOTE replay\nadmission: %s\n", waits[i]), "line 4:");
}

static void broken(void **state)
{
    (void)state;
    must_refuse("", "line 1:");
    must_refuse("WEBVTTX\n", "line 1:");
    must_refuse("webvtt\n", "line 1:");
    must_refuse("WEBVTT\n\n00:00 --> 00:01\nx\n", "line 3: not a cue timing");
    must_refuse("WEBVTT\n\nid\n00:00.000 --> soon\nx\n", "line 4: not a cue timing");
    must_refuse("WEBVTT\n\n00:02.000 --> 00:01.000\nx\n", "line 3: the cue ends before");
    must_refuse("WEBVTT\n\n00:00.000 --> 00:01.000\nx\n\nlost words\n", "line 6: text outside");
    must_refuse("WEBVTT\r\n\r\nNOTE \xff\r\n", "line 3: broken UTF-8");
    static const char nul[] = "WEBVTT\n\nNOTE a\0b\n";
    assert_int_equal(vtt_parse(a, nul, sizeof nul - 1, &v, &why), VX_ERR_VALIDATION);
    assert_non_null(strstr(why, "line 3"));
}

static char *repeat(const char *head, const char *s, size_t times, const char *tail)
{
    size_t h = strlen(head), n = strlen(s), t = strlen(tail);
    char *out = malloc(h + n * times + t + 1);
    assert_non_null(out);
    memcpy(out, head, h);
    for (size_t i = 0; i < times; i++)
        memcpy(out + h + i * n, s, n);
    memcpy(out + h + n * times, tail, t + 1);
    return out;
}

static void bounds(void **state)
{
    (void)state;
    arena_reset(a);
    static const char one[] = "00:00.000 --> 00:01.000\nx\n\n";
    char *doc = repeat("WEBVTT\n\n", one, 20000, "");
    must_parse(doc);
    assert_int_equal(v.n, 20000);
    free(doc);
    arena_reset(a);
    doc = repeat("WEBVTT\n\n", one, 20001, "");
    must_refuse(doc, "line 60003: more than 20000 cues");
    free(doc);
    arena_reset(a);
    doc = repeat("WEBVTT\n\n00:00.000 --> 00:01.000\n", "y", 16384, "\n");
    must_parse(doc);
    free(doc);
    doc = repeat("WEBVTT\n\n00:00.000 --> 00:01.000\n", "y", 16385, "\n");
    must_refuse(doc, "line 3: the text of the cue is longer");
    free(doc);
    arena_reset(a);
    doc = repeat("WEBVTT\n\nNOTE\n", "z", (4u << 20) - 13, "");
    must_parse(doc);
    free(doc);
    doc = repeat("WEBVTT\n\nNOTE\n", "z", (4u << 20) - 12, "");
    must_refuse(doc, "4 MiB");
    free(doc);
    /* Hostile: millions of tags that never close must not take quadratic time. */
    arena_reset(a);
    doc = repeat("WEBVTT\n\n00:00.000 --> 00:01.000\n", "<1", 2000000, ">");
    must_refuse(doc, "line 3: the text of the cue is longer");
    free(doc);
    arena_reset(a);
}

/* What a second, independent reading of the file (this line-by-line one) says of each cue. */
static void apollo(void **state)
{
    (void)state;
    const char *shared = getenv("VEXA_SHARED"), *src = getenv("srcdir");
    const char *path =
        shared ? arena_printf(a, "%s/data/apollo11-landing.vtt", shared)
               : arena_printf(a, "%s/../shared/data/apollo11-landing.vtt", src ? src : ".");
    FILE *f = fopen(path, "rb");
    if (!f)
        skip();
    static char text[1 << 20];
    size_t size = fread(text, 1, sizeof text, f);
    assert_int_equal(vtt_parse(a, text, size, &v, &why), VX_OK);
    assert_int_equal(v.n, 276);
    rewind(f);
    char line[4096], want[4096];
    size_t i = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strncmp(line, "<v ", 3) != 0)
            continue;
        assert_true(i < v.n);
        snprintf(want, sizeof want, "<v %s>%s", v.cues[i].speaker, v.cues[i].text);
        assert_null(strchr(line, '&'));
        assert_string_equal(line, want);
        assert_true(i == 0 || v.cues[i].start_ms >= v.cues[i - 1].start_ms);
        i++;
    }
    fclose(f);
    assert_int_equal(i, 276);
    assert_int_equal(v.cues[0].end_ms, 2867);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks), cmocka_unit_test(texts),  cmocka_unit_test(replay),
        cmocka_unit_test(broken), cmocka_unit_test(bounds), cmocka_unit_test(apollo),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
