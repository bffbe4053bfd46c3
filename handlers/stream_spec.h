/* What a handler decides about an event stream before its first byte; the hub (fcgi/hub.c) sends
 * every event, replay included. Lives in the request's arena; the hub copies what it keeps. */
#ifndef VX_STREAM_SPEC_H
#define VX_STREAM_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_TOPICS_MAX 50

struct stream_spec {
    const char *topics[STREAM_TOPICS_MAX];
    size_t n_topics;
    int64_t cursor;       /* events with id > cursor follow; also the armed id */
    const char *preamble; /* frames without id sent after the armed id (gap, reset) or NULL */
    bool ping_frames;     /* silence is broken by {"type":"ping"} instead of ": keepalive" */
    const char *end_type; /* the stream closes after an event of this type; NULL = never */
    int64_t user_id, token_id, expires_ms; /* token_id 0: not bound to an API key */
};

#endif
