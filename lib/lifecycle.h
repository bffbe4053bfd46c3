/* The lifecycle state machine of a bot's session, pure (spec/meetings.md §3.1–3.3, §3.6, lenient
 * where §10 advises). No storage, no clock. */
#ifndef VX_LIFECYCLE_H
#define VX_LIFECYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

struct lifecycle_event {
    const char *connection_id;                                             /* session_uid */
    const char *status;                                                    /* joining … failed */
    const char *completion_reason, *reason, *error_details, *container_id; /* NULL = absent */
    const char *timestamp; /* producer's text, NULL = receiver's clock */
    bool has_exit_code;
    int64_t exit_code;
    bool forced;        /* the runner reports an ended process: any non-terminal state may end */
    const char *source; /* "bot_callback", "runtime_destroy" */
    struct json_object *bot_logs, *bot_resources, *stt_fault; /* borrowed, NULL = absent */
};

struct lifecycle_result {
    bool changed;     /* false: the same status again, nothing was written */
    const char *from; /* machine state before, NULL = (none) */
    const char *completion_reason, *failure_stage; /* as persisted, NULL = null */
};

/* The machine's state of a row's status: requested/idle/scheduled/unknown -> NULL, stopping ->
 * "active", else the same word. */
const char *lifecycle_state(const char *row_status);

enum lifecycle_verdict {
    LIFECYCLE_SAME,      /* accepted, nothing to do */
    LIFECYCLE_ADVANCE,   /* take it */
    LIFECYCLE_SYNTHETIC, /* take it after a synthetic "joining" hop */
    LIFECYCLE_ILLEGAL,
};
/* May state (machine's, NULL = none) become to? */
enum lifecycle_verdict lifecycle_judge(const char *state, const char *to, bool forced);
/* failure_stage of a failure that leaves this machine state (NULL -> "requested"). */
const char *lifecycle_failure_stage(const char *state);
bool lifecycle_is_terminal(const char *status);

/* What a process that ended without a word means for its meeting (§3.6): status, reason code.
 * Both are NULL when the row is terminal already: nothing is to be done. */
struct lifecycle_ending {
    const char *status;            /* "failed" or "completed" */
    const char *completion_reason; /* "stopped", "join_failure", … */
};
struct lifecycle_ending lifecycle_ending_of(const char *row_status, bool stop_requested);

#endif
