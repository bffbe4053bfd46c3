/* Workloads: a bot's process as the runner sees it. A row is made with its meeting
 * (store_meeting_request_bot), claimed by a runner under a lease, and ended once.
 *   requested -> starting (claimed, process made but not let go) -> running -> ended */
#ifndef VX_STORE_WORKLOADS_H
#define VX_STORE_WORKLOADS_H

#include "lib/store.h"

struct workload {
    const char *id, *session_uid, *state;
    const char *launch; /* JSON: bot_name, passcode, language, … */
    int64_t meeting_id, user_id;
    const char *platform, *native_id, *url, *meeting_status;
    bool stop_requested;
    int64_t stop_ms; /* when the stop was asked for, 0 = not */
    int64_t pid, pid_start;
    int64_t requested_ms, started_ms;
};

/* Claims the oldest request, or a starting one whose lease ran out. VX_OK and out->id NULL when
 * there is none. lease_ms from now. */
enum vx_err store_workload_claim(struct store *st, struct arena *a, const char *runner,
                                 int64_t lease_ms, struct workload *out);
/* True when something could be claimed (a read, cheap). */
enum vx_err store_workload_pending(struct store_conn *c, bool *pending);
/* The process exists but waits; then it was let go. VX_ERR_INVALID_STATE when the row was ended
 * meanwhile: the caller kills the process. */
enum vx_err store_workload_started(struct store *st, const char *id, int64_t pid,
                                   int64_t pid_start);
enum vx_err store_workload_running(struct store *st, const char *id);
/* A starting row whose process died before its bot said anything becomes a request again, for the
 * next claim. VX_ERR_INVALID_STATE when it is not starting any more, or its meeting is no longer
 * `requested` or was asked to stop. */
enum vx_err store_workload_requeue(struct store *st, const char *id);
/* Every row that is starting or running, with its meeting's status and stop flag. */
enum vx_err store_workload_live(struct store_conn *c, struct arena *a, struct workload **out,
                                size_t *n);
/* Requests older than before_ms that nobody claimed. */
enum vx_err store_workload_overdue(struct store_conn *c, struct arena *a, int64_t before_ms,
                                   struct workload **out, size_t *n);
/* Records the end of the process: exit_code, or signal, or neither (-1, 0 = unknown). */
enum vx_err store_workload_ended(struct store *st, const char *id, int exit_code, int sig,
                                 const char *note);
/* Heartbeat of a runner, and how long ago the last one was seen (*age_ms -1 = never). */
enum vx_err store_runner_seen(struct store *st, const char *runner, int64_t pid);
enum vx_err store_runner_age(struct store_conn *c, int64_t *age_ms);

#endif
