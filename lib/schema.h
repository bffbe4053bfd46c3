/* Our validator for the 2020-12 subset the contracts use (type (a word or a list of words),
 * required, properties, additionalProperties (bool), enum, const, oneOf, anyOf, items, minItems,
 * maxItems, minLength, maxLength (in characters), minimum, maximum, exclusiveMinimum,
 * minProperties, $ref to #/$defs/x or to another contract's file "name.json"; "writeOnly" hides
 * the value from errors). Reports every violation, none of them fatal to the next. Error types and
 * messages: shapes.md "JSON Schema keyword -> type" and spec/gateway-identity.md §2.7. */
#ifndef VX_SCHEMA_H
#define VX_SCHEMA_H

#include <json-c/json.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/err.h"

struct violation {
    const char *type, *msg;
    const char *pointer;       /* RFC 6901 pointer to the value, "" = the whole body */
    struct json_object *loc;   /* array: "body", names, indexes; owned by the arena */
    struct json_object *input; /* NULL = JSON null or left out, see has_input; owned by the arena */
    struct json_object *ctx;   /* NULL = none; owned by the arena */
    int has_input;             /* 0: leave "input" out (writeOnly) */
};

#define VIOLATIONS_MAX 100

struct violations {
    struct violation *v;
    size_t n, cap, max; /* past max (0 = VIOLATIONS_MAX) further ones are left out */
};

/* Checks value against schema (root holds $defs). Properties in the order of the schema, then
 * unknown names in the order of the body. VX_OK even with violations; out->n tells. */
enum vx_err schema_check(struct arena *a, struct json_object *root, struct json_object *value,
                         struct violations *out);
/* Adds one violation by hand; first is "body", "query" or "path"; name may be NULL. input and ctx
 * are borrowed and must live as long as the arena: arena_own_json() a new one. type, msg and name
 * are borrowed too. input NULL = JSON null. */
enum vx_err violation_add(struct arena *a, struct violations *out, const char *type,
                          const char *msg, const char *first, const char *name,
                          struct json_object *input, struct json_object *ctx);
/* The violation for a text that json_read() refused: json_invalid, loc ["body", pos]. */
struct json_fault;
enum vx_err violation_add_fault(struct arena *a, struct violations *out,
                                const struct json_fault *fault);
/* The 422 list: array of {type, loc, msg, input?, ctx?}. A new reference, NULL = no memory.
 * input longer than 1 KiB as JSON text is cut (a string of its first KiB). */
struct json_object *violations_to_detail(const struct violations *v);
/* The 400 form: array of {pointer, message}. */
struct json_object *violations_to_errors(const struct violations *v);

#endif
