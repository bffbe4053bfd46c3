/* Meetings and their lifecycle (spec/meetings.md §0.5, §1.1–1.5, §3). A change and the events it
 * causes are one transaction: topics meeting/<id>, user/<id>, bot/<session_uid>. */
#ifndef VX_STORE_MEETINGS_H
#define VX_STORE_MEETINGS_H

#include "lib/lifecycle.h"
#include "lib/store.h"
#include "lib/store_idempotency.h"

struct meeting {
    int64_t id, user_id;
    const char *platform, *native_id /* may be NULL */, *url /* may be NULL */;
    const char *status;
    const char *workload_id;  /* bot_container_id, may be NULL */
    const char *session_uid;  /* newest session, may be NULL */
    int64_t start_ms, end_ms; /* 0 = null */
    const char *completion_reason, *failure_stage, *failure_reason; /* NULL = null */
    bool stop_requested;
    const char *data; /* JSON object text */
    int64_t created_ms, updated_ms;
};

/* What POST /bots stores. Strings are borrowed during the call. */
struct bot_request {
    int64_t user_id, max_concurrent;
    const char *platform, *native_id, *url;
    const char *data;   /* row data: constructed_meeting_url, transcribe_enabled, … */
    const char *launch; /* JSON kept with the workload: bot_name, passcode, language, … */
    const struct idempotency_keep *keep; /* asked when *out is filled; NULL: nothing to keep */
};

struct bot_conflict {      /* details of a refusal */
    int64_t meeting_id;    /* 409 */
    const char *status;    /* 409, in the arena */
    int64_t limit, in_use; /* 429 */
};

/* Dedup, cap, claim and insert in one transaction (§1.1.3), with the workload row the runner will
 * claim and the session. VX_ERR_MEETING_ALREADY_ACTIVE or VX_ERR_CONCURRENCY_LIMIT fill *why. */
enum vx_err store_meeting_request_bot(struct store *st, struct arena *a,
                                      const struct bot_request *rq, struct meeting *out,
                                      struct bot_conflict *why);

/* VX_ERR_MEETING_NOT_FOUND when absent, deleted or not the user's. user_id 0: any owner (runner,
 * tokens). */
enum vx_err store_meeting_by_id(struct store_conn *c, struct arena *a, int64_t user_id, int64_t id,
                                struct meeting *out);
/* The user's newest row of that link. platform NULL: any platform. */
enum vx_err store_meeting_by_native(struct store_conn *c, struct arena *a, int64_t user_id,
                                    const char *platform, const char *native_id,
                                    struct meeting *out);
enum vx_err store_meeting_by_session(struct store_conn *c, struct arena *a, const char *session_uid,
                                     struct meeting *out);

struct meeting_filter {
    int64_t user_id;
    const char *status, *platform; /* NULL = any */
    bool exclude_planned;
    int64_t limit, offset;                /* limit <= 100 */
    int64_t before_created_ms, before_id; /* cursor: rows after this one in the order; 0 = none */
};
/* Newest first (created_at, id); reads one row more than limit to tell *has_more. */
enum vx_err store_meeting_list(struct store_conn *c, struct arena *a,
                               const struct meeting_filter *f, struct meeting **out, size_t *n,
                               bool *has_more);
/* Rows with a bot in them (requested … stopping, needs_help), newest first; platform NULL = any. */
enum vx_err store_meeting_running(struct store_conn *c, struct arena *a, int64_t user_id,
                                  const char *platform, struct meeting **out, size_t *n);
/* Failed since since_ms, reason not "stopped", newest first, at most 50. */
enum vx_err store_meeting_failed(struct store_conn *c, struct arena *a, int64_t user_id,
                                 const char *platform, int64_t since_ms, struct meeting **out,
                                 size_t *n);

struct stop_result {
    int64_t meeting_id; /* newest pending */
    int64_t also_stopped[32], cancelled[32];
    size_t n_also, n_cancelled;
};
/* DELETE /bots/{p}/{n} (§1.5): flags stop_requested, appends the leave command, turns active into
 * stopping, ends rows whose bot was never launched. VX_ERR_MEETING_NOT_FOUND when nothing is
 * pending. */
enum vx_err store_meeting_stop(struct store *st, int64_t user_id, const char *platform,
                               const char *native_id, struct stop_result *out);

/* DELETE /meetings/… (§1.7, §1.8): from the first commit on every read treats the meeting as
 * absent and its streams end; then its segments and events go in bounded writes. The row of an
 * ended meeting stays as a tombstone, a planned one goes. *out is the row as it was.
 * VX_ERR_MEETING_NOT_FOUND, VX_ERR_INVALID_STATE while a bot is in it (then *out is filled too).
 * What a fault leaves behind after the first commit is not the caller's: store_meeting_purge(). */
enum vx_err store_meeting_delete(struct store *st, struct arena *a, int64_t user_id, int64_t id,
                                 struct meeting *out);
/* One bounded write of what deletions left behind. *more: there may be more. */
enum vx_err store_meeting_purge(struct store *st, struct store_conn *rd, bool *more);

/* Applies a lifecycle event to the meeting of its session (§3.1–3.3): *res tells what happened.
 * VX_ERR_INVALID_STATE for an illegal edge (res->from tells from where),
 * VX_ERR_MEETING_NOT_FOUND for an unknown session. Strings of res and out live in a. */
enum vx_err store_meeting_apply(struct store *st, struct arena *a, const struct lifecycle_event *ev,
                                struct lifecycle_result *res, struct meeting *out);

#endif
