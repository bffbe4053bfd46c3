/* Two halves: the parser (bytes to events; an id counts only when its event is complete), and the
 * connection with its pauses. */
#include "lib/event_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/secret.h"

#define EVENT_MAX    ((size_t)64 * 1024)
#define PAUSE_FIRST  100
#define PAUSE_MAX    5000
#define ASKED_MAX    60000 /* a server that asks for a longer pause is asked again after this one */
#define IDLE_SECONDS 45
#define STEADY_MS    5000 /* a connection that lasted so long was a good one */
#define HEADERS_MAX  12
#define REFUSAL_MAX  ((size_t)16 * 1024)
#define REFUSAL_TREE ((size_t)4 * 1024 * 1024)

static const char byte_order_mark[] = "\xef\xbb\xbf";

struct event_source {
    struct http_client *client;
    struct event_source_config cfg;
    struct http_call *call;
    int64_t open_at; /* of a closed stream */
    int64_t opened_at;
    int64_t pause_ms; /* the next one, before jitter */
    int64_t asked_ms; /* the last "retry:", -1 = none */
    bool seen_open;   /* this connection answered 200 */
    bool final;
    struct buf refusal; /* body of an answer other than 200 */

    struct buf line, data;
    size_t mark; /* bytes of a byte order mark seen; 3 = past the start of the stream */
    bool was_cr, has_data, has_id;
    bool long_line; /* the line under way passed event_max: its end is missing */
    bool spoiled;   /* so did the event under way: skip to its end */
    char id[EVENT_SOURCE_ID_MAX], last_id[EVENT_SOURCE_ID_MAX];
};

struct event_source *event_source_new(struct http_client *client,
                                      const struct event_source_config *cfg)
{
    if (cfg->last_id != NULL && strlen(cfg->last_id) >= EVENT_SOURCE_ID_MAX)
        return NULL;
    struct event_source *es = calloc(1, sizeof *es);
    if (es == NULL)
        return NULL;
    es->client = client;
    es->cfg = *cfg;
    if (es->cfg.event_max == 0)
        es->cfg.event_max = EVENT_MAX;
    if (es->cfg.pause_first_ms == 0)
        es->cfg.pause_first_ms = PAUSE_FIRST;
    if (es->cfg.pause_max_ms == 0)
        es->cfg.pause_max_ms = PAUSE_MAX;
    if (es->cfg.idle_seconds == 0)
        es->cfg.idle_seconds = IDLE_SECONDS;
    es->pause_ms = es->cfg.pause_first_ms;
    es->asked_ms = -1;
    if (cfg->last_id != NULL)
        (void)snprintf(es->last_id, sizeof es->last_id, "%s", cfg->last_id);
    buf_init(&es->line, es->cfg.event_max + 1);
    buf_init(&es->data, es->cfg.event_max + 1);
    buf_init(&es->refusal, REFUSAL_MAX + 1);
    return es;
}

void event_source_free(struct event_source *es)
{
    if (es == NULL)
        return;
    http_client_cancel(es->client, es->call);
    buf_free(&es->line);
    buf_free(&es->data);
    buf_free(&es->refusal);
    free(es);
}

bool event_source_closed(const struct event_source *es)
{
    return es->final;
}

const char *event_source_last_id(const struct event_source *es)
{
    return es->last_id;
}

static void tell(struct event_source *es, const struct event_source_news *news)
{
    if (es->cfg.on_news != NULL)
        es->cfg.on_news(es->cfg.ctx, news);
}

/* --- the parser */

/* Forgets the event under way. */
static void drop_event(struct event_source *es)
{
    if (es->data.failed)
        buf_free(&es->data);
    else
        buf_clear(&es->data);
    es->has_data = es->has_id = es->spoiled = false;
}

/* The blank line: the event is complete. */
static void end_event(struct event_source *es)
{
    if (es->has_id)
        memcpy(es->last_id, es->id, sizeof es->last_id);
    if (es->spoiled || es->data.failed) {
        tell(es, &(struct event_source_news){
                     .what = EVENT_SOURCE_SKIPPED, .status = 200, .text = "too long"});
    } else if (es->has_data) {
        es->pause_ms = es->cfg.pause_first_ms;
        const char *data = es->data.data != NULL ? es->data.data : "";
        if (!es->cfg.on_event(es->cfg.ctx, es->has_id ? es->id : NULL, data, es->data.len))
            es->final = true;
    }
    drop_event(es);
}

/* "retry:" counts when it is digits only. */
static void take_retry(struct event_source *es, const char *value, size_t len)
{
    int64_t ms = 0;
    if (len == 0)
        return;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return;
        ms = ms * 10 + (value[i] - '0');
        if (ms > ASKED_MAX)
            ms = ASKED_MAX;
    }
    es->asked_ms = ms;
}

static bool is_name(const char *name, size_t n, const char *want)
{
    return n == strlen(want) && memcmp(name, want, n) == 0;
}

static void take_data(struct event_source *es, const char *value, size_t len)
{
    if (es->data.len + es->has_data + len > es->cfg.event_max)
        es->spoiled = true;
    if (!es->spoiled) {
        if (es->has_data)
            (void)buf_append_char(&es->data, '\n');
        (void)buf_append(&es->data, value, len); /* a failure is seen in end_event() */
    }
    es->has_data = true;
}

static void take_field(struct event_source *es, const char *name, size_t n, const char *value,
                       size_t len)
{
    if (is_name(name, n, "data")) {
        take_data(es, value, len);
    } else if (is_name(name, n, "retry")) {
        take_retry(es, value, len);
    } else if (is_name(name, n, "id")) {
        if (len >= EVENT_SOURCE_ID_MAX || memchr(value, '\0', len) != NULL)
            return;
        memcpy(es->id, value, len);
        es->id[len] = '\0';
        es->has_id = true;
    } /* event types and unknown fields change nothing for us; a comment has an empty name */
}

static void take_line(struct event_source *es)
{
    const char *p = es->line.data != NULL ? es->line.data : "";
    size_t n = es->line.len;
    const char *colon = n > 0 ? memchr(p, ':', n) : NULL;
    size_t name = colon != NULL ? (size_t)(colon - p) : n;
    if (es->line.failed || es->long_line) {
        /* Only data is missed: of a comment or an id that long nothing is. */
        if (es->line.failed || is_name(p, name, "data"))
            es->spoiled = es->has_data = true;
    } else if (n == 0) {
        end_event(es);
    } else {
        const char *value = colon != NULL ? colon + 1 : p + n;
        size_t len = n - (size_t)(value - p);
        if (len > 0 && *value == ' ') {
            value++;
            len--;
        }
        take_field(es, p, name, value, len);
    }
    es->long_line = false;
    if (es->line.failed)
        buf_free(&es->line);
    else
        buf_clear(&es->line);
}

static void add_to_line(struct event_source *es, const char *p, size_t n)
{
    size_t room = es->cfg.event_max - es->line.len;
    if (n > room) {
        es->long_line = true;
        n = room;
    }
    if (n > 0)
        (void)buf_append(&es->line, p, n); /* a failure is seen in take_line() */
}

/* Skips one byte order mark at the very start; what only began like one is text. */
static size_t skip_mark(struct event_source *es, const char *p, size_t n)
{
    size_t i = 0;
    while (es->mark < 3 && i < n) {
        if (p[i] != byte_order_mark[es->mark]) {
            add_to_line(es, byte_order_mark, es->mark);
            es->mark = 3;
            break;
        }
        es->mark++;
        i++;
    }
    return i;
}

void event_source_feed(struct event_source *es, const char *p, size_t n)
{
    size_t i = skip_mark(es, p, n);
    while (i < n && !es->final) {
        if (es->was_cr && p[i] == '\n') { /* the second half of CRLF */
            es->was_cr = false;
            i++;
            continue;
        }
        size_t end = i;
        while (end < n && p[end] != '\n' && p[end] != '\r')
            end++;
        add_to_line(es, p + i, end - i);
        es->was_cr = end < n && p[end] == '\r';
        if (end < n)
            take_line(es);
        i = end + 1;
    }
}

void event_source_cut(struct event_source *es)
{
    drop_event(es);
    buf_free(&es->line);
    es->was_cr = es->long_line = false;
    es->mark = 0;
}

/* --- the connection */

static bool on_data(void *ctx, int status, const char *p, size_t n)
{
    struct event_source *es = ctx;
    if (status != 200) {
        size_t room = REFUSAL_MAX - es->refusal.len;
        (void)buf_append(&es->refusal, p, n < room ? n : room);
        return true;
    }
    if (!es->seen_open) {
        es->seen_open = true;
        es->opened_at = clock_mono_ms();
        tell(es, &(struct event_source_news){.what = EVENT_SOURCE_OPEN, .status = 200, .text = ""});
    }
    event_source_feed(es, p, n);
    return !es->final;
}

/* A quarter on top, so that clients do not come back in step. */
static int64_t jittered(int64_t pause_ms)
{
    unsigned char r = 128;
    (void)secret_bytes(&r, 1); /* without randomness the pause is just regular */
    return pause_ms + pause_ms * r / 1020;
}

/* One entry of a 422's list: where and what. */
static const char *entry_text(struct arena *a, struct json_object *entry)
{
    struct json_object *loc = NULL, *last = NULL;
    const char *msg = json_get_str(entry, "msg");
    if (json_object_object_get_ex(entry, "loc", &loc) &&
        json_object_is_type(loc, json_type_array) && json_object_array_length(loc) > 0)
        last = json_object_array_get_idx(loc, json_object_array_length(loc) - 1);
    if (msg == NULL || last == NULL)
        return msg;
    return arena_printf(a, "%s: %s", json_object_get_string(last), msg);
}

/* What the answer's body says is wrong, "" when it says nothing. In the arena. */
static const char *detail_of(struct arena *a, const struct buf *body)
{
    struct json_object *o = NULL, *detail = NULL;
    struct json_fault fault;
    const char *text = NULL;
    if (body->data == NULL || json_read(a, body->data, body->len, &o, &fault) != VX_OK ||
        o == NULL || !json_object_is_type(o, json_type_object) ||
        !json_object_object_get_ex(o, "detail", &detail))
        return "";
    if (json_object_is_type(detail, json_type_string))
        text = json_object_get_string(detail);
    else if (json_object_is_type(detail, json_type_array) && json_object_array_length(detail) > 0 &&
             json_object_is_type(json_object_array_get_idx(detail, 0), json_type_object))
        text = entry_text(a, json_object_array_get_idx(detail, 0));
    return text != NULL ? text : "";
}

/* Sets the next try; the pause grows until an event comes. */
static void try_later(struct event_source *es, const struct http_result *r, const char *text)
{
    int64_t now = clock_mono_ms(), pause = es->pause_ms;
    if (es->seen_open && now - es->opened_at >= STEADY_MS)
        pause = es->cfg.pause_first_ms;
    es->pause_ms = pause * 2 > es->cfg.pause_max_ms ? es->cfg.pause_max_ms : pause * 2;
    if (pause < es->asked_ms)
        pause = es->asked_ms;
    if (r->status == 429 || r->status == 503) {
        int64_t asked = r->retry_after > ASKED_MAX / 1000 ? ASKED_MAX : r->retry_after * 1000;
        if (pause < asked)
            pause = asked;
    }
    pause = jittered(pause);
    es->open_at = now + pause;
    tell(es, &(struct event_source_news){.what = EVENT_SOURCE_BROKEN,
                                         .status = r->status,
                                         .clean = r->status == 200 && r->fault == HTTP_FINE,
                                         .text = text,
                                         .pause_ms = pause});
}

static bool is_event_stream(const char *content_type)
{
    static const char want[] = "text/event-stream";
    size_t n = sizeof want - 1;
    return strncasecmp(content_type, want, n) == 0 &&
           (content_type[n] == '\0' || content_type[n] == ';' || content_type[n] == ' ');
}

/* An answer that will be the same next time. */
static bool is_final(const struct http_result *r)
{
    if (r->fault == HTTP_BAD_URL)
        return true;
    if (r->status == 200)
        return !is_event_stream(r->content_type);
    if (r->status == 408 || r->status == 425 || r->status == 429)
        return false;
    return (r->status > 200 && r->status < 500) || r->status == 501;
}

static void on_done(void *ctx, const struct http_result *r)
{
    struct event_source *es = ctx;
    es->call = NULL;
    event_source_cut(es);
    if (es->final)
        return; /* on_event wants no more */
    struct arena *a = arena_new(REFUSAL_TREE);
    const char *text = r->error;
    if (r->status != 200 && a != NULL && *detail_of(a, &es->refusal) != '\0')
        text = detail_of(a, &es->refusal);
    if (r->status == 204) {
        es->final = true;
        tell(es, &(struct event_source_news){
                     .what = EVENT_SOURCE_FINISHED, .status = r->status, .text = ""});
    } else if (is_final(r)) {
        es->final = true;
        if (r->status == 200)
            text = "the answer is not an event stream";
        tell(es, &(struct event_source_news){
                     .what = EVENT_SOURCE_REFUSED, .status = r->status, .text = text});
    } else {
        try_later(es, r, text);
    }
    arena_free(a);
}

int64_t event_source_step(struct event_source *es, int64_t now_ms)
{
    if (es->call != NULL || es->final)
        return INT64_MAX;
    if (now_ms < es->open_at)
        return es->open_at;
    char resume[EVENT_SOURCE_ID_MAX + 32];
    const char *headers[HEADERS_MAX] = {"Accept: text/event-stream", "Cache-Control: no-store"};
    size_t n = 2;
    for (size_t i = 0; es->cfg.headers != NULL && es->cfg.headers[i] != NULL && n < HEADERS_MAX - 2;
         i++)
        headers[n++] = es->cfg.headers[i];
    if (es->last_id[0] != '\0') {
        (void)snprintf(resume, sizeof resume, "Last-Event-ID: %s", es->last_id);
        headers[n] = resume;
    }
    struct http_request rq = {
        .method = "GET",
        .url = es->cfg.url,
        .headers = headers,
        .limits = {.idle_seconds = es->cfg.idle_seconds},
        .direct = es->cfg.direct,
        .on_data = on_data,
        .on_done = on_done,
        .ctx = es,
    };
    es->seen_open = false;
    buf_clear(&es->refusal);
    enum vx_err err = http_client_start(es->client, &rq, &es->call);
    if (err == VX_OK)
        return now_ms; /* poll at once: nothing is sent before */
    if (err == VX_ERR_VALIDATION) {
        es->final = true;
        tell(es, &(struct event_source_news){.what = EVENT_SOURCE_REFUSED,
                                             .text = "a header has a line break"});
        return INT64_MAX;
    }
    es->open_at = now_ms + es->cfg.pause_max_ms;
    return es->open_at;
}
