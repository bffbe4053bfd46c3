/* Requests and responses as handlers see them: look-ups, and the few ways to fill a response. */
#include "handlers/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/int_text.h"
#include "lib/log.h"

const char *request_header(const struct request *rq, const char *name)
{
    /* from the end: web servers send a parameter twice when it was overridden, the last one counts
     */
    for (size_t i = rq->n_headers; i > 0; i--)
        if (strcmp(rq->headers[i - 1].name, name) == 0)
            return rq->headers[i - 1].value;
    return NULL;
}

const char *request_query(const struct request *rq, const char *name)
{
    for (size_t i = rq->n_query; i > 0; i--)
        if (strcmp(rq->query[i - 1].name, name) == 0)
            return rq->query[i - 1].value;
    return NULL;
}

int64_t request_query_int(const struct request *rq, const char *name, int64_t def)
{
    const char *text = request_query(rq, name);
    int64_t v;
    return text && int_text_parse(text, &v) == 0 ? v : def;
}

bool request_query_bool(const struct request *rq, const char *name, bool def)
{
    const char *text = request_query(rq, name);
    bool v;
    return text && bool_text_parse(text, &v) == 0 ? v : def;
}

void response_json(struct response *rs, int status, struct json_object *o)
{
    rs->json = arena_own_json(rs->arena, o);
    if (!rs->json) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    rs->status = status;
    rs->err = VX_OK;
    rs->text = NULL;
}

void response_empty(struct response *rs)
{
    rs->status = 204;
    rs->err = VX_OK;
    rs->json = NULL;
    rs->text = NULL;
}

/* A line break or another control character in a value would be a header of the caller's making. */
static bool value_is_safe(const char *value)
{
    for (const unsigned char *p = (const unsigned char *)value; *p; p++)
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

void response_header(struct response *rs, const char *name, const char *value)
{
    const size_t room = sizeof rs->headers / sizeof *rs->headers;
    size_t i = 0;
    if (!value || !value_is_safe(value)) {
        log_event(LOG_WARN_, "header_dropped", "name", name, "reason", "control character", NULL);
        return;
    }
    while (i < rs->n_headers && strcasecmp(rs->headers[i].name, name) != 0)
        i++;
    char *copy = i < room ? arena_strdup(rs->arena, value) : NULL;
    if (!copy) {
        log_event(LOG_WARN_, "header_dropped", "name", name, "reason", "no room", NULL);
        return;
    }
    rs->headers[i] = (struct http_pair){name, copy};
    if (i == rs->n_headers)
        rs->n_headers++;
}

void response_fail(struct response *rs, enum vx_err err)
{
    /* VX_OK here is a caller's mistake, and must not become a 200 */
    rs->err = err == VX_OK ? VX_ERR_INTERNAL : err;
    rs->detail = NULL;
    rs->detail_list = NULL;
    rs->stream = NULL;
}

void response_fail_text(struct response *rs, enum vx_err err, const char *fmt, ...)
{
    response_fail(rs, err);
    va_list ap;
    va_start(ap, fmt);
    rs->detail = arena_vprintf(rs->arena, fmt, ap); /* NULL: the table's text will do */
    va_end(ap);
}

void response_fail_list(struct response *rs, const struct violations *v)
{
    response_fail(rs, VX_ERR_VALIDATION);
    rs->detail_list = arena_own_json(rs->arena, violations_to_detail(v));
    if (!rs->detail_list)
        response_fail(rs, VX_ERR_NO_MEMORY);
}

void response_extra(struct response *rs, const char *name, struct json_object *value)
{
    if (!rs->extra)
        rs->extra = arena_own_json(rs->arena, json_object_new_object());
    if (!rs->extra || !value || json_object_object_add(rs->extra, name, value))
        json_object_put(value);
}
