/* The strict scan before json-c: RFC 8259, valid UTF-8, no U+0000, depth 32, at most 20,000
 * values, integers within int64. json-c then only builds the tree. */
#ifndef VX_JSON_SCAN_H
#define VX_JSON_SCAN_H

#include <json-c/json.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"

struct json_fault {
    size_t pos;          /* 0-based position in characters (code points), not bytes */
    const char *message; /* static text, CPython's words where it has them ("Expecting value") */
};

/* 0 when text is fine, else -1 and *fault. */
int json_scan(const char *text, size_t n, struct json_fault *fault);
/* Scan and build: the tree is owned by the arena. VX_ERR_JSON_INVALID fills *fault. JSON null
 * gives VX_OK and *out NULL. */
enum vx_err json_read(struct arena *a, const char *text, size_t n, struct json_object **out,
                      struct json_fault *fault);
/* A number written as short as it reads back the same (1.5, 2.867, 3). New reference or NULL. */
struct json_object *json_number(double d);
/* Compact text of o (no escaped slashes), valid until o goes or is printed again. */
const char *json_text(struct json_object *o);
/* o[key] = value, taking value over; -1 (and value is put) when value is NULL or memory ran out.
 * json_put_null() stores JSON null. */
int json_put(struct json_object *o, const char *key, struct json_object *value);
int json_put_null(struct json_object *o, const char *key);
int json_put_str(struct json_object *o, const char *key, const char *s); /* NULL -> JSON null */
int json_put_int(struct json_object *o, const char *key, int64_t v);
int json_put_bool(struct json_object *o, const char *key, int v);
int json_put_time(struct json_object *o, const char *key, int64_t ms); /* 0 -> JSON null */
/* Reads: NULL / def when absent or of another type. */
const char *json_get_str(struct json_object *o, const char *key);
int64_t json_get_int(struct json_object *o, const char *key, int64_t def);
int json_get_bool(struct json_object *o, const char *key, int def);

#endif
