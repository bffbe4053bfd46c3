/* Reading values of a checked JSON body; see body.h. */
#include "handlers/body.h"

#include <math.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/json_scan.h"
#include "lib/py_text.h"

#define PYTHON_LIST_MAX 65536

struct json_object *body_get(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;
    if (o == NULL || !json_object_is_type(o, json_type_object))
        return NULL;
    return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

bool body_int(struct json_object *v, int64_t *out)
{
    if (json_object_is_type(v, json_type_int)) {
        *out = json_object_get_int64(v);
        return true;
    }
    if (!json_object_is_type(v, json_type_double))
        return false;
    double d = json_object_get_double(v);
    /* 2^63 itself does not fit; NaN fails both comparisons. */
    if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || d != trunc(d))
        return false;
    *out = (int64_t)d;
    return true;
}

void refuse(struct request *rq, struct response *rs, const char *type, const char *msg,
            const char *first, const char *name, struct json_object *input, struct json_object *ctx)
{
    struct violations list = {.max = 100};
    if (input != NULL)
        input = arena_own_json(rq->arena, input);
    if (ctx != NULL)
        ctx = arena_own_json(rq->arena, ctx);
    if (violation_add(rq->arena, &list, type, msg, first, name, input, ctx) != VX_OK)
        response_fail(rs, VX_ERR_NO_MEMORY);
    else
        response_fail_list(rs, &list);
}

struct json_object *refuse_ctx(const char *key, int64_t value)
{
    struct json_object *o = json_object_new_object();
    if (o != NULL && json_put_int(o, key, value) != 0) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

bool body_text(struct request *rq, struct response *rs, const char *name, size_t max,
               const char **out)
{
    struct json_object *v = body_get(rq->json, name);
    *out = NULL;
    if (v == NULL)
        return true;
    if (!json_object_is_type(v, json_type_string)) {
        refuse(rq, rs, "string_type", "Input should be a valid string", "body", name,
               json_object_get(v), NULL);
        return false;
    }
    const char *s = json_object_get_string(v);
    if (py_len(s) > max) {
        const char *msg = arena_printf(rq->arena, "String should have at most %zu characters", max);
        refuse(rq, rs, "string_too_long", msg != NULL ? msg : "String is too long", "body", name,
               json_object_get(v), refuse_ctx("max_length", (int64_t)max));
        return false;
    }
    *out = s;
    return true;
}

const char *text_cut(struct arena *a, const char *s, size_t max)
{
    if (strlen(s) <= max)
        return s;
    while (max > 0 && ((unsigned char)s[max] & 0xC0) == 0x80)
        max--;
    const char *out = arena_strndup(a, s, max);
    return out != NULL ? out : "";
}

const char *python_list(struct arena *a, const char *const *s, size_t n)
{
    struct buf b;
    buf_init(&b, PYTHON_LIST_MAX);
    buf_append_char(&b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_append_str(&b, ", ");
        const char *repr = py_repr(a, s[i]);
        buf_append_str(&b, repr != NULL ? repr : "?");
    }
    buf_append_char(&b, ']');
    const char *out = b.failed ? NULL : arena_strdup(a, b.data);
    buf_free(&b);
    return out;
}

struct json_object *scopes_json(struct arena *a, const char *scopes)
{
    struct json_object *list = json_object_new_array();
    while (list != NULL && scopes != NULL && *scopes != '\0') {
        size_t n = strcspn(scopes, ",");
        const char *one = arena_strndup(a, scopes, n);
        struct json_object *s = one != NULL ? json_object_new_string(one) : NULL;
        if (s == NULL || json_object_array_add(list, s) != 0) {
            json_object_put(s);
            json_object_put(list);
            return NULL;
        }
        scopes += n + (scopes[n] == ',');
    }
    return list;
}
