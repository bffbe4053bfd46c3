/* How the bot talks with the server: one post at a time, tried again until it is accepted or
 * refused for good, beside the command stream and the signals. One event loop, talk_wait(). */
#ifndef VX_BOT_TALK_H
#define VX_BOT_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct talk;

enum talk_sink { TALK_LIFECYCLE, TALK_TRANSCRIPT, TALK_SINK_COUNT };

/* All borrowed, and must outlive the talk; NULL where there is none. A sink without URL takes
 * everything and writes a log line. */
struct talk_config {
    const char *urls[TALK_SINK_COUNT];
    const char *command_url;
    const char *token;           /* X-Meeting-Token */
    const char *internal_secret; /* x-internal-secret */
};

/* The last word on a post. */
struct talk_answer {
    int status;       /* HTTP status; 0 = the URL is none, it can never arrive */
    const char *body; /* NUL-terminated, valid until the next post */
};

/* Bits of what talk_wait() saw. */
enum talk_news { TALK_ANSWERED = 1, TALK_STOP = 2 };

/* Blocks SIGTERM and SIGINT: they become TALK_STOP. */
enum vx_err talk_new(const struct talk_config *cfg, struct talk **out);
void talk_free(struct talk *t);

/* Starts posting a JSON body (copied); only when talk_busy() is false. */
enum vx_err talk_post(struct talk *t, enum talk_sink sink, const char *body, size_t len);
bool talk_busy(const struct talk *t);
/* The last post's answer, once TALK_ANSWERED was seen. */
const struct talk_answer *talk_answer(const struct talk *t);

/* Works until there is news or the monotonic time until_ms has come. Returns bits of talk_news, or
 * -1 when the loop itself failed. */
int talk_wait(struct talk *t, int64_t until_ms);

#endif
