/* Owns the check of a JSON value against a contract: the walk over schema and value together.
 *
 * The schemas are our own (contracts_init() refuses a malformed one), so only values are doubted.
 * A failed "type" ends the checks of that value, as its other keywords would only say the same
 * again. When no branch of oneOf/anyOf fits: if exactly one is meant, told by the type of the value
 * and by the properties that have const or enum, its violations are reported; else union_error,
 * unless the value already has a violation of its own, which then explains it. */
#include "lib/schema_walk.h"

#include <string.h>

#include "lib/json_scan.h"

static enum vx_err check_value(struct check *c, struct json_object *schema,
                               struct json_object *value, const struct step *at);

/* ---- objects and arrays ---- */

static bool is_required(struct json_object *required, const char *name)
{
    for (size_t i = 0; required != NULL && i < json_object_array_length(required); i++)
        if (strcmp(json_object_get_string(json_object_array_get_idx(required, i)), name) == 0)
            return true;
    return false;
}

static enum vx_err report_missing(struct check *c, struct json_object *schema,
                                  struct json_object *value, const char *name,
                                  const struct step *at)
{
    struct step here = {.up = at, .name = name, .nest = at->nest, .secret = at->secret};

    return check_report(c, schema, "missing", "Field required", &here, value, NULL);
}

static enum vx_err check_object(struct check *c, struct json_object *schema,
                                struct json_object *value, const struct step *at)
{
    struct json_object *props = schema_keyword(schema, "properties");
    struct json_object *required = schema_keyword(schema, "required"), *sub;
    enum vx_err err = check_count(c, schema, "Dictionary", (size_t)json_object_object_length(value),
                                  json_get_int(schema, "minProperties", 0), INT64_MAX, value, at);

    if (err == VX_OK && props != NULL) {
        json_object_object_foreach(props, name, rule)
        {
            struct step here = {.up = at, .name = name, .nest = at->nest, .secret = at->secret};
            if (json_object_object_get_ex(value, name, &sub))
                err = check_value(c, rule, sub, &here);
            else if (is_required(required, name))
                err = report_missing(c, schema, value, name, at);
            if (err != VX_OK)
                return err;
        }
    }
    for (size_t i = 0; err == VX_OK && required != NULL && i < json_object_array_length(required);
         i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(required, i));
        if (schema_keyword(props, name) == NULL && !json_object_object_get_ex(value, name, NULL))
            err = report_missing(c, schema, value, name, at);
    }
    if (err != VX_OK || json_get_bool(schema, "additionalProperties", 1))
        return err;
    json_object_object_foreach(value, extra, given)
    {
        struct step here = {.up = at, .name = extra, .nest = at->nest, .secret = at->secret};
        if (schema_keyword(props, extra) == NULL)
            err = check_report(c, NULL, "extra_forbidden", "Extra inputs are not permitted", &here,
                               given, NULL);
        if (err != VX_OK)
            return err;
    }
    return VX_OK;
}

static enum vx_err check_array(struct check *c, struct json_object *schema,
                               struct json_object *value, const struct step *at)
{
    struct json_object *items = schema_keyword(schema, "items");
    size_t n = json_object_array_length(value);
    int64_t max = json_get_int(schema, "maxItems", INT64_MAX);
    enum vx_err err =
        check_count(c, schema, "List", n, json_get_int(schema, "minItems", 0), max, value, at);

    if (items == NULL || (int64_t)n > max)
        return err;
    for (size_t i = 0; err == VX_OK && i < n; i++) {
        struct step here = {.up = at, .index = i, .nest = at->nest, .secret = at->secret};
        err = check_value(c, items, json_object_array_get_idx(value, i), &here);
    }
    return err;
}

/* ---- oneOf, anyOf ---- */

/* Whether value is meant for this branch, whatever else is wrong with it: see the file's head. */
static bool is_meant(struct json_object *root, struct json_object *branch,
                     struct json_object *value)
{
    struct json_object *props, *sub;

    branch = schema_resolve(&root, branch);
    if (branch == NULL || !check_type_fits(schema_keyword(branch, "type"), value) ||
        !check_literal_fits(branch, value))
        return false;
    props = schema_keyword(branch, "properties");
    if (props == NULL || !json_object_is_type(value, json_type_object))
        return true;
    json_object_object_foreach(props, name, rule)
    {
        struct json_object *rule_root = root;
        rule = schema_resolve(&rule_root, rule);
        if (schema_keyword(rule, "enum") == NULL && schema_keyword(rule, "const") == NULL)
            continue;
        if (json_object_object_get_ex(value, name, &sub)
                ? !check_literal_fits(rule, sub)
                : is_required(schema_keyword(branch, "required"), name))
            return false;
    }
    return true;
}

static enum vx_err check_union(struct check *c, struct json_object *schema,
                               struct json_object *branches, bool exactly_one, bool explained,
                               struct json_object *value, const struct step *at)
{
    struct json_object *meant = NULL;
    size_t fits = 0, n_meant = 0, n = json_object_array_length(branches);
    struct violations *out = c->out;
    enum vx_err err;

    for (size_t i = 0; i < n; i++) {
        struct json_object *branch = json_object_array_get_idx(branches, i);
        struct violations tried = {.max = 1};

        c->out = &tried;
        err = check_value(c, branch, value, at);
        c->out = out;
        if (err != VX_OK)
            return err;
        fits += tried.n == 0;
        if (is_meant(c->root, branch, value)) {
            meant = branch;
            n_meant++;
        }
    }
    if (fits == 1 || (fits > 1 && !exactly_one))
        return VX_OK;
    if (fits == 0 && n_meant == 1)
        return check_value(c, meant, value, at);
    if (explained)
        return VX_OK;
    return check_report(c, schema, "union_error",
                        fits == 0 ? "Input should match one of the allowed forms"
                                  : "Input should match exactly one of the allowed forms",
                        at, value, NULL);
}

/* ---- all of it ---- */

static enum vx_err check_keywords(struct check *c, struct json_object *schema,
                                  struct json_object *value, const struct step *at)
{
    size_t before = c->out->n;
    struct json_object *list;
    enum vx_err err;

    if (!check_type_fits(schema_keyword(schema, "type"), value))
        return check_type_report(c, schema, value, at);
    err = check_literal(c, schema, value, at);
    if (err != VX_OK)
        return err;
    switch (json_object_get_type(value)) {
    case json_type_string:
        err = check_string(c, schema, value, at);
        break;
    case json_type_int:
    case json_type_double:
        err = check_number(c, schema, value, at);
        break;
    case json_type_array:
        err = check_array(c, schema, value, at);
        break;
    case json_type_object:
        err = check_object(c, schema, value, at);
        break;
    default:
        break;
    }
    list = schema_keyword(schema, "oneOf");
    if (err == VX_OK && list != NULL)
        err = check_union(c, schema, list, true, c->out->n != before, value, at);
    list = schema_keyword(schema, "anyOf");
    if (err == VX_OK && list != NULL)
        err = check_union(c, schema, list, false, c->out->n != before, value, at);
    return err;
}

static enum vx_err check_value(struct check *c, struct json_object *schema,
                               struct json_object *value, const struct step *at)
{
    struct json_object *root = c->root;
    struct step deeper = *at;
    enum vx_err err;

    /* the same place, one nesting deeper: a union inside a union does not move in the value */
    deeper.nest++;
    if (c->out->n >= c->out->max) /* nothing more can be told */
        return VX_OK;
    schema = schema_resolve(&c->root, schema);
    if (schema == NULL || deeper.nest > SCHEMA_NEST_MAX) {
        err = VX_ERR_INTERNAL;
    } else {
        deeper.secret = deeper.secret || schema_is_secret(schema);
        err = check_keywords(c, schema, value, &deeper);
    }
    c->root = root;
    return err;
}

enum vx_err schema_check(struct arena *a, struct json_object *root, struct json_object *value,
                         struct violations *out)
{
    struct check c = {.arena = a, .root = root, .out = out};
    struct step body = {0};

    if (out->max == 0)
        out->max = VIOLATIONS_MAX;
    return check_value(&c, root, value, &body);
}
