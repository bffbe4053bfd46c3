/* Owns the bytes of event streams: SSE text and the FastCGI records around it. */
#include "fcgi/hub_frame.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cursor.h"

#define RECORD_HEADER 8
#define RECORD_BODY_MAX                                                                            \
    65528 /* largest multiple of 8: only a frame's last record needs padding                       \
           */

enum record_type { RECORD_END_REQUEST = 3, RECORD_STDOUT = 6 };

static void put_header(unsigned char *p, enum record_type type, unsigned request_id, size_t n,
                       size_t pad)
{
    p[0] = 1;
    p[1] = (unsigned char)type;
    p[2] = (unsigned char)(request_id >> 8);
    p[3] = (unsigned char)request_id;
    p[4] = (unsigned char)(n >> 8);
    p[5] = (unsigned char)n;
    p[6] = (unsigned char)pad;
    p[7] = 0;
}

static size_t packed_size(size_t n)
{
    size_t records = (n + RECORD_BODY_MAX - 1) / RECORD_BODY_MAX;
    return records * RECORD_HEADER + (n + 7) / 8 * 8;
}

/* Packs text at p, returns the first byte after it. */
static unsigned char *pack(unsigned char *p, unsigned request_id, const char *text, size_t n)
{
    while (n > 0) {
        size_t part = n < RECORD_BODY_MAX ? n : RECORD_BODY_MAX;
        size_t pad = (8 - part % 8) % 8;
        put_header(p, RECORD_STDOUT, request_id, part, pad);
        memcpy(p + RECORD_HEADER, text, part);
        memset(p + RECORD_HEADER + part, 0, pad);
        p += RECORD_HEADER + part + pad;
        text += part;
        n -= part;
    }
    return p;
}

static struct frame *frame_alloc(size_t len)
{
    struct frame *f = malloc(sizeof(*f) + len);
    if (f) {
        f->refs = 1;
        f->len = len;
    }
    return f;
}

struct frame *frame_new(unsigned request_id, const char *text, size_t n)
{
    struct frame *f = frame_alloc(packed_size(n));
    if (f)
        pack(f->data, request_id, text, n);
    return f;
}

struct frame *frame_end(unsigned request_id, const char *text, const void *rest, size_t rest_len)
{
    size_t n = text ? strlen(text) : 0;
    struct frame *f = frame_alloc(rest_len + packed_size(n) + RECORD_HEADER + 2 * RECORD_HEADER);
    if (!f)
        return NULL;
    if (rest_len)
        memcpy(f->data, rest, rest_len);
    unsigned char *p = pack(f->data + rest_len, request_id, text, n);
    put_header(p, RECORD_STDOUT, request_id, 0, 0);
    put_header(p + 8, RECORD_END_REQUEST, request_id, 8, 0);
    memset(p + 16, 0, 8); /* application status 0, FCGI_REQUEST_COMPLETE */
    return f;
}

struct frame *frame_as(struct frame *f, unsigned request_id)
{
    if (f->len < RECORD_HEADER || ((unsigned)f->data[2] << 8 | f->data[3]) == request_id) {
        f->refs++;
        return f;
    }
    struct frame *copy = frame_alloc(f->len);
    if (!copy)
        return NULL;
    memcpy(copy->data, f->data, f->len);
    for (size_t at = 0; at + RECORD_HEADER <= copy->len;) {
        unsigned char *p = copy->data + at;
        p[2] = (unsigned char)(request_id >> 8);
        p[3] = (unsigned char)request_id;
        at += RECORD_HEADER + ((size_t)p[4] << 8 | p[5]) + p[6];
    }
    return copy;
}

struct frame *frame_raw(const char *text, size_t n)
{
    struct frame *f = frame_alloc(n);
    if (f)
        memcpy(f->data, text, n);
    return f;
}

void frame_unref(struct frame *f)
{
    if (f && --f->refs == 0)
        free(f);
}

/* A raw line break could only be white space between JSON tokens, and would end the data line. */
static void unbreak_lines(char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\n' || s[i] == '\r')
            s[i] = ' ';
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The object's text with a last member "topic". */
static void append_with_topic(struct buf *b, const char *data, size_t n, const char *topic)
{
    while (n > 0 && is_space(data[n - 1]))
        n--;
    if (n < 2 || data[n - 1] != '}') { /* not an object: nothing to put it into */
        buf_append(b, data, n);
        return;
    }
    n--;
    while (n > 1 && is_space(data[n - 1]))
        n--;
    buf_append(b, data, n);
    buf_append_str(b, data[n - 1] == '{' ? "\"topic\":" : ",\"topic\":");
    buf_append_json_str(b, topic, strlen(topic));
    buf_append_char(b, '}');
}

int frame_event_text(struct buf *b, const char *epoch, const struct event *e, const char *topic)
{
    buf_clear(b);
    buf_printf(b, "id: %s-%" PRId64 "\ndata: ", epoch, e->id);
    size_t start = b->len;
    if (topic)
        append_with_topic(b, e->data, e->data_len, topic);
    else
        buf_append(b, e->data, e->data_len);
    if (!b->failed)
        unbreak_lines(b->data + start, b->len - start);
    return buf_append_str(b, "\n\n");
}

int frame_event_json(struct buf *b, const char *epoch, const struct event *e, const char *topic)
{
    buf_clear(b);
    buf_printf(b, "{\"id\":\"%s-%" PRId64 "\",\"data\":", epoch, e->id);
    if (topic)
        append_with_topic(b, e->data, e->data_len, topic);
    else
        buf_append(b, e->data, e->data_len);
    return buf_append_char(b, '}');
}

int frame_gap_text(struct buf *b, const char *epoch, int64_t after, int64_t floor,
                   const char *topic)
{
    char from[CURSOR_TEXT_MAX], oldest[CURSOR_TEXT_MAX];
    buf_printf(b, "data: {\"type\":\"gap\",\"after\":\"%s\",\"oldest\":\"%s\"",
               cursor_format(epoch, after, from), cursor_format(epoch, floor + 1, oldest));
    if (topic) {
        buf_append_str(b, ",\"topic\":");
        buf_append_json_str(b, topic, strlen(topic));
    }
    return buf_append_str(b, "}\n\n");
}
