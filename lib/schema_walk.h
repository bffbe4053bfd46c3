/* Private to lib/schema*.c: the state of one check, and what its three files share. Schemas belong
 * to all threads: nothing here may print one or count a reference (json-c does neither
 * atomically). */
#ifndef VX_SCHEMA_WALK_H
#define VX_SCHEMA_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/schema.h"

#define SCHEMA_NEST_MAX 128 /* values are at most 32 deep; the rest are $ref and oneOf */

/* One step from the body to the value in hand; steps live on the C stack. */
struct step {
    const struct step *up; /* NULL: this is the body itself */
    const char *name;      /* NULL: an array item */
    size_t index;
    unsigned nest;
    bool secret; /* inside a writeOnly value */
};

struct check {
    struct arena *arena;
    struct json_object *root; /* where "#/$defs" is */
    struct violations *out;
};

/* ---- schema_report.c ---- */

/* schema[name], NULL when absent. */
struct json_object *schema_keyword(struct json_object *schema, const char *name);
/* Follows $ref until there is none; *root becomes the document of the result. NULL when it leads
 * nowhere. */
struct json_object *schema_resolve(struct json_object **root, struct json_object *schema);
/* Whether values of this schema are writeOnly. */
bool schema_is_secret(struct json_object *schema);
/* Reports value at the place at. schema (may be NULL) decides whether it may be shown; type is a
 * literal, msg is in the arena or a literal (NULL: memory ran out), ctx is taken over. */
enum vx_err check_report(struct check *c, struct json_object *schema, const char *type,
                         const char *msg, const struct step *at, struct json_object *value,
                         struct json_object *ctx);

/* ---- schema_scalar.c: the keywords that do not lead further into the value ---- */

/* Whether one of the words of "type" (NULL: none given) fits. */
bool check_type_fits(struct json_object *type, struct json_object *value);
/* Reports a value whose type does not fit, by the first word of "type". */
enum vx_err check_type_report(struct check *c, struct json_object *schema,
                              struct json_object *value, const struct step *at);
/* Whether enum and const of schema, where present, allow value. */
bool check_literal_fits(struct json_object *schema, struct json_object *value);
/* enum, const. */
enum vx_err check_literal(struct check *c, struct json_object *schema, struct json_object *value,
                          const struct step *at);
/* minLength, maxLength. */
enum vx_err check_string(struct check *c, struct json_object *schema, struct json_object *value,
                         const struct step *at);
/* minimum, exclusiveMinimum, maximum. */
enum vx_err check_number(struct check *c, struct json_object *schema, struct json_object *value,
                         const struct step *at);
/* minItems and maxItems, minProperties: n things where the schema wants min..max. */
enum vx_err check_count(struct check *c, struct json_object *schema, const char *field, size_t n,
                        int64_t min, int64_t max, struct json_object *value, const struct step *at);

#endif
