/* What the end of a bot's process means for its meeting, in words a person understands
 * (spec/meetings.md §3.6–3.7). Pure. */
#ifndef VX_RUNNER_ENDING_H
#define VX_RUNNER_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"

/* Why the runner itself ended the process. */
enum bot_why {
    BOT_WHY_NONE,      /* it did not */
    BOT_WHY_STOP,      /* the user asked */
    BOT_WHY_MAX_TIME,  /* bots.max_seconds */
    BOT_WHY_LINGERING, /* the meeting was over, the process stayed */
    BOT_WHY_ROW_GONE,  /* nobody knows this workload any more */
};

struct ending_facts {
    const char *meeting_status; /* the row's */
    bool stop_requested;
    enum bot_why why;
    bool known;              /* we saw how the process ended: exit_code or sig */
    bool watched;            /* not known, but we saw it go: an earlier runner's child */
    int exit_code;           /* -1 = by a signal */
    int sig;                 /* 0 = none */
    bool killed;             /* SIGKILL by us after the grace */
    int64_t grace_s, max_s;  /* bots.stop_grace_seconds, bots.max_seconds */
    const char *start_error; /* text: it never became the bot; NULL = it did */
};

struct ending {
    const char *status; /* NULL: the meeting is over already */
    const char *completion_reason;
    const char *reason; /* static or in the arena */
};

/* VX_ERR_NO_MEMORY or VX_OK. */
enum vx_err ending_of(struct arena *a, const struct ending_facts *f, struct ending *out);
/* How the process ended, alone ("exited with code 3"), for logs and the workload's note. */
const char *ending_how(struct arena *a, const struct ending_facts *f);

#endif
