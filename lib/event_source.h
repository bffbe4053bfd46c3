/* A stream of server-sent events that is read for good: parses the format as the HTML standard
 * says, remembers the last id as a browser does, and comes back with Last-Event-ID after every
 * break until the server says that there is no more, or refuses. */
#ifndef VX_EVENT_SOURCE_H
#define VX_EVENT_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/http_client.h"

#define EVENT_SOURCE_ID_MAX 128 /* longer ids are ignored */

struct event_source;

enum event_source_what {
    EVENT_SOURCE_OPEN,     /* the first bytes of a 200 are there */
    EVENT_SOURCE_BROKEN,   /* closed or not reached; opened again after pause_ms */
    EVENT_SOURCE_FINISHED, /* 204: no more will come. Final */
    EVENT_SOURCE_REFUSED,  /* a status that a repetition does not change, or no event stream. Final
                            */
    EVENT_SOURCE_SKIPPED,  /* an event was longer than event_max; its id counts all the same */
};

struct event_source_news {
    enum event_source_what what;
    int status;       /* HTTP status; 0 = none */
    bool clean;       /* of BROKEN: the server ended a stream of status 200 in good order */
    const char *text; /* what is wrong: the "detail" of the answer, or curl's words; may be "" */
    int64_t pause_ms; /* of BROKEN */
};

/* 0 in a number means the value in brackets. Strings and headers outlive the source. */
struct event_source_config {
    const char *url;
    const char *const *headers; /* NULL ends the list; go with every request */
    const char *last_id;        /* sent with the first request; NULL = none */
    size_t event_max;           /* [64 KiB] of one line, and of one event's data */
    int64_t pause_first_ms;     /* [100] grows by doubling, until an event comes … */
    int64_t pause_max_ms;       /* [5000] … to this; what the server asks for may be longer */
    long idle_seconds;          /* [45] of silence end the connection; the server speaks every 15 */
    bool direct;                /* ignore the proxies of the environment */
    /* One complete event: its own id or NULL, its data (not NUL-terminated). false closes the
     * source for good. The rules of http_request.on_data hold: must not free the source. */
    bool (*on_event)(void *ctx, const char *id, const char *data, size_t len);
    void (*on_news)(void *ctx, const struct event_source_news *news); /* may be NULL */
    void *ctx;
};

/* NULL: no memory, or last_id cannot be one. client may be NULL when only feed is used. */
struct event_source *event_source_new(struct http_client *client,
                                      const struct event_source_config *cfg);
void event_source_free(struct event_source *es);
/* Opens the stream when it is closed and its pause is over. Returns when to call again (monotonic
 * milliseconds, INT64_MAX while it is open or closed for good). */
int64_t event_source_step(struct event_source *es, int64_t now_ms);
/* True when it will not be opened again. */
bool event_source_closed(const struct event_source *es);
/* The id a reconnect would send, "" when there is none. */
const char *event_source_last_id(const struct event_source *es);

/* The parser alone, for tests: bytes of a stream, and its end. */
void event_source_feed(struct event_source *es, const char *p, size_t n);
void event_source_cut(struct event_source *es);

#endif
