/* GET /meetings, GET /bots (one list under two scopes) and GET /meetings/{meeting_id:int}
 * (spec/meetings.md §1.2, §1.4). Besides limit/offset a list can be walked with its cursor,
 * which stays right while rows are added in front. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "handlers/meeting_json.h"
#include "lib/json_scan.h"
#include "lib/secret.h"

#define LIST_DEFAULT 50
#define CURSOR_RAW   64
#define CURSOR_TEXT  (4 * ((CURSOR_RAW + 2) / 3) + 1)

/* The list cursor is the last row's place in the order, opaque to clients. */
static const char *cursor_make(struct arena *a, const struct meeting *last)
{
    char raw[CURSOR_RAW], text[CURSOR_TEXT];
    int n = snprintf(raw, sizeof raw, "m1.%" PRId64 ".%" PRId64, last->created_ms, last->id);
    if (n < 0 || (size_t)n >= sizeof raw)
        return NULL;
    secret_b64url_encode(raw, (size_t)n, text);
    return arena_strdup(a, text);
}

static bool cursor_read(const char *text, int64_t *created_ms, int64_t *id)
{
    unsigned char raw[CURSOR_RAW + 1];
    char again[CURSOR_RAW];
    size_t len = strlen(text);
    if (len >= CURSOR_TEXT)
        return false;
    long n = secret_b64url_decode(text, len, raw, CURSOR_RAW);
    if (n <= 0)
        return false;
    raw[n] = '\0';
    if (sscanf((const char *)raw, "m1.%19" SCNd64 ".%19" SCNd64, created_ms, id) != 2)
        return false;
    /* Only what cursor_make() writes is a cursor: no blanks, no rest, no second spelling. */
    snprintf(again, sizeof again, "m1.%" PRId64 ".%" PRId64, *created_ms, *id);
    return strlen(again) == (size_t)n && memcmp(again, raw, (size_t)n) == 0 && *created_ms > 0 &&
           *id > 0;
}

static bool read_filter(struct request *rq, struct response *rs, struct meeting_filter *f)
{
    *f = (struct meeting_filter){
        .user_id = rq->who.user_id,
        .status = request_query(rq, "status"),
        .platform = request_query(rq, "platform"),
        .exclude_planned = request_query_bool(rq, "exclude_planned", false),
        .limit = request_query_int(rq, "limit", LIST_DEFAULT),
        .offset = request_query_int(rq, "offset", 0),
    };
    const char *cursor = request_query(rq, "cursor");
    if (cursor == NULL || *cursor == '\0' ||
        cursor_read(cursor, &f->before_created_ms, &f->before_id))
        return true;
    refuse(rq, rs, "value_error", "Value error, not a cursor this server gave", "query", "cursor",
           json_object_new_string(cursor), NULL);
    return false;
}

void handle_meeting_list(struct request *rq, struct response *rs)
{
    struct meeting_filter f;
    struct meeting *m;
    struct json_object *rows;
    size_t n = 0;
    bool has_more = false;

    if (!read_filter(rq, rs, &f))
        return;
    enum vx_err err = store_meeting_list(rq->db, rq->arena, &f, &m, &n, &has_more);
    if (err == VX_OK)
        err = meeting_rows(rq->arena, m, n, MEETING_LIST, &rows);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    const char *next = NULL;
    if (has_more && n > 0) {
        next = cursor_make(rq->arena, &m[n - 1]);
        if (next == NULL) {
            json_object_put(rows);
            response_fail(rs, VX_ERR_NO_MEMORY);
            return;
        }
    }
    struct json_object *o = json_object_new_object();
    int bad = json_put(o, "meetings", rows);
    bad |= json_put_bool(o, "has_more", has_more);
    bad |= json_put_str(o, "next_cursor", next);
    if (bad != 0) {
        json_object_put(o);
        o = NULL;
    }
    response_json(rs, 200, o);
}

void handle_meeting_get(struct request *rq, struct response *rs)
{
    struct meeting m;
    struct json_object *row;
    enum vx_err err =
        store_meeting_by_id(rq->db, rq->arena, rq->who.user_id, rq->int_params[0], &m);
    if (err == VX_OK)
        err = meeting_row(rq->arena, &m, MEETING_FULL, &row);
    if (err != VX_OK)
        response_fail(rs, err);
    else
        response_json(rs, 200, row);
}
