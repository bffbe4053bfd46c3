/* The readable transcript. On a terminal the last line is the draft under way: it is written over
 * in place and erased only behind its end, so nothing flickers; a confirmed line takes its place
 * and the draft, if there is another one, is drawn again below. */
#include "cli/tail_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "lib/arena.h"
#include "lib/json_scan.h"

#define TREE_MAX   ((size_t)16 * 1024 * 1024)
#define LINE_MAX_  ((size_t)256 * 1024)
#define ERASE_REST "\033[K"

struct tail_view {
    enum tail_form form;
    struct buf *out;
    struct arena *arena;   /* of the frame under way */
    struct buf draft_id;   /* which segment the draft is; empty = there is none */
    struct buf head, text; /* the draft: "[00:00:01] Ada: ", and what is said */
    struct buf line;       /* scratch */
    bool shown;            /* the screen's last line is the draft */
    bool stale;            /* it is not what it should show */
    size_t columns;        /* it was cut to */
};

struct tail_view *tail_view_new(enum tail_form form, struct buf *out)
{
    struct tail_view *v = calloc(1, sizeof *v);
    if (v == NULL)
        return NULL;
    v->form = form;
    v->out = out;
    buf_init(&v->draft_id, LINE_MAX_);
    buf_init(&v->head, LINE_MAX_);
    buf_init(&v->text, LINE_MAX_);
    buf_init(&v->line, LINE_MAX_);
    v->arena = arena_new(TREE_MAX);
    if (v->arena != NULL)
        return v;
    free(v);
    return NULL;
}

void tail_view_free(struct tail_view *v)
{
    if (v == NULL)
        return;
    arena_free(v->arena);
    buf_free(&v->draft_id);
    buf_free(&v->head);
    buf_free(&v->text);
    buf_free(&v->line);
    free(v);
}

/* Empties a buffer, also one that has failed. */
static void empty(struct buf *b)
{
    if (b->failed)
        buf_free(b);
    else
        buf_clear(b);
}

/* --- characters */

/* The character at s and its length in bytes; a byte that begins none is U+FFFD, length 1. */
static uint32_t next_char(const char *s, size_t n, size_t *len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = (unsigned char)s[0];
    size_t want = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 4;
    *len = 1;
    if (want == 1)
        return c;
    if (c < 0xc2 || c > 0xf4 || want > n)
        return 0xfffd;
    uint32_t u = c & (0xffu >> (want + 1));
    for (size_t i = 1; i < want; i++) {
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 0xfffd;
        u = u << 6 | ((unsigned char)s[i] & 0x3f);
    }
    if (u < least[want] || u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
        return 0xfffd;
    *len = want;
    return u;
}

static bool is_space(uint32_t u)
{
    return u == ' ' || (u >= 9 && u <= 13) || u == 0x85 || u == 0x2028 || u == 0x2029;
}

/* Control characters, and the marks that change the direction of text: a speaker's name must not
 * rewrite the screen. */
static bool is_control(uint32_t u)
{
    return u < 0x20 || (u >= 0x7f && u < 0xa0) || u == 0x061c || u == 0x200e || u == 0x200f ||
           (u >= 0x202a && u <= 0x202e) || (u >= 0x2066 && u <= 0x2069) || u == 0xfeff;
}

void tail_view_plain(struct buf *out, const char *s, size_t n)
{
    bool space = false, any = false;
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t u = next_char(s + i, n - i, &len);
        if (is_space(u)) {
            space = any;
        } else if (!is_control(u)) {
            if (space)
                buf_append_char(out, ' ');
            if (u == 0xfffd)
                buf_append_str(out, "\xef\xbf\xbd");
            else
                buf_append(out, s + i, len);
            space = false;
            any = true;
        }
    }
}

/* Columns of one character. The C library's table is used where the locale has one; without it
 * everything from Hangul on counts double, which cuts too early but never too late. */
static size_t char_width(uint32_t u)
{
    if (u < 0x300)
        return 1;
    int w = wcwidth((wchar_t)u);
    if (w >= 0)
        return (size_t)w;
    return u >= 0x1100 ? 2 : 1;
}

size_t tail_view_width(const char *s, size_t n)
{
    size_t w = 0;
    for (size_t i = 0, len; i < n; i += len)
        w += char_width(next_char(s + i, n - i, &len));
    return w;
}

/* Bytes at the start of s that fit into columns, and, in *used, their columns. */
static size_t fit_start(const char *s, size_t n, size_t columns, size_t *used)
{
    size_t i = 0, len;
    *used = 0;
    while (i < n) {
        size_t w = char_width(next_char(s + i, n - i, &len));
        if (*used + w > columns)
            break;
        *used += w;
        i += len;
    }
    return i;
}

/* Where the longest end of s begins that fits into columns. */
static size_t fit_end(const char *s, size_t n, size_t columns)
{
    size_t width = tail_view_width(s, n), i = 0, len;
    while (i < n && width > columns) {
        width -= char_width(next_char(s + i, n - i, &len));
        i += len;
    }
    /* never begin with a mark that belongs to the character before */
    while (i > 0 && i < n && char_width(next_char(s + i, n - i, &len)) == 0)
        i += len;
    return i;
}

/* --- lines */

static void append_plain(struct buf *b, const char *s)
{
    tail_view_plain(b, s, strlen(s));
}

/* v->line becomes a line of the output, above the draft. */
static void print_line(struct tail_view *v)
{
    if (v->form == TAIL_LIVE)
        buf_append_char(v->out, '\r');
    if (!v->line.failed && v->line.len > 0)
        buf_append(v->out, v->line.data, v->line.len);
    buf_append_str(v->out, v->form == TAIL_LIVE ? ERASE_REST "\n" : "\n");
    v->shown = false;
    v->stale = true;
    empty(&v->line);
}

void tail_view_clear(struct tail_view *v)
{
    if (!v->shown)
        return;
    buf_append_str(v->out, "\r" ERASE_REST);
    v->shown = false;
    v->stale = true;
}

static void drop_draft(struct tail_view *v)
{
    empty(&v->draft_id);
    empty(&v->head);
    empty(&v->text);
    v->stale = true;
}

void tail_view_draw(struct tail_view *v, size_t columns)
{
    if (v->form != TAIL_LIVE || (!v->stale && v->columns == columns))
        return;
    v->stale = false;
    v->columns = columns;
    if (v->draft_id.len == 0 || v->head.failed || v->text.failed) {
        tail_view_clear(v);
        v->stale = false;
        return;
    }
    /* The last column stays free: writing into it makes some terminals wrap. */
    size_t room = columns > 1 ? columns - 1 : 1, used;
    size_t head = v->head.len > 0 ? fit_start(v->head.data, v->head.len, room, &used) : (used = 0);
    buf_append_char(v->out, '\r');
    if (head > 0)
        buf_append(v->out, v->head.data, head);
    if (v->text.len > 0 && used < room) {
        /* Of a draft that is too long the newest words are shown. */
        size_t from = 0, width = tail_view_width(v->text.data, v->text.len);
        if (width > room - used) {
            buf_append_str(v->out, "\xe2\x80\xa6");
            from = fit_end(v->text.data, v->text.len, room - used - 1);
        }
        buf_append(v->out, v->text.data + from, v->text.len - from);
    }
    buf_append_str(v->out, ERASE_REST);
    v->shown = true;
}

/* --- frames */

static const char *text_of(struct json_object *o, const char *key)
{
    const char *s = json_get_str(o, key);
    return s != NULL ? s : "";
}

/* "[00:01:05] ", the topic of a merged stream, and "Ada: ". */
static void append_head(struct buf *b, struct json_object *o)
{
    struct json_object *t = NULL;
    double seconds = 0;
    if (json_object_object_get_ex(o, "t", &t))
        seconds = json_object_get_double(t);
    int64_t s = seconds > 0 && seconds < 1e9 ? (int64_t)seconds : 0;
    buf_printf(b, "[%02" PRId64 ":%02" PRId64 ":%02" PRId64 "] ", s / 3600, s / 60 % 60, s % 60);
    if (*text_of(o, "topic") != '\0') {
        append_plain(b, text_of(o, "topic"));
        buf_append_char(b, ' ');
    }
    if (*text_of(o, "speaker") != '\0') {
        append_plain(b, text_of(o, "speaker"));
        buf_append_str(b, ": ");
    }
}

static bool is_draft(const struct tail_view *v, const char *segment)
{
    return v->draft_id.len > 0 && v->draft_id.len == strlen(segment) &&
           memcmp(v->draft_id.data, segment, v->draft_id.len) == 0;
}

static void show_transcript(struct tail_view *v, struct json_object *o)
{
    const char *segment = text_of(o, "id");
    if (json_get_bool(o, "completed", 1)) {
        if (is_draft(v, segment))
            drop_draft(v);
        append_head(&v->line, o);
        append_plain(&v->line, text_of(o, "text"));
        print_line(v);
    } else if (v->form == TAIL_LIVE && *segment != '\0') {
        drop_draft(v);
        buf_append_str(&v->draft_id, segment);
        append_head(&v->head, o);
        append_plain(&v->text, text_of(o, "text"));
    }
}

static void show_retract(struct tail_view *v, struct json_object *o)
{
    struct json_object *ids = NULL;
    if (!json_object_object_get_ex(o, "segment_ids", &ids) ||
        !json_object_is_type(ids, json_type_array))
        return;
    buf_append_str(&v->line, "-- taken back:");
    for (size_t i = 0; i < json_object_array_length(ids); i++) {
        const char *id = json_object_get_string(json_object_array_get_idx(ids, i));
        if (id == NULL)
            continue;
        if (is_draft(v, id))
            drop_draft(v);
        buf_append_char(&v->line, ' ');
        append_plain(&v->line, id);
    }
    print_line(v);
}

/* Both forms: nested in a meeting's stream, flat in a user's feed. */
static void show_status(struct tail_view *v, struct json_object *o)
{
    struct json_object *meeting = NULL, *payload = NULL;
    if (!json_object_object_get_ex(o, "meeting", &meeting))
        meeting = o;
    if (!json_object_object_get_ex(o, "payload", &payload))
        payload = o;
    const char *native = text_of(meeting, meeting == o ? "native" : "native_id");
    const char *reason = text_of(payload, "completion_reason");
    const char *why = text_of(payload, "failure_reason");
    buf_append_str(&v->line, "-- ");
    if (*native == '\0') {
        buf_printf(&v->line, "meeting %" PRId64,
                   json_get_int(meeting, meeting == o ? "meeting_id" : "id", 0));
    } else {
        append_plain(&v->line, text_of(meeting, "platform"));
        buf_append_str(&v->line, *text_of(meeting, "platform") != '\0' ? "/" : "");
        append_plain(&v->line, native);
    }
    buf_append_str(&v->line, ": ");
    append_plain(&v->line, text_of(payload, "status"));
    if (*reason != '\0') {
        buf_append_str(&v->line, " (");
        append_plain(&v->line, reason);
        buf_append_char(&v->line, ')');
    }
    if (*why != '\0') {
        buf_append_str(&v->line, ": ");
        append_plain(&v->line, why);
    }
    print_line(v);
}

static void show_gap(struct tail_view *v, struct json_object *o)
{
    drop_draft(v);
    buf_append_str(&v->line, "-- gap: the events after ");
    append_plain(&v->line, text_of(o, "after"));
    buf_append_str(&v->line, " and before ");
    append_plain(&v->line, text_of(o, "oldest"));
    buf_append_str(&v->line, " are no longer in the log; the transcript has their segments");
    print_line(v);
}

static void show_text(struct tail_view *v, const char *text)
{
    buf_append_str(&v->line, text);
    print_line(v);
}

/* A type this program does not know, or no JSON at all. */
static void show_other(struct tail_view *v, const char *data, size_t len)
{
    buf_append_str(&v->line, "-- ");
    tail_view_plain(&v->line, data, len);
    print_line(v);
}

static void show_json(struct tail_view *v, const char *id, const char *data, size_t len, bool json)
{
    buf_append_str(v->out, "{\"id\":");
    if (id != NULL)
        buf_append_json_str(v->out, id, strlen(id));
    else
        buf_append_str(v->out, "null");
    buf_append_str(v->out, ",\"data\":");
    if (json) {
        size_t at = v->out->len;
        /* A line break can only be white space between two tokens. */
        if (buf_append(v->out, data, len) == 0)
            for (; at < v->out->len; at++)
                if (v->out->data[at] == '\n' || v->out->data[at] == '\r')
                    v->out->data[at] = ' ';
    } else {
        buf_append_json_str(v->out, data, len);
    }
    buf_append_str(v->out, "}\n");
}

bool tail_view_event(struct tail_view *v, const char *id, const char *data, size_t len)
{
    struct json_object *o = NULL;
    struct json_fault fault;
    arena_reset(v->arena);
    bool json = json_read(v->arena, data, len, &o, &fault) == VX_OK;
    bool object = json && o != NULL && json_object_is_type(o, json_type_object);
    const char *type = object ? text_of(o, "type") : "";
    bool last = strcmp(type, "meeting-end") == 0 && *text_of(o, "topic") == '\0';
    if (v->form == TAIL_JSON)
        show_json(v, id, data, len, json);
    else if (strcmp(type, "transcript") == 0)
        show_transcript(v, o);
    else if (strcmp(type, "retract") == 0)
        show_retract(v, o);
    else if (strcmp(type, "meeting.status") == 0)
        show_status(v, o);
    else if (strcmp(type, "gap") == 0)
        show_gap(v, o);
    else if (strcmp(type, "reset") == 0) {
        drop_draft(v);
        show_text(v,
                  "-- reset: the server does not know this position; what follows is all it has");
    } else if (strcmp(type, "meeting-end") == 0) {
        drop_draft(v);
        buf_append_str(&v->line, "-- ");
        append_plain(&v->line, text_of(o, "topic"));
        show_text(v, last ? "the meeting has ended" : ": the meeting has ended");
    } else if (strcmp(type, "ping") != 0) {
        show_other(v, data, len);
    }
    return !last;
}
