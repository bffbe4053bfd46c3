/* Owns the list of violations: adding to it within its bounds, and its two wire forms. */
#include "lib/schema.h"

#include <string.h>

#include "lib/json_scan.h"

#define INPUT_MAX 1024

/* Makes room for one more; *full when the list already holds all it may. */
static enum vx_err reserve(struct arena *a, struct violations *out, int *full)
{
    size_t max = out->max != 0 ? out->max : VIOLATIONS_MAX;
    size_t cap = out->cap != 0 ? out->cap * 2 : 8;
    struct violation *v;

    *full = out->n >= max;
    if (*full || out->n < out->cap)
        return VX_OK;
    v = arena_alloc(a, cap * sizeof *v);
    if (v == NULL)
        return VX_ERR_NO_MEMORY;
    if (out->n != 0)
        memcpy(v, out->v, out->n * sizeof *v);
    out->v = v;
    out->cap = cap;
    return VX_OK;
}

/* array gains value, which is taken over. */
static int array_add(struct json_object *array, struct json_object *value)
{
    if (value != NULL && json_object_array_add(array, value) == 0)
        return 0;
    json_object_put(value);
    return -1;
}

/* "/name" with ~ and / escaped (RFC 6901). */
static const char *pointer_of(struct arena *a, const char *name)
{
    char *p, *q;

    if (name == NULL)
        return "";
    p = q = arena_alloc(a, 2 * strlen(name) + 2);
    if (p == NULL)
        return NULL;
    *q++ = '/';
    for (; *name != '\0'; name++) {
        if (*name == '~' || *name == '/') {
            *q++ = '~';
            *q++ = *name == '~' ? '0' : '1';
        } else {
            *q++ = *name;
        }
    }
    return p;
}

enum vx_err violation_add(struct arena *a, struct violations *out, const char *type,
                          const char *msg, const char *first, const char *name,
                          struct json_object *input, struct json_object *ctx)
{
    struct violation v = {.type = type, .msg = msg, .input = input, .ctx = ctx, .has_input = 1};
    enum vx_err err;
    int full;

    err = reserve(a, out, &full);
    if (err != VX_OK || full)
        return err;
    v.pointer = pointer_of(a, name);
    v.loc = arena_own_json(a, json_object_new_array());
    if (v.pointer == NULL || v.loc == NULL || array_add(v.loc, json_object_new_string(first)) != 0)
        return VX_ERR_NO_MEMORY;
    if (name != NULL && array_add(v.loc, json_object_new_string(name)) != 0)
        return VX_ERR_NO_MEMORY;
    out->v[out->n++] = v;
    return VX_OK;
}

enum vx_err violation_add_fault(struct arena *a, struct violations *out,
                                const struct json_fault *fault)
{
    struct json_object *input = arena_own_json(a, json_object_new_object());
    struct json_object *ctx = arena_own_json(a, json_object_new_object());
    size_t before = out->n;
    enum vx_err err;

    if (input == NULL || ctx == NULL || json_put_str(ctx, "error", fault->message) != 0)
        return VX_ERR_NO_MEMORY;
    err = violation_add(a, out, "json_invalid", "JSON decode error", "body", NULL, input, ctx);
    if (err != VX_OK || out->n == before)
        return err;
    if (array_add(out->v[before].loc, json_object_new_int64((int64_t)fault->pos)) != 0) {
        out->n = before;
        return VX_ERR_NO_MEMORY;
    }
    return VX_OK;
}

/* A new string of the first INPUT_MAX bytes of s, cut between two characters. */
static struct json_object *cut(const char *s)
{
    size_t n = INPUT_MAX;

    while (n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80)
        n--;
    return json_object_new_string_len(s, (int)n);
}

/* The value an error may show: itself, or its beginning when it is long. New reference. */
static int put_input(struct json_object *item, struct json_object *input)
{
    const char *text;

    if (input == NULL)
        return json_put_null(item, "input");
    if (json_object_is_type(input, json_type_string) &&
        json_object_get_string_len(input) > INPUT_MAX)
        return json_put(item, "input", cut(json_object_get_string(input)));
    text = json_text(input);
    if (text == NULL)
        return -1;
    if (strlen(text) > INPUT_MAX && !json_object_is_type(input, json_type_string))
        return json_put(item, "input", cut(text));
    return json_put(item, "input", json_object_get(input));
}

static struct json_object *detail_item(const struct violation *v)
{
    struct json_object *o = json_object_new_object();

    if (o == NULL || json_put_str(o, "type", v->type) != 0 ||
        json_put(o, "loc", json_object_get(v->loc)) != 0 || json_put_str(o, "msg", v->msg) != 0)
        goto fail;
    if (v->has_input && put_input(o, v->input) != 0)
        goto fail;
    if (v->ctx != NULL && json_put(o, "ctx", json_object_get(v->ctx)) != 0)
        goto fail;
    return o;
fail:
    json_object_put(o);
    return NULL;
}

static struct json_object *error_item(const struct violation *v)
{
    struct json_object *o = json_object_new_object();

    if (o != NULL && json_put_str(o, "pointer", v->pointer) == 0 &&
        json_put_str(o, "message", v->msg) == 0)
        return o;
    json_object_put(o);
    return NULL;
}

static struct json_object *list(const struct violations *v,
                                struct json_object *(*item)(const struct violation *))
{
    struct json_object *array = json_object_new_array();

    if (array == NULL)
        return NULL;
    for (size_t i = 0; i < v->n; i++) {
        if (array_add(array, item(&v->v[i])) != 0) {
            json_object_put(array);
            return NULL;
        }
    }
    return array;
}

struct json_object *violations_to_detail(const struct violations *v)
{
    return list(v, detail_item);
}

struct json_object *violations_to_errors(const struct violations *v)
{
    return list(v, error_item);
}
