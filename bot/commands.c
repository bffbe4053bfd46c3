/* The command stream: connection, pauses, and the few lines of the event stream format we need
 * (id, data, comments, blank line). An id counts only when its event is complete. */
#include "bot/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/log.h"

#define EVENT_MAX   ((size_t)64 * 1024) /* of one line, and of one event's data */
#define ID_MAX      128
#define IDLE_SECS   45 /* the server breaks the silence every 15 s */
#define PAUSE_FIRST 100
#define PAUSE_MAX   5000
#define HEADERS_MAX 8

struct commands {
    struct http_client *client;
    const char *url;
    const char *const *headers;
    struct http_call *call;
    int64_t open_at; /* of a closed stream; INT64_MAX = the server wants no more of us */
    int pause_ms;
    bool leave;

    struct buf line, data;
    bool was_cr, has_data, has_id;
    bool spoiled; /* the event under way was too long: skip to its end */
    char id[ID_MAX], last_id[ID_MAX];
};

struct commands *commands_new(struct http_client *client, const char *url,
                              const char *const *headers)
{
    struct commands *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->client = client;
    c->url = url;
    c->headers = headers;
    c->pause_ms = PAUSE_FIRST;
    buf_init(&c->line, EVENT_MAX);
    buf_init(&c->data, EVENT_MAX);
    return c;
}

void commands_free(struct commands *c)
{
    if (c == NULL)
        return;
    http_client_cancel(c->client, c->call);
    buf_free(&c->line);
    buf_free(&c->data);
    free(c);
}

bool commands_leave(struct commands *c)
{
    bool leave = c->leave;
    c->leave = false;
    return leave;
}

const char *commands_last_id(const struct commands *c)
{
    return c->last_id;
}

/* Forgets the event under way. */
static void drop_event(struct commands *c)
{
    buf_free(&c->data);
    c->has_data = c->has_id = c->spoiled = false;
}

static void obey(struct commands *c)
{
    struct arena *a = arena_new((size_t)4 * 1024 * 1024);
    struct json_object *o = NULL;
    struct json_fault fault;
    if (a != NULL && json_read(a, c->data.data, c->data.len, &o, &fault) == VX_OK && o != NULL &&
        json_object_is_type(o, json_type_object)) {
        const char *action = json_get_str(o, "action");
        if (action != NULL && strcmp(action, "leave") == 0)
            c->leave = true;
        else if (action != NULL)
            log_event(LOG_INFO_, "command_ignored", "action", action, NULL);
    }
    arena_free(a);
}

/* The blank line: the event is complete. */
static void end_event(struct commands *c)
{
    if (c->has_id)
        memcpy(c->last_id, c->id, sizeof c->last_id);
    if (c->has_data && !c->spoiled && c->data.data != NULL)
        obey(c);
    drop_event(c);
}

static void take_field(struct commands *c, const char *name, size_t name_len, const char *value,
                       size_t len)
{
    if (name_len == 4 && memcmp(name, "data", 4) == 0) {
        if (c->has_data)
            buf_append_char(&c->data, '\n');
        if (buf_append(&c->data, value, len) != 0)
            c->spoiled = true;
        c->has_data = true;
    } else if (name_len == 2 && memcmp(name, "id", 2) == 0) {
        if (len >= ID_MAX || memchr(value, '\0', len) != NULL)
            return;
        memcpy(c->id, value, len);
        c->id[len] = '\0';
        c->has_id = true;
    } /* event, retry and comments change nothing for us */
}

static void take_line(struct commands *c)
{
    const char *p = c->line.data != NULL ? c->line.data : "";
    size_t n = c->line.len;
    if (c->line.failed) {
        c->spoiled = true;
    } else if (n == 0) {
        end_event(c);
    } else {
        const char *colon = memchr(p, ':', n);
        size_t name = colon != NULL ? (size_t)(colon - p) : n;
        const char *value = colon != NULL ? colon + 1 : p + n;
        size_t len = n - (size_t)(value - p);
        if (len > 0 && *value == ' ') {
            value++;
            len--;
        }
        take_field(c, p, name, value, len);
    }
    if (c->line.failed)
        buf_free(&c->line);
    else
        buf_clear(&c->line);
}

void commands_feed(struct commands *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool after_cr = c->was_cr;
        c->was_cr = p[i] == '\r';
        if (p[i] == '\n' && after_cr)
            continue; /* the second half of CRLF */
        if (p[i] == '\n' || p[i] == '\r')
            take_line(c);
        else
            (void)buf_append_char(&c->line, p[i]); /* a failure is seen in take_line() */
    }
}

static bool on_data(void *ctx, int status, const char *p, size_t n)
{
    struct commands *c = ctx;
    if (status != 200)
        return true; /* an error's body */
    c->pause_ms = PAUSE_FIRST;
    commands_feed(c, p, n);
    return true;
}

static void on_done(void *ctx, const struct http_result *r)
{
    struct commands *c = ctx;
    c->call = NULL;
    drop_event(c);
    buf_free(&c->line);
    c->was_cr = false;
    char status[16];
    (void)snprintf(status, sizeof status, "%d", r->status);
    if (r->status == 204 || r->status == 401 || r->status == 403 || r->fault == HTTP_BAD_URL) {
        /* Signals still reach us; a token that is refused here is refused with the next post. */
        log_event(LOG_WARN_, "commands_closed", "status", status, "error", r->error, NULL);
        c->open_at = INT64_MAX;
        return;
    }
    if (c->pause_ms == PAUSE_FIRST)
        log_event(LOG_INFO_, "commands_broken", "status", status, "error", r->error, NULL);
    c->open_at = clock_mono_ms() + c->pause_ms;
    c->pause_ms = c->pause_ms * 2 > PAUSE_MAX ? PAUSE_MAX : c->pause_ms * 2;
}

int64_t commands_step(struct commands *c, int64_t now_ms)
{
    if (c->call != NULL)
        return INT64_MAX;
    if (now_ms < c->open_at)
        return c->open_at;
    char resume[ID_MAX + 32];
    const char *headers[HEADERS_MAX] = {"Accept: text/event-stream"};
    size_t n = 1;
    for (size_t i = 0; c->headers[i] != NULL && n < HEADERS_MAX - 2; i++)
        headers[n++] = c->headers[i];
    if (c->last_id[0] != '\0') {
        (void)snprintf(resume, sizeof resume, "Last-Event-ID: %s", c->last_id);
        headers[n] = resume;
    }
    struct http_request rq = {
        .method = "GET",
        .url = c->url,
        .headers = headers,
        .limits = {.idle_seconds = IDLE_SECS},
        .direct = true,
        .on_data = on_data,
        .on_done = on_done,
        .ctx = c,
    };
    enum vx_err err = http_client_start(c->client, &rq, &c->call);
    if (err == VX_OK)
        return now_ms; /* poll at once: nothing is sent before */
    log_event(LOG_WARN_, "commands_failed", "code", vx_err_info(err)->code, NULL);
    c->open_at = now_ms + PAUSE_MAX;
    return c->open_at;
}
