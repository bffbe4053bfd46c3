/* For lib/store_meeting*.c and lib/store_segments.c only: a meeting's row, its data object, and
 * the frames its changes append. */
#ifndef VX_STORE_MEETING_ROW_H
#define VX_STORE_MEETING_ROW_H

#include <json-c/json.h>

#include "lib/store_meetings.h"
#include "lib/store_sql.h"

/* The columns meeting_row() reads, from a table called m. */
#define MEETING_COLUMNS                                                                            \
    "m.id, m.user_id, m.platform, m.native_meeting_id, m.url, m.status, m.bot_container_id,"       \
    " (SELECT s.session_uid FROM sessions s WHERE s.meeting_id = m.id"                             \
    "  ORDER BY s.id DESC LIMIT 1),"                                                               \
    " m.start_ms, m.end_ms, m.completion_reason, m.failure_stage, m.failure_reason,"               \
    " m.stop_requested_ms, m.data, m.created_ms, m.updated_ms"
#define MEETING_SELECT "SELECT " MEETING_COLUMNS " FROM meetings m"

/* First row of a started statement, which it ends. VX_ERR_MEETING_NOT_FOUND without one. */
enum vx_err meeting_take(struct store_conn *c, struct arena *a, sqlite3_stmt *st,
                         struct meeting *out);
/* All rows of a started statement, which it ends. */
enum vx_err meeting_take_all(struct store_conn *c, struct arena *a, sqlite3_stmt *st,
                             struct meeting **out, size_t *n);
/* The row's data as a tree the arena owns. VX_ERR_INTERNAL and a log line when the row is damaged.
 */
enum vx_err meeting_data(struct arena *a, const struct meeting *m, struct json_object **out);

/* Appends a frame, taking it over; frame NULL means memory ran out while it was made. */
enum vx_err frame_append(struct store_conn *w, const char *topic, const char *type,
                         struct json_object *frame, int64_t *id);
/* Frame of m's status as it is in *m now: on meeting/<id> and on user/<id>. */
enum vx_err meeting_append_status(struct store_conn *w, const struct meeting *m, int64_t now);
/* The flat frame on user/<id> alone. */
enum vx_err meeting_append_user_status(struct store_conn *w, const struct meeting *m, int64_t now);
/* The last event of a meeting. */
enum vx_err meeting_append_end(struct store_conn *w, const struct meeting *m);

/* Topic (printf, meeting id as long long) of changes of segments that no frame shows. Nobody can
 * subscribe to it: it only gives such a change a number in the log. */
#define SEGMENT_EDITS_TOPIC "edits/%lld"
/* What the end of a meeting does to its drafts: those with a text become confirmed with a
 * transcript event each, blank ones are taken back. */
enum vx_err segments_confirm_drafts(struct store_conn *w, int64_t meeting_id);

/* What a trail entry (data.status_transition[]) says. NULL = left out, except from. */
struct trail_entry {
    const char *from, *to, *source;
    const char *timestamp; /* producer's text, NULL = now */
    const char *reason, *completion_reason, *failure_stage, *error_details;
    int64_t now;
};
/* Appends to data.status_transition, making the list when it is absent or no list. */
enum vx_err trail_append(struct json_object *data, const struct trail_entry *e);

#endif
