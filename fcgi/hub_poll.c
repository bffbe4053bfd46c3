/* The long-poll form of a stream: ?wait= asks for one JSON answer with the events after ?since=, at
 * once when there are any, else as soon as one comes, at the latest when the time is over. While it
 * waits it is a stream like others and holds no thread; only its events go into the answer. */
#include <stdlib.h>
#include <string.h>

#include "fcgi/hub_stream.h"
#include "lib/cursor.h"

#define ANSWER_MAX ((size_t)64 * 1024 * 1024) /* one event may be larger than HUB_POLL_BYTES */
#define LATE_MS    1000 /* the store cannot be read, or there always is more: answer all the same */
#define NOTE_START "{\"id\":null,\"data\":"

/* Adds the "data: …" frames of stream text. */
static void add_notes(struct poll *p, const char *text)
{
    static const char mark[] = "data: ";
    while (text && (text = strstr(text, mark)) != NULL) {
        text += sizeof(mark) - 1;
        size_t n = strcspn(text, "\n");
        buf_append_str(&p->events, p->n++ ? "," NOTE_START : NOTE_START);
        buf_append(&p->events, text, n);
        buf_append_char(&p->events, '}');
        text += n;
    }
}

struct poll *poll_new(const struct stream_spec *spec)
{
    struct poll *p = calloc(1, sizeof(*p) + spec->poll_head_len);
    if (!p)
        return NULL;
    p->wait_ms = spec->poll_ms;
    p->head_len = spec->poll_head_len;
    memcpy(p->head, spec->poll_head, spec->poll_head_len);
    buf_init(&p->events, ANSWER_MAX);
    add_notes(p, spec->preamble);
    return p;
}

void poll_free(struct poll *p)
{
    if (p)
        buf_free(&p->events);
    free(p);
}

bool poll_add(struct hub *h, struct stream *s, const char *json, size_t n)
{
    struct poll *p = s->poll;
    if (p->n++)
        buf_append_char(&p->events, ',');
    buf_append(&p->events, json, n);
    if (p->events.failed)
        stream_drop(h, s);
    return !p->events.failed;
}

void poll_note(struct hub *h, struct stream *s, const char *text)
{
    add_notes(s->poll, text);
    if (s->poll->events.failed)
        stream_drop(h, s);
}

bool poll_is_full(const struct stream *s)
{
    return s->poll->n >= HUB_POLL_EVENTS || s->poll->events.len >= HUB_POLL_BYTES;
}

void poll_answer(struct hub *h, struct stream *s, bool end)
{
    struct poll *p = s->poll;
    char at[CURSOR_TEXT_MAX];
    if (s->dead || s->closing)
        return;
    if (s->live && s->cursor < h->seen)
        s->cursor = h->seen; /* what lies between was not of its topics */
    cursor_format(h->epoch, s->cursor, at);
    struct buf b;
    buf_init(&b, ANSWER_MAX + p->head_len + 256);
    size_t body = sizeof("{\"events\":[],\"next_since\":\"\",\"end\":}") - 1 + p->events.len +
                  strlen(at) + (end ? 4 : 5);
    buf_append(&b, p->head, p->head_len);
    buf_printf(&b, "Content-Length: %zu\r\n\r\n{\"events\":[", body);
    buf_append(&b, p->events.data ? p->events.data : "", p->events.len);
    buf_printf(&b, "],\"next_since\":\"%s\",\"end\":%s}", at, end ? "true" : "false");
    if (b.failed || p->events.failed)
        stream_drop(h, s);
    else
        stream_part(h, s, b.data, true);
    buf_free(&b);
    buf_free(&p->events);
}

static bool is_due(const struct hub *h, const struct stream *s)
{
    int64_t late = h->now - s->poll->due_ms;
    return (late >= 0 && s->live && !h->dirty) || late >= LATE_MS;
}

void poll_settle(struct hub *h, struct stream *s)
{
    if (s->poll->n > 0 || is_due(h, s))
        poll_answer(h, s, false);
}

void polls_meet_due(struct hub *h)
{
    for (struct link *l = h->polls.next, *next; l != &h->polls; l = next) {
        struct stream *s = stream_of_order(l);
        next = l->next;
        if (!s->closing && is_due(h, s))
            poll_answer(h, s, false);
    }
}
