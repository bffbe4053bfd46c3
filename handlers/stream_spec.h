/* What a handler decides about an event stream before its first byte; the hub (fcgi/hub.c) sends
 * every event, replay included. Lives in the request's arena; the hub copies what it keeps. */
#ifndef VX_STREAM_SPEC_H
#define VX_STREAM_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define STREAM_TOPICS_MAX 50

struct stream_spec {
    const char *topics[STREAM_TOPICS_MAX];
    size_t n_topics;
    int64_t cursor;       /* events with id > cursor follow; also the armed id. May be below a
                             topic's floor: the hub says gap first */
    const char *preamble; /* frames without id sent after the armed id (reset) or NULL */
    bool ping_frames;     /* silence is broken by {"type":"ping"} instead of ": keepalive" */
    const char *end_type; /* the stream closes after an event of this type; NULL = never */
    int64_t user_id, token_id, expires_ms; /* token_id 0: not bound to an API key */
    bool poll;             /* the long-poll form: one JSON answer instead of a stream */
    int64_t poll_ms;       /* how long it may wait for its first event */
    const char *poll_head; /* set by the web side: the answer's header lines */
    size_t poll_head_len;
};

#define STREAM_WAIT_MAX 55 /* ?wait=, seconds: below the usual time-outs of 60 */

struct request;
struct response;
/* Reads ?wait= and ?since=, which make a request the long-poll form. Call before anything is looked
 * up. False: since is no id, or came without wait; the response is the 422. */
bool stream_form(struct request *rq, struct response *rs, struct stream_spec *spec);
/* Where the stream of spec->topics starts (handlers/streams.c): after the client's cursor, or anew
 * (all of the log, or its last `replay` events; -1 = all). Sets cursor and preamble. Reads inside
 * the caller's snapshot. */
enum vx_err stream_start(const struct request *rq, int64_t replay, struct stream_spec *spec);

#endif
