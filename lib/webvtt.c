/* WebVTT (W3C) as a recording: cues, who speaks, what is said. Where the standard drops what it
 * cannot read, this reader names the line instead: a recording that silently loses a cue would
 * make a meeting that was never held. */
#include "lib/webvtt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/py_text.h"

#define FILE_MAX (4u << 20)
#define CUES_MAX 20000u
#define TEXT_MAX (16u << 10)
#define TAG_MAX  1024u /* a longer one stands for itself; keeps reading linear */
#define WAIT_MAX 86400 /* seconds of "admission: wait" */

struct line {
    const char *s;
    size_t n;
};

struct reader {
    struct arena *a;
    const char *p, *end;
    size_t number; /* of the line last read, from 1 */
    struct vtt *out;
    size_t cap;
    const char *why;
    bool seen_admission, seen_end, seen_drafts;
};

/* Notes what is wrong with a line. Returns VX_ERR_VALIDATION. */
static enum vx_err __attribute__((format(printf, 3, 4)))
refuse(struct reader *r, size_t number, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(r->a, fmt, ap);
    va_end(ap);
    r->why = text ? arena_printf(r->a, "line %zu: %s", number, text) : NULL;
    return r->why ? VX_ERR_VALIDATION : VX_ERR_NO_MEMORY;
}

/* The next line, without its end (LF, CR or CRLF). False at the end of the text. */
static bool next_line(struct reader *r, struct line *l)
{
    if (r->p == r->end)
        return false;
    l->s = r->p;
    while (r->p < r->end && *r->p != '\n' && *r->p != '\r')
        r->p++;
    l->n = (size_t)(r->p - l->s);
    if (r->p < r->end && *r->p == '\r')
        r->p++;
    if (r->p < r->end && *r->p == '\n' && (r->p == l->s + l->n || r->p[-1] == '\r'))
        r->p++;
    r->number++;
    return true;
}

/* Looks at the next line without taking it. */
static bool peek_line(const struct reader *r, struct line *l)
{
    struct reader copy = *r;
    return next_line(&copy, l);
}

static bool line_is(struct line l, const char *text)
{
    return l.n == strlen(text) && memcmp(l.s, text, l.n) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool has_arrow(struct line l)
{
    return memmem(l.s, l.n, "-->", 3) != NULL;
}

static struct line trim(struct line l)
{
    while (l.n > 0 && is_blank(l.s[0])) {
        l.s++;
        l.n--;
    }
    while (l.n > 0 && is_blank(l.s[l.n - 1]))
        l.n--;
    return l;
}

/* A line that is the word alone or the word and a blank: NOTE, STYLE, REGION. */
static bool starts_block(struct line l, const char *word)
{
    size_t n = strlen(word);
    return l.n >= n && memcmp(l.s, word, n) == 0 && (l.n == n || is_blank(l.s[n]));
}

static void skip_block(struct reader *r)
{
    struct line l;
    while (next_line(r, &l) && l.n > 0)
        ;
}

/* ---- cue text ---- */

/* Length of the character reference at s ("&amp;", "&#8217;", "&#x2019;"), and its character in
 * *cp; 0 when it is none, and then the '&' stands for itself. */
static size_t read_entity(const char *s, size_t n, uint32_t *cp)
{
    static const struct {
        const char *name;
        uint32_t cp;
    } named[] = {
        {"&amp;", '&'},    {"&lt;", '<'},     {"&gt;", '>'},   {"&nbsp;", 0xa0},
        {"&lrm;", 0x200e}, {"&rlm;", 0x200f}, {"&quot;", '"'}, {"&apos;", '\''},
    };
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        size_t len = strlen(named[i].name);
        if (n >= len && memcmp(s, named[i].name, len) == 0) {
            *cp = named[i].cp;
            return len;
        }
    }
    if (n < 4 || s[1] != '#')
        return 0;
    bool hex = s[2] == 'x' || s[2] == 'X';
    size_t i = hex ? 3 : 2, first = i;
    uint32_t v = 0;
    for (; i < n; i++) {
        char c = (char)(s[i] | 0x20);
        int d = s[i] >= '0' && s[i] <= '9'    ? s[i] - '0'
                : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10
                                              : -1;
        if (d < 0)
            break;
        v = v > 0x10ffff ? v : v * (hex ? 16 : 10) + (uint32_t)d;
    }
    if (i == first || i == n || s[i] != ';')
        return 0;
    *cp = v == 0 || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) ? 0xfffd : v;
    return i + 1;
}

/* Length of the tag at s ('<' … '>'), or 0 when the '<' stands for itself ("a < b", "I <3 it"):
 * a tag begins with a letter, '/', '>' or, for a time tag, holds nothing but a time. */
static size_t read_tag(const char *s, size_t n)
{
    const char *close = memchr(s, '>', n < TAG_MAX ? n : TAG_MAX);
    if (!close || n < 2)
        return 0;
    size_t len = (size_t)(close - s) + 1;
    char c = s[1];
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '>')
        return len;
    for (size_t i = 1; i + 1 < len; i++) {
        if ((s[i] < '0' || s[i] > '9') && s[i] != ':' && s[i] != '.')
            return 0;
    }
    return len;
}

/* Decodes references of n bytes into out (never longer than its source); returns the length. */
static size_t decode(const char *s, size_t n, char *out)
{
    size_t w = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = s[i] == '&' ? read_entity(s + i, n - i, &cp) : 0;
        if (len) {
            w += utf8_write(cp, out + w);
            i += len;
        } else {
            out[w++] = s[i++];
        }
    }
    return w;
}

/* The name of a voice tag ("<v Name>", "<v.loud.first Name>") with its white space collapsed;
 * NULL in *speaker when the tag is another one. */
static enum vx_err read_voice(struct reader *r, const char *tag, size_t len, const char **speaker)
{
    *speaker = NULL;
    if (tag[1] != 'v' || !(tag[2] == '.' || tag[2] == '>' || is_blank(tag[2])))
        return VX_OK;
    size_t i = 2;
    while (i + 1 < len && !is_blank(tag[i]))
        i++;
    struct line name = trim((struct line){tag + i, len - 1 - i});
    char *out = arena_alloc(r->a, name.n + 1);
    if (!out)
        return VX_ERR_NO_MEMORY;
    size_t n = decode(name.s, name.n, out), w = 0;
    for (size_t k = 0; k < n; k++) {
        if (!is_blank(out[k]))
            out[w++] = out[k];
        else if (w > 0 && out[w - 1] != ' ')
            out[w++] = ' ';
    }
    if (w > 0 && out[w - 1] == ' ')
        w--;
    out[w] = '\0';
    *speaker = out;
    return VX_OK;
}

/* The payload of a cue (lines joined by \n) as text and speaker; the first voice is the cue's. */
static enum vx_err read_payload(struct reader *r, const char *raw, size_t n, struct vtt_cue *cue)
{
    char *out = arena_alloc(r->a, n + 1);
    if (!out)
        return VX_ERR_NO_MEMORY;
    size_t w = 0;
    bool voiced = false;
    cue->speaker = "";
    for (size_t i = 0; i < n;) {
        size_t tag = raw[i] == '<' ? read_tag(raw + i, n - i) : 0;
        if (tag) {
            const char *speaker;
            enum vx_err err = read_voice(r, raw + i, tag, &speaker);
            if (err != VX_OK)
                return err;
            if (speaker && !voiced) {
                cue->speaker = speaker;
                voiced = true;
            }
            i += tag;
            continue;
        }
        size_t plain = 1;
        while (i + plain < n && raw[i + plain] != '<')
            plain++;
        w += decode(raw + i, plain, out + w);
        i += plain;
    }
    out[w] = '\0';
    cue->text = out;
    return VX_OK;
}

/* ---- blocks ---- */

/* "00:01.000 --> 00:02.500 line:0": both times; the settings are for screens. */
static bool read_timing(struct line l, struct vtt_cue *cue)
{
    const char *arrow = memmem(l.s, l.n, "-->", 3);
    struct line from = trim((struct line){l.s, (size_t)(arrow - l.s)});
    struct line rest = trim((struct line){arrow + 3, l.n - (size_t)(arrow - l.s) - 3});
    size_t n = 0;
    while (n < rest.n && !is_blank(rest.s[n]))
        n++;
    return clock_parse_cue(from.s, from.n, &cue->start_ms) == 0 &&
           clock_parse_cue(rest.s, n, &cue->end_ms) == 0;
}

/* Takes the lines of a cue's payload: up to an empty line or the next timing. *raw gets them
 * joined by \n, in the arena. */
static enum vx_err take_payload(struct reader *r, const char **raw, size_t *n)
{
    struct line l;
    size_t room = 0, w = 0;
    for (struct reader ahead = *r; next_line(&ahead, &l) && l.n > 0 && !has_arrow(l);)
        room += l.n + 1;
    char *out = arena_alloc(r->a, room + 1);
    if (!out)
        return VX_ERR_NO_MEMORY;
    while (peek_line(r, &l) && !has_arrow(l)) {
        next_line(r, &l);
        if (l.n == 0)
            break;
        if (w > 0)
            out[w++] = '\n';
        memcpy(out + w, l.s, l.n);
        w += l.n;
    }
    *raw = out;
    *n = w;
    return VX_OK;
}

/* A cue whose timing line was just read. */
static enum vx_err take_cue(struct reader *r, struct line timing)
{
    size_t number = r->number, n;
    struct vtt_cue cue = {0};
    const char *raw;
    if (!read_timing(timing, &cue))
        return refuse(r, number, "not a cue timing (hh:mm:ss.mmm --> hh:mm:ss.mmm)");
    if (cue.end_ms < cue.start_ms)
        return refuse(r, number, "the cue ends before it starts");
    if (r->out->n == r->cap)
        return refuse(r, number, "more than %u cues", CUES_MAX);
    enum vx_err err = take_payload(r, &raw, &n);
    if (err == VX_OK)
        err = read_payload(r, raw, n, &cue);
    if (err != VX_OK)
        return err;
    if (strlen(cue.text) > TEXT_MAX)
        return refuse(r, number, "the text of the cue is longer than %u bytes", TEXT_MAX);
    r->out->cues[r->out->n++] = cue;
    return VX_OK;
}

/* "wait 12s" -> 12000. */
static bool read_wait(struct line v, int64_t *ms)
{
    static const char word[] = "wait";
    size_t n = sizeof word - 1;
    if (v.n <= n || memcmp(v.s, word, n) != 0 || !is_blank(v.s[n]))
        return false;
    struct line num = trim((struct line){v.s + n, v.n - n});
    int64_t s = 0;
    if (num.n < 2 || num.n > 6 || num.s[num.n - 1] != 's')
        return false;
    for (size_t i = 0; i + 1 < num.n; i++) {
        if (num.s[i] < '0' || num.s[i] > '9')
            return false;
        s = s * 10 + (num.s[i] - '0');
    }
    *ms = s * 1000;
    return s <= WAIT_MAX;
}

/* Index of the word, or -1. */
static int one_of(struct line v, const char *const words[], int count)
{
    for (int i = 0; i < count; i++) {
        if (line_is(v, words[i]))
            return i;
    }
    return -1;
}

static bool set_admission(struct vtt *out, struct line v)
{
    static const char *const words[] = {"ok", NULL, "reject", "timeout"};
    static const enum vtt_admission values[] = {VTT_ADMIT_OK, VTT_ADMIT_WAIT, VTT_ADMIT_REJECT,
                                                VTT_ADMIT_TIMEOUT};
    for (int i = 0; i < 4; i++) {
        if (words[i] ? line_is(v, words[i]) : read_wait(v, &out->wait_ms)) {
            out->admission = values[i];
            return true;
        }
    }
    return false;
}

static bool set_end(struct vtt *out, struct line v)
{
    static const char *const words[] = {"left_alone", "evicted", "crash", "hang"};
    static const enum vtt_end values[] = {VTT_END_LEFT_ALONE, VTT_END_EVICTED, VTT_END_CRASH,
                                          VTT_END_HANG};
    int i = one_of(v, words, 4);
    if (i >= 0)
        out->end = values[i];
    return i >= 0;
}

static bool set_drafts(struct vtt *out, struct line v)
{
    static const char *const words[] = {"off", "on"};
    int i = one_of(v, words, 2);
    if (i >= 0)
        out->drafts = i == 1;
    return i >= 0;
}

/* One "key: value" of a replay block. */
static enum vx_err take_setting(struct reader *r, struct line l)
{
    const struct {
        const char *name, *values;
        bool (*set)(struct vtt *, struct line);
        bool *seen;
    } keys[] = {
        {"admission", "ok, wait <n>s, reject or timeout", set_admission, &r->seen_admission},
        {"end", "left_alone, evicted, crash or hang", set_end, &r->seen_end},
        {"drafts", "on or off", set_drafts, &r->seen_drafts},
    };
    const char *colon = memchr(l.s, ':', l.n);
    if (!colon)
        return refuse(r, r->number, "a replay block holds lines of the form 'key: value'");
    struct line key = trim((struct line){l.s, (size_t)(colon - l.s)});
    struct line value = trim((struct line){colon + 1, l.n - (size_t)(colon - l.s) - 1});
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!line_is(key, keys[i].name))
            continue;
        if (*keys[i].seen)
            return refuse(r, r->number, "'%s' is given twice", keys[i].name);
        *keys[i].seen = true;
        if (keys[i].set(r->out, value))
            return VX_OK;
        return refuse(r, r->number, "unknown value '%.*s' of '%s': it is %s",
                      (int)(value.n > 60 ? 60 : value.n), value.s, keys[i].name, keys[i].values);
    }
    return refuse(r, r->number, "unknown key '%.*s': a replay block knows admission, end, drafts",
                  (int)(key.n > 60 ? 60 : key.n), key.s);
}

static enum vx_err take_replay(struct reader *r)
{
    struct line l;
    while (next_line(r, &l) && l.n > 0) {
        if (trim(l).n == 0)
            continue;
        enum vx_err err = take_setting(r, l);
        if (err != VX_OK)
            return err;
    }
    return VX_OK;
}

/* A block whose first line was just read. */
static enum vx_err take_block(struct reader *r, struct line first)
{
    struct line l;
    if (line_is(first, "NOTE replay"))
        return take_replay(r);
    if (has_arrow(first))
        return take_cue(r, first);
    if (starts_block(first, "NOTE")) {
        skip_block(r);
        return VX_OK;
    }
    /* An id may be any word, so what follows decides whether this is a cue's. */
    if (peek_line(r, &l) && has_arrow(l)) {
        next_line(r, &l);
        return take_cue(r, l);
    }
    if (starts_block(first, "STYLE") || starts_block(first, "REGION")) {
        skip_block(r);
        return VX_OK;
    }
    return refuse(r, r->number, "text outside a cue: no timing line (\"-->\") follows");
}

/* "WEBVTT", perhaps with a title, and header lines up to an empty one. */
static enum vx_err take_header(struct reader *r)
{
    struct line l;
    if (!next_line(r, &l) || !starts_block(l, "WEBVTT"))
        return refuse(r, 1, "a recording begins with WEBVTT");
    while (peek_line(r, &l) && l.n > 0 && !has_arrow(l))
        next_line(r, &l);
    return VX_OK;
}

/* NUL and broken UTF-8 are refused here, once, as everything later ends up in JSON. */
static enum vx_err check_bytes(struct reader *r)
{
    size_t n = (size_t)(r->end - r->p), bad = utf8_check(r->p, n);
    const char *nul = memchr(r->p, '\0', n);
    if (nul && (size_t)(nul - r->p) < bad)
        bad = (size_t)(nul - r->p);
    if (bad == n)
        return VX_OK;
    struct reader scan = *r;
    struct line l;
    while (next_line(&scan, &l) && (size_t)(scan.p - r->p) <= bad)
        ;
    return refuse(r, scan.number, nul ? "a NUL or broken UTF-8" : "broken UTF-8");
}

/* Room for as many cues as there are arrows. */
static enum vx_err make_room(struct reader *r)
{
    const char *p = r->p;
    while (r->cap < CUES_MAX && (p = memmem(p, (size_t)(r->end - p), "-->", 3)) != NULL) {
        r->cap++;
        p += 3;
    }
    r->out->cues = arena_alloc(r->a, (r->cap + 1) * sizeof *r->out->cues);
    return r->out->cues ? VX_OK : VX_ERR_NO_MEMORY;
}

enum vx_err vtt_parse(struct arena *a, const char *text, size_t n, struct vtt *out,
                      const char **why)
{
    struct reader r = {.a = a, .p = text, .end = text + n, .out = out};
    struct line l;
    *out = (struct vtt){.drafts = true};
    *why = NULL;
    if (n > FILE_MAX) {
        *why = "the recording is larger than 4 MiB";
        return VX_ERR_VALIDATION;
    }
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        r.p += 3;
    enum vx_err err = check_bytes(&r);
    if (err == VX_OK)
        err = take_header(&r);
    if (err == VX_OK)
        err = make_room(&r);
    while (err == VX_OK && next_line(&r, &l)) {
        if (l.n > 0)
            err = take_block(&r, l);
    }
    *why = r.why;
    return err;
}
