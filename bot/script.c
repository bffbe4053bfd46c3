/* Recording or scenario to a timed list of actions. Both go through one builder: a scenario is
 * a small recording made up here. */
#include "bot/script.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MOCK_SEGMENTS     10
#define MOCK_SEGMENTS_MAX 5000
#define MOCK_CUE_MS       1000 /* one utterance a second, */
#define MOCK_SPOKEN_MS    800  /* spoken for so long */
#define MOCK_SLOW_MS      5000

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Characters of a UTF-8 text: bytes that begin one. */
static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* Number of words; ends of the words go to ends when it is not NULL. */
static size_t words(const char *text, uint32_t *ends)
{
    size_t n = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (is_blank(text[i]) || (text[i + 1] != '\0' && !is_blank(text[i + 1])))
            continue;
        if (ends != NULL)
            ends[n] = (uint32_t)(i + 1);
        n++;
    }
    return n;
}

/* How many drafts a cue gets: one each SCRIPT_DRAFT_MS, each with at least a word more than the
 * last, none with all of them (a cue of one word has no choice). */
static size_t drafts_of(int64_t spoken_ms, size_t n_words)
{
    int64_t by_time = (spoken_ms + SCRIPT_DRAFT_MS - 1) / SCRIPT_DRAFT_MS;
    size_t k = by_time > SCRIPT_DRAFTS_MAX ? SCRIPT_DRAFTS_MAX : by_time < 1 ? 1 : (size_t)by_time;
    size_t by_words = n_words > 1 ? n_words - 1 : 1;
    return k < by_words ? k : by_words;
}

static int by_time(const void *pa, const void *pb)
{
    const struct script_action *a = pa, *b = pb;
    if (a->due_ms != b->due_ms)
        return a->due_ms < b->due_ms ? -1 : 1;
    if (a->cue != b->cue)
        return a->cue < b->cue ? -1 : 1;
    if (a->completed != b->completed)
        return a->completed ? 1 : -1;
    return (a->text_len > b->text_len) - (a->text_len < b->text_len);
}

/* Appends the actions of one cue. ends has room for every word of it. */
static void add_cue(struct script *s, uint32_t index, uint32_t len, bool drafts, uint32_t *ends)
{
    const struct vtt_cue *cue = &s->cues[index];
    int64_t spoken = cue->end_ms > cue->start_ms ? cue->end_ms - cue->start_ms : 0;
    size_t n = words(cue->text, ends);
    size_t k = drafts ? drafts_of(spoken, n) : 0;
    for (size_t i = 0; i < k; i++) {
        size_t said = n > 1 ? n * (i + 1) / (k + 1) : n;
        if (said < i + 1 && n > 0)
            said = i + 1;
        s->actions[s->n_actions++] = (struct script_action){
            .due_ms = cue->start_ms + spoken * (int64_t)i / (int64_t)k,
            .cue = index,
            .text_len = said == 0 ? len : ends[said - 1],
        };
    }
    s->actions[s->n_actions++] = (struct script_action){
        .due_ms = cue->start_ms + spoken, .cue = index, .text_len = len, .completed = true};
}

static enum vx_err build(struct arena *a, bool drafts, struct script *s, const char **why)
{
    if (s->n_cues >= INT_MAX / (SCRIPT_DRAFTS_MAX + 1))
        return VX_ERR_NO_MEMORY;
    uint32_t *ends = arena_alloc(a, (SCRIPT_TEXT_MAX / 2 + 1) * sizeof *ends);
    s->actions = arena_alloc(a, (s->n_cues + 1) * (SCRIPT_DRAFTS_MAX + 1) * sizeof *s->actions);
    if (ends == NULL || s->actions == NULL)
        return VX_ERR_NO_MEMORY;
    for (size_t i = 0; i < s->n_cues; i++) {
        size_t len = strlen(s->cues[i].text);
        if (characters(s->cues[i].speaker) > SCRIPT_SPEAKER_MAX) {
            *why = arena_printf(a, "cue %zu: the speaker's name is longer than %d characters",
                                i + 1, SCRIPT_SPEAKER_MAX);
            return *why == NULL ? VX_ERR_NO_MEMORY : VX_ERR_VALIDATION;
        }
        if (len > SCRIPT_TEXT_MAX) {
            *why = arena_printf(a, "cue %zu: text of %zu bytes, at most %d can be sent", i + 1, len,
                                SCRIPT_TEXT_MAX);
            return *why == NULL ? VX_ERR_NO_MEMORY : VX_ERR_VALIDATION;
        }
        add_cue(s, (uint32_t)i, (uint32_t)len, drafts, ends);
    }
    qsort(s->actions, s->n_actions, sizeof *s->actions, by_time);
    int64_t last = s->n_actions > 0 ? s->actions[s->n_actions - 1].due_ms : 0;
    if (s->end_ms < last)
        s->end_ms = last;
    return VX_OK;
}

enum vx_err script_from_vtt(struct arena *a, const struct vtt *v, struct script *out,
                            const char **why)
{
    static const enum script_end ends[] = {
        [VTT_END_LEFT_ALONE] = SCRIPT_LEFT_ALONE,
        [VTT_END_EVICTED] = SCRIPT_EVICTED,
        [VTT_END_CRASH] = SCRIPT_CRASH,
        [VTT_END_HANG] = SCRIPT_HANG,
    };
    *out = (struct script){
        .admission = v->admission,
        .wait_ms = v->wait_ms,
        .cues = v->cues,
        .n_cues = v->n,
        .end = ends[v->end],
    };
    return build(a, v->drafts, out, why);
}

/* n utterances of two people, one a second. */
static enum vx_err mock_cues(struct arena *a, size_t n, struct script *out)
{
    struct vtt_cue *cues = arena_alloc(a, (n + 1) * sizeof *cues);
    if (cues == NULL)
        return VX_ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        cues[i].start_ms = (int64_t)i * MOCK_CUE_MS;
        cues[i].end_ms = cues[i].start_ms + MOCK_SPOKEN_MS;
        cues[i].speaker = i % 2 == 0 ? "Ada" : "Ben";
        cues[i].text = arena_printf(a, "mock utterance %zu", i + 1);
        if (cues[i].text == NULL)
            return VX_ERR_NO_MEMORY;
    }
    out->cues = cues;
    out->n_cues = n;
    return VX_OK;
}

/* Number behind "emit-n-segments:"; -1 when it is none, or out of range. */
static long mock_count(const char *s)
{
    long n = 0;
    if (*s == '\0')
        return -1;
    for (; *s != '\0'; s++) {
        if (*s < '0' || *s > '9')
            return -1;
        n = n * 10 + (*s - '0');
        if (n > MOCK_SEGMENTS_MAX)
            return -1;
    }
    return n > 0 ? n : -1;
}

enum vx_err script_from_mock(struct arena *a, const char *scenario, int64_t alone_ms,
                             struct script *out, const char **why)
{
    static const struct {
        const char *name;
        enum vtt_admission admission;
        size_t segments;
        enum script_end end;
    } scenarios[] = {
        {"normal", VTT_ADMIT_OK, 3, SCRIPT_LEFT_ALONE},
        {"immediate-stop", VTT_ADMIT_OK, 0, SCRIPT_STAY},
        {"slow-join", VTT_ADMIT_WAIT, 1, SCRIPT_LEFT_ALONE},
        {"join-timeout", VTT_ADMIT_TIMEOUT, 0, SCRIPT_LEFT_ALONE},
        {"reject", VTT_ADMIT_REJECT, 0, SCRIPT_LEFT_ALONE},
        {"crash", VTT_ADMIT_OK, 3, SCRIPT_CRASH},
        {"silence-left-alone", VTT_ADMIT_OK, 0, SCRIPT_LEFT_ALONE},
        {"emit-n-segments", VTT_ADMIT_OK, MOCK_SEGMENTS, SCRIPT_LEFT_ALONE},
    };
    static const char emit[] = "emit-n-segments:";
    const char *name = scenario;
    long count = 0;
    if (strncmp(scenario, emit, sizeof emit - 1) == 0) {
        name = "emit-n-segments";
        count = mock_count(scenario + sizeof emit - 1);
    }
    for (size_t i = 0; count >= 0 && i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(name, scenarios[i].name) != 0)
            continue;
        *out = (struct script){
            .admission = scenarios[i].admission, .wait_ms = MOCK_SLOW_MS, .end = scenarios[i].end};
        if (strcmp(name, "silence-left-alone") == 0)
            out->end_ms = alone_ms;
        enum vx_err err = mock_cues(a, count > 0 ? (size_t)count : scenarios[i].segments, out);
        return err != VX_OK ? err : build(a, true, out, why);
    }
    if (count < 0)
        *why = arena_printf(a, "mock scenario '%s': the number must be 1 to %d", scenario,
                            MOCK_SEGMENTS_MAX);
    else
        *why = arena_printf(a, "unknown mock scenario '%s'", scenario);
    return *why == NULL ? VX_ERR_NO_MEMORY : VX_ERR_VALIDATION;
}
