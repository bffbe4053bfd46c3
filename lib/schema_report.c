/* Owns how the validator finds a rule ($ref) and how it reports a violation: the place of the
 * value, and whether the value may be shown. */
#include "lib/schema_walk.h"

#include <stdio.h>
#include <string.h>

#include "lib/contracts.h"
#include "lib/json_scan.h"

struct json_object *schema_keyword(struct json_object *schema, const char *name)
{
    struct json_object *v = NULL;

    if (json_object_is_type(schema, json_type_object))
        json_object_object_get_ex(schema, name, &v);
    return v;
}

struct json_object *schema_resolve(struct json_object **root, struct json_object *schema)
{
    static const char defs[] = "#/$defs/";

    for (int hops = 0; hops < 8; hops++) {
        const char *ref = json_get_str(schema, "$ref");
        if (ref == NULL)
            return schema;
        if (strncmp(ref, defs, sizeof defs - 1) == 0) {
            schema = schema_keyword(schema_keyword(*root, "$defs"), ref + sizeof defs - 1);
        } else {
            char name[64];
            size_t n = strlen(ref);
            if (n < 5 || n - 5 >= sizeof name || strcmp(ref + n - 5, ".json") != 0)
                return NULL;
            memcpy(name, ref, n - 5);
            name[n - 5] = '\0';
            schema = *root = contract_find(name);
        }
        if (schema == NULL)
            return NULL;
    }
    return NULL;
}

bool schema_is_secret(struct json_object *schema)
{
    return json_get_bool(schema, "writeOnly", 0) != 0;
}

/* Whether a value of this schema may hold a writeOnly one somewhere inside. */
static bool holds_secret(struct json_object *root, struct json_object *schema, unsigned nest)
{
    static const char *const lists[] = {"oneOf", "anyOf"};
    struct json_object *props;

    schema = schema_resolve(&root, schema);
    if (schema == NULL || nest > 16)
        return false;
    if (schema_is_secret(schema))
        return true;
    props = schema_keyword(schema, "properties");
    if (props != NULL) {
        json_object_object_foreach(props, name, sub)
        {
            (void)name;
            if (holds_secret(root, sub, nest + 1))
                return true;
        }
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct json_object *branches = schema_keyword(schema, lists[i]);
        size_t n = branches != NULL ? json_object_array_length(branches) : 0;
        for (size_t j = 0; j < n; j++)
            if (holds_secret(root, json_object_array_get_idx(branches, j), nest + 1))
                return true;
    }
    return schema_keyword(schema, "items") != NULL &&
           holds_secret(root, schema_keyword(schema, "items"), nest + 1);
}

/* Whether errors about value must not show it. */
static bool hides(const struct check *c, struct json_object *schema, struct json_object *value)
{
    if (schema == NULL)
        return false;
    if (schema_is_secret(schema))
        return true;
    if (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0)
        return false;
    return (json_object_is_type(value, json_type_object) ||
            json_object_is_type(value, json_type_array)) &&
           holds_secret(c->root, schema, 0);
}

/* Turns the last violation's place into that of at. */
static enum vx_err place(struct check *c, struct violation *v, const struct step *at)
{
    const struct step *steps[SCHEMA_NEST_MAX + 1];
    size_t n = 0, len = 1;
    char *p;

    for (const struct step *s = at; s->up != NULL && n <= SCHEMA_NEST_MAX; s = s->up) {
        steps[n++] = s;
        len += s->name != NULL ? 2 * strlen(s->name) + 1 : 22;
    }
    v->pointer = p = arena_alloc(c->arena, len);
    if (p == NULL)
        return VX_ERR_NO_MEMORY;
    while (n-- > 0) {
        const struct step *s = steps[n];
        struct json_object *o = s->name != NULL ? json_object_new_string(s->name)
                                                : json_object_new_int64((int64_t)s->index);
        if (o == NULL || json_object_array_add(v->loc, o) != 0) {
            json_object_put(o);
            return VX_ERR_NO_MEMORY;
        }
        *p++ = '/';
        if (s->name == NULL) {
            p += snprintf(p, 22, "%zu", s->index);
            continue;
        }
        for (const char *q = s->name; *q != '\0'; q++) {
            if (*q == '~' || *q == '/') {
                *p++ = '~';
                *p++ = *q == '~' ? '0' : '1';
            } else {
                *p++ = *q;
            }
        }
    }
    return VX_OK;
}

enum vx_err check_report(struct check *c, struct json_object *schema, const char *type,
                         const char *msg, const struct step *at, struct json_object *value,
                         struct json_object *ctx)
{
    size_t before = c->out->n;
    enum vx_err err;

    if (ctx != NULL && (ctx = arena_own_json(c->arena, ctx)) == NULL)
        return VX_ERR_NO_MEMORY;
    if (msg == NULL)
        return VX_ERR_NO_MEMORY;
    err = violation_add(c->arena, c->out, type, msg, "body", NULL, value, ctx);
    if (err != VX_OK || c->out->n == before) /* failed, or the list is full */
        return err;
    if (at->secret || hides(c, schema, value)) {
        c->out->v[before].has_input = 0;
        c->out->v[before].input = NULL;
    }
    err = place(c, &c->out->v[before], at);
    if (err != VX_OK)
        c->out->n = before;
    return err;
}
