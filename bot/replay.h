/* The player: takes a script through a meeting's life (joining, admission, active, the end) on the
 * monotonic clock and says all of it over a talk. */
#ifndef VX_REPLAY_H
#define VX_REPLAY_H

#include <stdint.h>

#include "bot/invocation.h"
#include "bot/script.h"
#include "bot/talk.h"

/* Why there is nothing to play: the bot joins and fails with these words. */
struct replay_fault {
    const char *completion_reason; /* "join_failure", "validation_error"; NULL = no fault */
    const char *reason;
};

/* Plays to the end and returns the exit status: 0 when the server knows how it ended, else 1.
 * Meeting time is divided by speed (>= 1). */
int replay_run(const struct invocation *inv, const struct script *script,
               const struct replay_fault *fault, int64_t speed, struct talk *talk);

#endif
