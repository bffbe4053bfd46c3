/* What the server tells the bot: one long GET of an event stream, resumed with Last-Event-ID after
 * every break. The only command a replay bot acts on is leave. */
#ifndef VX_BOT_COMMANDS_H
#define VX_BOT_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/http_client.h"

struct commands;

/* headers (NULL-terminated) go with every request and outlive it; so does url. NULL: no memory. */
struct commands *commands_new(struct http_client *client, const char *url,
                              const char *const *headers);
void commands_free(struct commands *c);
/* Opens the stream when it is closed and its pause is over. Returns when to call again (monotonic
 * milliseconds, INT64_MAX while it is open). */
int64_t commands_step(struct commands *c, int64_t now_ms);
/* True once for each leave that came. */
bool commands_leave(struct commands *c);

/* For tests: bytes as if they had come over the stream. */
void commands_feed(struct commands *c, const char *p, size_t n);
/* The id a reconnect would send, "" when there is none. */
const char *commands_last_id(const struct commands *c);

#endif
