/* A meeting row as clients see it (spec/meetings.md §1.1.5, §1.2, "Response projection of data"):
 * secrets never leave, list views drop the heavy keys, the stored row is never changed. Every row
 * that is read has a top-level failure_reason beside the spec's keys. */
#ifndef VX_MEETING_JSON_H
#define VX_MEETING_JSON_H

#include <json-c/json.h>
#include <stdbool.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/store_meetings.h"

enum meeting_view {
    MEETING_FULL, /* GET /meetings/{id}: all but secrets */
    MEETING_LIST, /* GET /meetings, /bots, /bots/status: without the heavy keys */
    MEETING_NEW,  /* POST /bots: no "shared", no "failure_reason"; data.sessions */
};

/* Is this top-level key of a data object a secret (exact names and the suffix rule)? Pure. */
bool data_key_is_secret(const char *key);

/* Parses stored data. The tree is owned by the arena. VX_ERR_INTERNAL (logged with what and id)
 * when it is not a JSON object. */
enum vx_err stored_object(struct arena *a, const char *text, const char *what, int64_t id,
                          struct json_object **out);

/* The shallow projection of a parsed data object: a new reference, NULL when out of memory.
 * Values are shared with data. */
struct json_object *meeting_data_project(struct json_object *data, bool slim);

/* The row; *out is a new reference. VX_ERR_INTERNAL for corrupt data, VX_ERR_NO_MEMORY. */
enum vx_err meeting_row(struct arena *a, const struct meeting *m, enum meeting_view view,
                        struct json_object **out);
/* An array of n rows. */
enum vx_err meeting_rows(struct arena *a, const struct meeting *m, size_t n, enum meeting_view view,
                         struct json_object **out);

#endif
