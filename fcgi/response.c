/* Rendering responses: see response.h. */
#include "fcgi/response.h"

#include <string.h>
#include <strings.h>

#include "handlers/stream_spec.h"
#include "lib/cursor.h"
#include "lib/json_scan.h"

static const char no_memory_body[] =
    "{\"detail\":\"The server is out of memory, retry\",\"code\":\"out_of_memory\"}";

/* True when the Accept header lists application/problem+json. */
static bool wants_problem(const struct request *rq)
{
    static const char type[] = "application/problem+json";
    const char *p = request_header(rq, "accept");
    while (p && *p) {
        p += strspn(p, " \t,");
        size_t n = strcspn(p, ",");
        size_t name = strcspn(p, ",; \t");
        if (name == sizeof type - 1 && strncasecmp(p, type, name) == 0)
            return true;
        p += n;
    }
    return false;
}

static int put_extras(struct json_object *o, struct json_object *extra)
{
    if (!extra)
        return 0;
    json_object_object_foreach(extra, key, value)
    {
        if (json_object_object_add(o, key, json_object_get(value))) {
            json_object_put(value);
            return -1;
        }
    }
    return 0;
}

/* {"detail", "code", "request_id", extras…}, or RFC 9457. NULL when memory ran out. */
static struct json_object *error_body(const struct request *rq, const struct response *rs,
                                      bool problem)
{
    const struct vx_err_info *info = vx_err_info(rs->err);
    struct json_object *o = arena_own_json(rs->arena, json_object_new_object());
    const char *text = rs->detail ? rs->detail : info->detail;
    int bad = !o;
    if (!bad && problem) {
        bad |= json_put_str(o, "type", "about:blank");
        bad |= json_put_str(o, "title", http_status_title(info->status));
        bad |= json_put_int(o, "status", info->status);
    }
    if (!bad && rs->detail_list && !problem)
        bad |= json_put(o, "detail", json_object_get(rs->detail_list));
    else if (!bad)
        bad |= json_put_str(o, "detail", text);
    if (!bad) {
        bad |= json_put_str(o, "code", info->code);
        bad |= json_put_str(o, "request_id", rq->request_id);
    }
    if (!bad && rs->detail_list && problem)
        bad |= json_put(o, "errors", json_object_get(rs->detail_list));
    return bad || put_extras(o, rs->extra) ? NULL : o;
}

static bool has_header(const struct response *rs, const char *name)
{
    for (size_t i = 0; i < rs->n_headers; i++)
        if (strcasecmp(rs->headers[i].name, name) == 0)
            return true;
    return false;
}

/* Body, status and type of an error. */
static const char *render_error(const struct request *rq, struct response *rs, struct rendered *out)
{
    const struct vx_err_info *info = vx_err_info(rs->err);
    bool problem = wants_problem(rq);
    struct json_object *o = error_body(rq, rs, problem);
    const char *text = o ? json_text(o) : NULL;
    out->status = info->status;
    if (!text) {
        out->status = vx_err_info(VX_ERR_NO_MEMORY)->status;
        out->body = no_memory_body;
        out->body_len = sizeof no_memory_body - 1;
        return "application/json";
    }
    out->body = text;
    out->body_len = strlen(text);
    return problem ? "application/problem+json" : "application/json";
}

/* Body, status and type of a success. NULL type = no body at all. */
static const char *render_success(struct response *rs, struct rendered *out)
{
    out->status = rs->status ? rs->status : 200;
    if (out->status == 204)
        return NULL;
    if (rs->stream && rs->stream->poll)
        return "application/json";
    if (rs->stream)
        return "text/event-stream; charset=utf-8";
    if (rs->json) {
        const char *text = json_text(rs->json);
        if (text) {
            out->body = text;
            out->body_len = strlen(text);
            return "application/json";
        }
        out->status = vx_err_info(VX_ERR_NO_MEMORY)->status;
        out->body = no_memory_body;
        out->body_len = sizeof no_memory_body - 1;
        return "application/json";
    }
    out->body = rs->text ? rs->text : "";
    out->body_len = rs->text ? rs->text_len : 0;
    if (out->body_len == 0)
        return NULL;
    return rs->content_type ? rs->content_type : "application/json";
}

static void put_error_headers(const struct response *rs, int status, struct buf *head)
{
    const struct vx_err_info *info = vx_err_info(rs->err);
    if (status == 401 && !has_header(rs, "WWW-Authenticate"))
        buf_append_str(head, "WWW-Authenticate: Bearer\r\n");
    if (info->retry_after > 0 && !has_header(rs, "Retry-After"))
        buf_printf(head, "Retry-After: %d\r\n", info->retry_after);
}

void response_render(const struct request *rq, struct response *rs, struct buf *head,
                     struct rendered *out)
{
    *out = (struct rendered){0};
    const char *type = rs->err ? render_error(rq, rs, out) : render_success(rs, out);
    bool stream = !rs->err && rs->stream && out->status != 204;
    buf_clear(head);
    buf_printf(head, "Status: %d %s\r\n", out->status, http_status_title(out->status));
    if (type)
        buf_printf(head, "Content-Type: %s\r\n", type);
    if (stream && rs->stream->poll)
        buf_append_str(head, "Cache-Control: no-cache\r\n");
    else if (stream)
        buf_append_str(head, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    else if (out->status != 204)
        buf_printf(head, "Content-Length: %zu\r\n", out->body_len);
    buf_printf(head, "X-Request-Id: %s\r\nX-Trace-Id: %s\r\n", rq->request_id, rq->trace_id);
    if (rs->err)
        put_error_headers(rs, out->status, head);
    for (size_t i = 0; i < rs->n_headers; i++)
        buf_printf(head, "%s: %s\r\n", rs->headers[i].name, rs->headers[i].value);
    buf_append_str(head, "\r\n");
    if (strcmp(rq->method, "HEAD") == 0 || out->status == 204)
        out->body = NULL;
}

const char *response_stream_opening(struct arena *a, const char *epoch,
                                    const struct stream_spec *spec)
{
    char id[CURSOR_TEXT_MAX];
    return arena_printf(a, "id: %s\n\n%s", cursor_format(epoch, spec->cursor, id),
                        spec->preamble ? spec->preamble : "");
}
