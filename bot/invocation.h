/* invocation.v1: everything a bot is told, the JSON in VEXA_BOT_CONFIG (spec/meetings.md §7.2 with
 * shapes.md's transcriptIngestUrl and commandStreamUrl). Strict: unknown fields are refused. */
#ifndef VX_INVOCATION_H
#define VX_INVOCATION_H

#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"

struct invocation {
    const char *platform, *bot_name, *native_id, *connection_id;
    const char *container_name, *callback_url, *ingest_url, *command_url; /* NULL = absent */
    const char *token, *internal_secret;                                  /* NULL = absent */
    int64_t meeting_id;
    int64_t waiting_room_ms, everyone_left_ms;
};

/* Needs contracts_init(). Reads text (NULL = not set) into out, whose strings live in the arena.
 * VX_ERR_VALIDATION with why (in the arena or static) when it is no conformant invocation. */
enum vx_err invocation_read(struct arena *a, const char *text, struct invocation *out,
                            const char **why);

#endif
