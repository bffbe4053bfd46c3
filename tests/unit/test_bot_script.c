/* What the replay bot will say and when (bot/script.c), how it reads its invocation, and how it
 * reads the command stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bot/commands.h"
#include "bot/invocation.h"
#include "bot/script.h"
#include "lib/contracts.h"

static struct arena *arena;

static int setup(void **state)
{
    (void)state;
    arena = arena_new((size_t)64 << 20);
    return arena != NULL && contracts_init() == VX_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    contracts_free();
    return 0;
}

static struct script of(const struct vtt *v)
{
    struct script s;
    const char *why = NULL;
    assert_int_equal(script_from_vtt(arena, v, &s, &why), VX_OK);
    return s;
}

static struct script of_cues(struct vtt_cue *cues, size_t n)
{
    struct vtt v = {.cues = cues, .n = n, .drafts = true};
    return of(&v);
}

/* Counts the drafts of a cue; each must be a longer prefix that ends with a word, in time order,
 * before the confirmation, which must be the whole text at the cue's end. */
static size_t check_cue(const struct script *s, uint32_t cue)
{
    const char *text = s->cues[cue].text;
    size_t drafts = 0, confirmed = 0, said = 0;
    for (size_t i = 0; i < s->n_actions; i++) {
        const struct script_action *a = &s->actions[i];
        if (i > 0)
            assert_true(s->actions[i - 1].due_ms <= a->due_ms);
        if (a->cue != cue)
            continue;
        assert_int_equal(confirmed, 0);
        assert_true(a->due_ms >= s->cues[cue].start_ms);
        assert_true(a->due_ms <= s->cues[cue].end_ms);
        if (a->completed) {
            assert_int_equal(a->text_len, strlen(text));
            assert_int_equal(a->due_ms, s->cues[cue].end_ms);
            confirmed++;
            continue;
        }
        if (drafts == 0)
            assert_int_equal(a->due_ms, s->cues[cue].start_ms);
        assert_true(a->text_len > said || text[0] == '\0');
        assert_true(text[a->text_len] == '\0' || strchr(" \n\t", text[a->text_len]) != NULL);
        if (a->text_len > 0)
            assert_null(strchr(" \n\t", text[a->text_len - 1]));
        said = a->text_len;
        drafts++;
    }
    assert_int_equal(confirmed, 1);
    assert_true(drafts >= 1 && drafts <= SCRIPT_DRAFTS_MAX);
    return drafts;
}

static void drafts_grow(void **state)
{
    (void)state;
    static const char ten[] = "one two three four five six seven eight nine ten";
    struct vtt_cue cues[] = {
        {0, 400, "A", ten},
        {1000, 2500, "A", ten},
        {3000, 4501, "A", ten},
        {10000, 16000, "B", ten},
        {20000, 80000, "B", ten},
        {90000, 99000, "", "one"},
        {100000, 109000, "", "a b"},
        {110000, 110000, "", "a b"},
        {120000, 129000, "", "a\nb c"},
        {130000, 139000, "C", ""},
        {140000, 149000, "C", "Überall schön Straße ñandú"},
        {150000, 159000, "C", " a "},
    };
    static const size_t want[] = {1, 1, 2, 4, 6, 1, 1, 1, 2, 1, 3, 1};
    struct script s = of_cues(cues, 12);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(check_cue(&s, i), want[i]);
    assert_int_equal(s.end_ms, 159000);
}

static void order(void **state)
{
    (void)state;
    /* a cue that ends as the next begins is confirmed first; overlaps interleave by time */
    struct vtt_cue cues[] = {{0, 1000, "A", "a b c"},
                             {1000, 1000, "B", "d e f"},
                             {1000, 3000, "A", "g h i"},
                             {1500, 2000, "B", "j k l"}};
    static const struct {
        unsigned cue;
        int completed;
    } want[] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 0}, {3, 0}, {3, 1}, {2, 1}};
    struct script s = of_cues(cues, 4);
    size_t at = 0;
    for (size_t i = 0; i < s.n_actions; i++) {
        if (s.actions[i].cue == 2 && s.actions[i].due_ms == 2000)
            continue; /* the second draft of the long one */
        assert_true(at < sizeof want / sizeof want[0]);
        assert_int_equal(s.actions[i].cue, want[at].cue);
        assert_int_equal(s.actions[i].completed, want[at].completed);
        at++;
    }
    assert_int_equal(at, sizeof want / sizeof want[0]);
}

static void without_drafts(void **state)
{
    (void)state;
    struct vtt_cue cues[] = {{0, 9000, "A", "a b c"}, {9500, 9900, "A", "d"}};
    struct vtt v = {
        .cues = cues, .n = 2, .admission = VTT_ADMIT_WAIT, .wait_ms = 7, .end = VTT_END_HANG};
    struct script s = of(&v);
    assert_int_equal(s.n_actions, 2);
    assert_true(s.actions[0].completed && s.actions[1].completed);
    assert_int_equal(s.admission, VTT_ADMIT_WAIT);
    assert_int_equal(s.wait_ms, 7);
    assert_int_equal(s.end, SCRIPT_HANG);
    v = (struct vtt){.end = VTT_END_EVICTED, .drafts = true};
    s = of(&v);
    assert_int_equal(s.n_actions, 0);
    assert_int_equal(s.end_ms, 0);
    assert_int_equal(s.end, SCRIPT_EVICTED);
}

static void limits(void **state)
{
    (void)state;
    char *text = malloc(SCRIPT_TEXT_MAX + 2), name[400] = "";
    assert_non_null(text);
    memset(text, 'x', SCRIPT_TEXT_MAX + 1);
    for (size_t i = 1; i < SCRIPT_TEXT_MAX; i += 2)
        text[i] = ' ';
    text[SCRIPT_TEXT_MAX] = '\0';
    struct vtt_cue cues[] = {{0, 1, "", "a"}, {0, 9000, name, text}};
    struct script s = of_cues(cues, 2);
    assert_int_equal(check_cue(&s, 1), 6);

    struct vtt v = {.cues = cues, .n = 2, .drafts = true};
    const char *why = NULL;
    memset(name, 'n', 256);
    assert_int_equal(script_from_vtt(arena, &v, &s, &why), VX_ERR_VALIDATION);
    assert_non_null(strstr(why, "cue 2"));
    name[0] = '\0';
    text[SCRIPT_TEXT_MAX] = 'x';
    text[SCRIPT_TEXT_MAX + 1] = '\0';
    assert_int_equal(script_from_vtt(arena, &v, &s, &why), VX_ERR_VALIDATION);
    assert_non_null(strstr(why, "cue 2"));
    free(text);
}

static void scenarios(void **state)
{
    (void)state;
    struct script s;
    const char *why = NULL;
    static const struct {
        const char *name;
        enum vtt_admission admission;
        size_t cues;
        enum script_end end;
    } want[] = {
        {"normal", VTT_ADMIT_OK, 3, SCRIPT_LEFT_ALONE},
        {"immediate-stop", VTT_ADMIT_OK, 0, SCRIPT_STAY},
        {"slow-join", VTT_ADMIT_WAIT, 1, SCRIPT_LEFT_ALONE},
        {"join-timeout", VTT_ADMIT_TIMEOUT, 0, SCRIPT_LEFT_ALONE},
        {"reject", VTT_ADMIT_REJECT, 0, SCRIPT_LEFT_ALONE},
        {"crash", VTT_ADMIT_OK, 3, SCRIPT_CRASH},
        {"silence-left-alone", VTT_ADMIT_OK, 0, SCRIPT_LEFT_ALONE},
        {"emit-n-segments", VTT_ADMIT_OK, 10, SCRIPT_LEFT_ALONE},
        {"emit-n-segments:25", VTT_ADMIT_OK, 25, SCRIPT_LEFT_ALONE},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_int_equal(script_from_mock(arena, want[i].name, 4321, &s, &why), VX_OK);
        assert_int_equal(s.admission, want[i].admission);
        assert_int_equal(s.n_cues, want[i].cues);
        assert_int_equal(s.end, want[i].end);
        if (strcmp(want[i].name, "silence-left-alone") == 0)
            assert_int_equal(s.end_ms, 4321);
        for (uint32_t c = 0; c < s.n_cues; c++)
            check_cue(&s, c);
    }
    static const char *const unknown[] = {"",
                                          "Normal",
                                          "normal ",
                                          "emit-n-segments:",
                                          "emit-n-segments:0",
                                          "emit-n-segments:-1",
                                          "emit-n-segments:5001",
                                          "emit-n-segments:18446744073709551617",
                                          "emit-n-segments:2x"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_int_equal(script_from_mock(arena, unknown[i], 1, &s, &why), VX_ERR_VALIDATION);
}

#define GOOD                                                                                       \
    "\"platform\":\"zoom\",\"meetingUrl\":null,\"botName\":\"b\",\"nativeMeetingId\":\"n\","       \
    "\"connectionId\":\"c\",\"meeting_id\":7"

static void invocations(void **state)
{
    (void)state;
    struct invocation v;
    const char *why;
    assert_int_equal(invocation_read(arena,
                                     "{" GOOD ",\"token\":\"t\",\"automaticLeave\":"
                                     "{\"waitingRoomTimeout\":5}}",
                                     &v, &why),
                     VX_OK);
    assert_string_equal(v.platform, "zoom");
    assert_string_equal(v.token, "t");
    assert_null(v.callback_url);
    assert_int_equal(v.meeting_id, 7);
    assert_int_equal(v.waiting_room_ms, 5);
    assert_int_equal(v.everyone_left_ms, 120000);
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{" GOOD ",\"x\":1}",
        "{" GOOD ",\"token\":null}",
        "{" GOOD ",\"token\":\"a\\nb\"}",
        "{" GOOD ",\"automaticLeave\":{\"x\":1}}",
        "{" GOOD ",\"automaticLeave\":{\"waitingRoomTimeout\":-1}}",
        "{\"platform\":\"zoom\",\"meetingUrl\":null,\"botName\":\"b\"}",
        "{" GOOD "} x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(invocation_read(arena, bad[i], &v, &why), VX_ERR_VALIDATION);
        assert_non_null(why);
    }
    assert_int_equal(invocation_read(arena, NULL, &v, &why), VX_ERR_VALIDATION);
}

/* Feeds text in pieces of n bytes. */
static void feed(struct commands *c, const char *text, size_t n)
{
    for (size_t len = strlen(text); len > 0;) {
        size_t k = len < n ? len : n;
        commands_feed(c, text, k);
        text += k;
        len -= k;
    }
}

static void command_stream(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    for (size_t n = 1; n < 40; n++) {
        struct commands *c = commands_new(NULL, "http://127.0.0.1/", none);
        assert_non_null(c);
        assert_string_equal(commands_last_id(c), "");
        feed(c, "id: e-0\n\n: keepalive\n\nretry: 5\n\ndata: {\"action\":\"speak\"}\n\n", n);
        assert_string_equal(commands_last_id(c), "e-0");
        feed(c, "data: not json\n\ndata: [1]\n\ndata: {\"action\":1}\n\ndata\n\n", n);
        assert_false(commands_leave(c));
        feed(c, "id: e-1\ndata: {\"action\":\"leave\"}\n", n);
        assert_false(commands_leave(c)); /* not complete yet, nor is its id */
        assert_string_equal(commands_last_id(c), "e-0");
        feed(c, "\n", n);
        assert_true(commands_leave(c));
        assert_false(commands_leave(c));
        assert_string_equal(commands_last_id(c), "e-1");
        feed(c, "id:e-2\r\ndata: {\"action\":\r\ndata:\"leave\",\"meeting_id\":7}\r\n\r\n", n);
        assert_true(commands_leave(c));
        assert_string_equal(commands_last_id(c), "e-2");
        feed(c, "data: {\"action\":\"leave\"}\r\r", n);
        assert_true(commands_leave(c));
        commands_free(c);
    }
}

static void command_stream_bounds(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    struct commands *c = commands_new(NULL, "http://127.0.0.1/", none);
    assert_non_null(c);
    feed(c, "data: ", 6);
    for (int i = 0; i < 200000; i++)
        commands_feed(c, "x", 1);
    feed(c, "\ndata: {\"action\":\"leave\"}\n\n", 9); /* part of the spoiled event */
    assert_false(commands_leave(c));
    for (int i = 0; i < 20000; i++)
        feed(c, "data: 0123456789\n", 99);
    feed(c, "\n", 9);
    assert_false(commands_leave(c));
    feed(c, "data: {\"action\":\"leave\"}\n\n", 9);
    assert_true(commands_leave(c));
    commands_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_grow),    cmocka_unit_test(order),
        cmocka_unit_test(without_drafts), cmocka_unit_test(limits),
        cmocka_unit_test(scenarios),      cmocka_unit_test(invocations),
        cmocka_unit_test(command_stream), cmocka_unit_test(command_stream_bounds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
