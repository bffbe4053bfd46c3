/* Owns the small helpers that make and read json-c trees (declared in lib/json_scan.h). */
#include "lib/json_scan.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/clock.h"

struct json_object *json_number(double d)
{
    char text[40];

    if (!isfinite(d))
        return NULL;
    if (d == 0)
        d = 0; /* no "-0" */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    return json_object_new_double_s(d, text);
}

const char *json_text(struct json_object *o)
{
    return json_object_to_json_string_ext(o,
                                          JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

int json_put(struct json_object *o, const char *key, struct json_object *value)
{
    if (value == NULL)
        return -1;
    if (o == NULL || json_object_object_add(o, key, value) != 0) {
        json_object_put(value);
        return -1;
    }
    return 0;
}

int json_put_null(struct json_object *o, const char *key)
{
    return o != NULL && json_object_object_add(o, key, NULL) == 0 ? 0 : -1;
}

int json_put_str(struct json_object *o, const char *key, const char *s)
{
    return s == NULL ? json_put_null(o, key) : json_put(o, key, json_object_new_string(s));
}

int json_put_int(struct json_object *o, const char *key, int64_t v)
{
    return json_put(o, key, json_object_new_int64(v));
}

int json_put_bool(struct json_object *o, const char *key, int v)
{
    return json_put(o, key, json_object_new_boolean(v != 0));
}

int json_put_time(struct json_object *o, const char *key, int64_t ms)
{
    char text[CLOCK_TEXT_MAX];

    return json_put_str(o, key, ms == 0 ? NULL : clock_format(ms, text));
}

static struct json_object *member(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;

    if (!json_object_is_type(o, json_type_object))
        return NULL;
    json_object_object_get_ex(o, key, &v);
    return v;
}

const char *json_get_str(struct json_object *o, const char *key)
{
    struct json_object *v = member(o, key);

    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

int64_t json_get_int(struct json_object *o, const char *key, int64_t def)
{
    struct json_object *v = member(o, key);
    double d;

    if (json_object_is_type(v, json_type_int))
        return json_object_get_int64(v);
    if (!json_object_is_type(v, json_type_double))
        return def;
    d = json_object_get_double(v); /* 1.0 is an integer (lib/schema.c says the same) */
    return d >= -0x1p63 && d < 0x1p63 && d == trunc(d) ? (int64_t)d : def;
}

int json_get_bool(struct json_object *o, const char *key, int def)
{
    struct json_object *v = member(o, key);

    return json_object_is_type(v, json_type_boolean) ? json_object_get_boolean(v) : def;
}
