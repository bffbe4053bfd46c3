/* The bot's command stream: an event source, and the one command that is acted on. */
#include "bot/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/event_source.h"
#include "lib/json_scan.h"
#include "lib/log.h"

#define TREE_MAX ((size_t)4 * 1024 * 1024)

struct commands {
    struct event_source *source;
    bool leave;
    bool broken; /* said so already; the next line is for the end of it */
};

static bool obey(void *ctx, const char *id, const char *data, size_t len)
{
    (void)id;
    struct commands *c = ctx;
    struct arena *a = arena_new(TREE_MAX);
    struct json_object *o = NULL;
    struct json_fault fault;
    if (a != NULL && json_read(a, data, len, &o, &fault) == VX_OK && o != NULL &&
        json_object_is_type(o, json_type_object)) {
        const char *action = json_get_str(o, "action");
        if (action != NULL && strcmp(action, "leave") == 0)
            c->leave = true;
        else if (action != NULL)
            log_event(LOG_INFO_, "command_ignored", "action", action, NULL);
    }
    arena_free(a);
    return true;
}

static void on_news(void *ctx, const struct event_source_news *news)
{
    struct commands *c = ctx;
    char status[16];
    (void)snprintf(status, sizeof status, "%d", news->status);
    switch (news->what) {
    case EVENT_SOURCE_OPEN:
        c->broken = false;
        break;
    case EVENT_SOURCE_BROKEN:
        if (!c->broken)
            log_event(LOG_INFO_, "commands_broken", "status", status, "error", news->text, NULL);
        c->broken = true;
        break;
    case EVENT_SOURCE_FINISHED:
    case EVENT_SOURCE_REFUSED:
        /* Signals still reach us; a token that is refused here is refused with the next post. */
        log_event(LOG_WARN_, "commands_closed", "status", status, "error", news->text, NULL);
        break;
    case EVENT_SOURCE_SKIPPED:
        log_event(LOG_WARN_, "command_ignored", "error", news->text, NULL);
        break;
    }
}

struct commands *commands_new(struct http_client *client, const char *url,
                              const char *const *headers)
{
    struct commands *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    const struct event_source_config cfg = {
        .url = url,
        .headers = headers,
        .direct = true,
        .on_event = obey,
        .on_news = on_news,
        .ctx = c,
    };
    c->source = event_source_new(client, &cfg);
    if (c->source != NULL)
        return c;
    free(c);
    return NULL;
}

void commands_free(struct commands *c)
{
    if (c == NULL)
        return;
    event_source_free(c->source);
    free(c);
}

bool commands_leave(struct commands *c)
{
    bool leave = c->leave;
    c->leave = false;
    return leave;
}

int64_t commands_step(struct commands *c, int64_t now_ms)
{
    return event_source_step(c->source, now_ms);
}

void commands_feed(struct commands *c, const char *p, size_t n)
{
    event_source_feed(c->source, p, n);
}

const char *commands_last_id(const struct commands *c)
{
    return event_source_last_id(c->source);
}
