/* Owns the validator's keywords that look at one value alone: type, enum, const, and the bounds on
 * lengths, counts and numbers, with the words of their errors. */
#include "lib/schema_walk.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/json_scan.h"

#define EXPECT_MAX 512

/* ---- type ---- */

static bool is_integer(struct json_object *value)
{
    double d;

    if (json_object_is_type(value, json_type_int))
        return true;
    if (!json_object_is_type(value, json_type_double))
        return false;
    d = json_object_get_double(value);
    return d >= -0x1p63 && d < 0x1p63 && d == trunc(d);
}

static bool is_type(const char *word, struct json_object *value)
{
    if (strcmp(word, "integer") == 0)
        return is_integer(value);
    if (strcmp(word, "number") == 0)
        return json_object_is_type(value, json_type_int) ||
               json_object_is_type(value, json_type_double);
    /* the other words are json-c's own: null, boolean, string, array, object */
    return strcmp(word, json_type_to_name(json_object_get_type(value))) == 0;
}

bool check_type_fits(struct json_object *type, struct json_object *value)
{
    if (type == NULL)
        return true;
    if (!json_object_is_type(type, json_type_array))
        return is_type(json_object_get_string(type), value);
    for (size_t i = 0; i < json_object_array_length(type); i++)
        if (is_type(json_object_get_string(json_object_array_get_idx(type, i)), value))
            return true;
    return false;
}

enum vx_err check_type_report(struct check *c, struct json_object *schema,
                              struct json_object *value, const struct step *at)
{
    static const struct {
        const char *word, *type, *msg;
    } rows[] = {
        {"string", "string_type", "Input should be a valid string"},
        {"integer", "int_type", "Input should be a valid integer"},
        {"number", "float_type", "Input should be a valid number"},
        {"boolean", "bool_type", "Input should be a valid boolean"},
        {"array", "list_type", "Input should be a valid list"},
        {"object", "model_attributes_type",
         "Input should be a valid dictionary or object to extract fields from"},
        {"null", "none_required", "Input should be None"},
    };
    struct json_object *type = schema_keyword(schema, "type");
    const char *word;

    if (json_object_is_type(type, json_type_array))
        type = json_object_array_get_idx(type, 0);
    word = json_object_get_string(type);
    if (strcmp(word, "integer") == 0 && json_object_is_type(value, json_type_double)) {
        double d = json_object_get_double(value);
        if (d != trunc(d))
            return check_report(
                c, schema, "int_from_float",
                "Input should be a valid integer, got a number with a fractional part", at, value,
                NULL);
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(word, rows[i].word) == 0)
            return check_report(c, schema, rows[i].type, rows[i].msg, at, value, NULL);
    return VX_ERR_INTERNAL;
}

/* ---- enum, const ---- */

/* Appends how CPython would show a literal; null is left out of lists (as of Optional[Literal]). */
static size_t literal(char *out, size_t size, struct json_object *o)
{
    int n = 0;

    switch (json_object_get_type(o)) {
    case json_type_string:
        n = snprintf(out, size, "'%s'", json_object_get_string(o));
        break;
    case json_type_int:
        n = snprintf(out, size, "%lld", (long long)json_object_get_int64(o));
        break;
    case json_type_boolean:
        n = snprintf(out, size, "%s", json_object_get_boolean(o) ? "True" : "False");
        break;
    default:
        n = snprintf(out, size, "None");
    }
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static bool in_list(struct json_object *list, struct json_object *value)
{
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (json_object_equal(json_object_array_get_idx(list, i), value))
            return true;
    return false;
}

bool check_literal_fits(struct json_object *schema, struct json_object *value)
{
    struct json_object *list = schema_keyword(schema, "enum"),
                       *one = schema_keyword(schema, "const");

    return (list == NULL || in_list(list, value)) && (one == NULL || json_object_equal(one, value));
}

enum vx_err check_literal(struct check *c, struct json_object *schema, struct json_object *value,
                          const struct step *at)
{
    struct json_object *list = schema_keyword(schema, "enum"), *ctx;
    char text[EXPECT_MAX] = "";
    size_t n = 0, shown = 0, last = 0;

    if (check_literal_fits(schema, value))
        return VX_OK;
    if (schema_keyword(schema, "const") != NULL) {
        literal(text, sizeof text, schema_keyword(schema, "const"));
    } else {
        for (size_t i = 0; i < json_object_array_length(list); i++)
            if (json_object_array_get_idx(list, i) != NULL)
                last = i;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            struct json_object *o = json_object_array_get_idx(list, i);
            const char *join = i == last ? " or " : ", ";
            if (o == NULL)
                continue;
            if (shown++ != 0 && n + strlen(join) < sizeof text) {
                memcpy(text + n, join, strlen(join) + 1);
                n += strlen(join);
            }
            n += literal(text + n, sizeof text - n, o);
        }
    }
    ctx = json_object_new_object();
    if (ctx == NULL || json_put_str(ctx, "expected", text) != 0) {
        json_object_put(ctx);
        return VX_ERR_NO_MEMORY;
    }
    return check_report(c, schema, "literal_error",
                        arena_printf(c->arena, "Input should be %s", text), at, value, ctx);
}

/* ---- bounds ---- */

/* A ctx of up to three members: a text and two integers; names NULL are left out. */
static struct json_object *ctx_sizes(const char *field, const char *limit_name, int64_t limit,
                                     const char *actual_name, size_t actual)
{
    struct json_object *ctx = json_object_new_object();

    if (ctx == NULL || (field != NULL && json_put_str(ctx, "field_type", field) != 0) ||
        json_put_int(ctx, limit_name, limit) != 0 ||
        (actual_name != NULL && json_put_int(ctx, actual_name, (int64_t)actual) != 0)) {
        json_object_put(ctx);
        return NULL;
    }
    return ctx;
}

static size_t characters(const char *s, size_t bytes)
{
    size_t n = 0;

    for (size_t i = 0; i < bytes; i++)
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

enum vx_err check_string(struct check *c, struct json_object *schema, struct json_object *value,
                         const struct step *at)
{
    int64_t min = json_get_int(schema, "minLength", 0);
    int64_t max = json_get_int(schema, "maxLength", INT64_MAX);
    size_t n = characters(json_object_get_string(value), (size_t)json_object_get_string_len(value));
    bool low = (int64_t)n < min;
    int64_t limit = low ? min : max;
    struct json_object *ctx;

    if (!low && (int64_t)n <= max)
        return VX_OK;
    ctx = ctx_sizes(NULL, low ? "min_length" : "max_length", limit, NULL, 0);
    if (ctx == NULL)
        return VX_ERR_NO_MEMORY;
    return check_report(c, schema, low ? "string_too_short" : "string_too_long",
                        arena_printf(c->arena, "String should have at %s %lld character%s",
                                     low ? "least" : "most", (long long)limit,
                                     limit == 1 ? "" : "s"),
                        at, value, ctx);
}

enum vx_err check_count(struct check *c, struct json_object *schema, const char *field, size_t n,
                        int64_t min, int64_t max, struct json_object *value, const struct step *at)
{
    bool low = (int64_t)n < min;
    int64_t limit = low ? min : max;
    struct json_object *ctx;

    if (!low && (int64_t)n <= max)
        return VX_OK;
    ctx = ctx_sizes(field, low ? "min_length" : "max_length", limit, "actual_length", n);
    if (ctx == NULL)
        return VX_ERR_NO_MEMORY;
    return check_report(
        c, schema, low ? "too_short" : "too_long",
        arena_printf(c->arena, "%s should have at %s %lld item%s after validation, not %zu", field,
                     low ? "least" : "most", (long long)limit, limit == 1 ? "" : "s", n),
        at, value, ctx);
}

/* value against the bound: -1 below, 0 equal, 1 above. Two integers compare exactly. */
static int compare(struct json_object *value, struct json_object *bound)
{
    double a, b;

    if (json_object_is_type(value, json_type_int) && json_object_is_type(bound, json_type_int)) {
        int64_t x = json_object_get_int64(value), y = json_object_get_int64(bound);
        return (x > y) - (x < y);
    }
    a = json_object_get_double(value);
    b = json_object_get_double(bound);
    return (a > b) - (a < b);
}

enum vx_err check_number(struct check *c, struct json_object *schema, struct json_object *value,
                         const struct step *at)
{
    static const struct {
        const char *keyword, *type, *words, *ctx;
        int bad[2]; /* results of compare() that violate */
    } rows[] = {
        {"minimum", "greater_than_equal", "greater than or equal to", "ge", {-1, -1}},
        {"exclusiveMinimum", "greater_than", "greater than", "gt", {-1, 0}},
        {"maximum", "less_than_equal", "less than or equal to", "le", {1, 1}},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_object *bound = schema_keyword(schema, rows[i].keyword), *ctx, *copy;
        int order;
        enum vx_err err;

        if (bound == NULL)
            continue;
        order = compare(value, bound);
        if (order != rows[i].bad[0] && order != rows[i].bad[1])
            continue;
        /* bound belongs to all threads: its text is made from a copy */
        copy = json_object_is_type(bound, json_type_int)
                   ? json_object_new_int64(json_object_get_int64(bound))
                   : json_number(json_object_get_double(bound));
        copy = copy != NULL ? arena_own_json(c->arena, copy) : NULL;
        ctx = json_object_new_object();
        if (copy == NULL || ctx == NULL || json_put(ctx, rows[i].ctx, json_object_get(copy)) != 0) {
            json_object_put(ctx);
            return VX_ERR_NO_MEMORY;
        }
        err = check_report(
            c, schema, rows[i].type,
            arena_printf(c->arena, "Input should be %s %s", rows[i].words, json_text(copy)), at,
            value, ctx);
        if (err != VX_OK)
            return err;
    }
    return VX_OK;
}
