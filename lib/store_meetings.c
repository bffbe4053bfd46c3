/* Meetings, the reading side: one row, and the lists. A deleted meeting is in none of them: its
 * row is a tombstone (lib/store_meeting_delete.c). */
#include "lib/store_meetings.h"

#include "lib/store_meeting_row.h"

#define LIST_MAX    100
#define FAILED_MAX  50
#define NEWEST_LAST " ORDER BY m.created_ms DESC, m.id DESC"

enum vx_err store_meeting_by_id(struct store_conn *c, struct arena *a, int64_t user_id, int64_t id,
                                struct meeting *out)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(c, &st,
                                MEETING_SELECT " WHERE m.id = ?1 AND (?2 = 0 OR m.user_id = ?2)"
                                               " AND m.deleted_ms IS NULL",
                                "ii", id, user_id);
    return err != VX_OK ? err : meeting_take(c, a, st, out);
}

enum vx_err store_meeting_by_native(struct store_conn *c, struct arena *a, int64_t user_id,
                                    const char *platform, const char *native_id,
                                    struct meeting *out)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(c, &st,
                                MEETING_SELECT " WHERE m.user_id = ?1 AND m.native_meeting_id = ?2"
                                               " AND (?3 IS NULL OR m.platform = ?3)"
                                               " AND m.deleted_ms IS NULL" NEWEST_LAST " LIMIT 1",
                                "itt", user_id, native_id, platform);
    return err != VX_OK ? err : meeting_take(c, a, st, out);
}

enum vx_err store_meeting_by_session(struct store_conn *c, struct arena *a, const char *session_uid,
                                     struct meeting *out)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(c, &st,
                                MEETING_SELECT " WHERE m.id = (SELECT x.meeting_id FROM sessions x"
                                               " WHERE x.session_uid = ?)"
                                               " AND m.deleted_ms IS NULL",
                                "t", session_uid);
    return err != VX_OK ? err : meeting_take(c, a, st, out);
}

enum vx_err store_meeting_list(struct store_conn *c, struct arena *a,
                               const struct meeting_filter *f, struct meeting **out, size_t *n,
                               bool *has_more)
{
    int64_t limit = f->limit < 1 ? 1 : f->limit > LIST_MAX ? LIST_MAX : f->limit;
    int64_t planned_too = f->status != NULL || !f->exclude_planned;
    sqlite3_stmt *st;
    *has_more = false;
    enum vx_err err =
        sql_begin(c, &st,
                  MEETING_SELECT " WHERE m.user_id = ?1 AND m.deleted_ms IS NULL"
                                 " AND (?2 IS NULL OR m.status = ?2)"
                                 " AND (?3 IS NULL OR m.platform = ?3)"
                                 " AND (?4 <> 0 OR m.status NOT IN ('idle', 'scheduled'))"
                                 " AND (?5 = 0 OR (m.created_ms, m.id) < (?5, ?6))" NEWEST_LAST
                                 " LIMIT ?7 OFFSET ?8",
                  "ittiiiii", f->user_id, f->status, f->platform, planned_too, f->before_created_ms,
                  f->before_id, limit + 1, f->offset > 0 ? f->offset : (int64_t)0);
    if (err != VX_OK)
        return err;
    err = meeting_take_all(c, a, st, out, n);
    if (err == VX_OK && *n > (size_t)limit) {
        *n = (size_t)limit;
        *has_more = true;
    }
    return err;
}

enum vx_err store_meeting_running(struct store_conn *c, struct arena *a, int64_t user_id,
                                  const char *platform, struct meeting **out, size_t *n)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(c, &st,
                                MEETING_SELECT " WHERE m.user_id = ?1 AND m.status IN"
                                               " ('requested', 'joining', 'awaiting_admission',"
                                               " 'needs_help', 'active', 'stopping')"
                                               " AND (?2 IS NULL OR m.platform = ?2)" NEWEST_LAST,
                                "it", user_id, platform);
    return err != VX_OK ? err : meeting_take_all(c, a, st, out, n);
}

enum vx_err store_meeting_failed(struct store_conn *c, struct arena *a, int64_t user_id,
                                 const char *platform, int64_t since_ms, struct meeting **out,
                                 size_t *n)
{
    sqlite3_stmt *st;
    enum vx_err err =
        sql_begin(c, &st,
                  MEETING_SELECT " WHERE m.user_id = ?1 AND m.status = 'failed'"
                                 " AND m.deleted_ms IS NULL"
                                 " AND (?2 IS NULL OR m.platform = ?2)"
                                 " AND m.end_ms >= ?3"
                                 " AND COALESCE(m.completion_reason, '') <> 'stopped'" NEWEST_LAST
                                 " LIMIT ?4",
                  "itii", user_id, platform, since_ms, (int64_t)FAILED_MAX);
    return err != VX_OK ? err : meeting_take_all(c, a, st, out, n);
}
