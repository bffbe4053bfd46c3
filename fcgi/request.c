/* Reading a request: see request.h. Every input has a bound. */
#include "fcgi/request.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/secret.h"

#define METHOD_MAX  32
#define ID_MAX      128
#define ID_MINT_LEN 32

/* The CGI variables a request is made of. */
struct cgi {
    const char *method, *uri, *length;
    size_t n; /* parameters seen */
};

static const char *trimmed(struct arena *a, const char *s)
{
    size_t n;
    s += strspn(s, " \t");
    for (n = strlen(s); n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'); n--)
        ;
    return arena_strndup(a, s, n);
}

/* "HTTP_X_API_KEY" of n bytes -> "x-api-key" */
static const char *header_name(struct arena *a, const char *s, size_t n)
{
    char *name = arena_strndup(a, s + strlen("HTTP_"), n - strlen("HTTP_"));
    for (char *p = name; p && *p; p++)
        *p = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
    return name;
}

/* Sorts the parameters into CGI variables and headers. */
static enum vx_err read_params(struct web_request *w, struct cgi *cgi, const char **detail)
{
    struct request *rq = &w->rq;
    const char *p;
    rq->headers = arena_alloc(rq->arena, REQUEST_HEADERS_MAX * sizeof *rq->headers);
    if (!rq->headers)
        return VX_ERR_NO_MEMORY;
    for (; (p = fcgx_param_at(w->fx, cgi->n)) != NULL; cgi->n++) {
        const char *eq = strchr(p, '=');
        size_t n = eq ? (size_t)(eq - p) : 0;
        if (n == 0)
            continue;
        if (strncmp(p, "HTTP_", 5) == 0 && n > 5) {
            if (n == 10 && strncmp(p, "HTTP_PROXY", 10) == 0)
                continue; /* the "httpoxy" trap: nobody needs it, so nobody gets it */
            if (rq->n_headers == REQUEST_HEADERS_MAX) {
                *detail = "Too many request headers";
                return VX_ERR_BAD_REQUEST;
            }
            struct http_pair h = {header_name(rq->arena, p, n), trimmed(rq->arena, eq + 1)};
            if (!h.name || !h.value)
                return VX_ERR_NO_MEMORY;
            rq->headers[rq->n_headers++] = h;
        } else if (n == 14 && strncmp(p, "REQUEST_METHOD", n) == 0) {
            cgi->method = eq + 1;
        } else if (n == 11 && strncmp(p, "REQUEST_URI", n) == 0) {
            cgi->uri = eq + 1;
        } else if (n == 12 && strncmp(p, "CONTENT_TYPE", n) == 0) {
            rq->content_type = trimmed(rq->arena, eq + 1);
        } else if (n == 14 && strncmp(p, "CONTENT_LENGTH", n) == 0) {
            cgi->length = eq + 1;
        }
    }
    if (rq->content_type && !*rq->content_type)
        rq->content_type = NULL;
    return VX_OK;
}

/* The client's id when it is of that form, else a new one. */
static const char *take_id(struct request *rq, const char *header, const char *allowed)
{
    const char *id = request_header(rq, header);
    size_t n = id ? strlen(id) : 0;
    if (n > 0 && n <= ID_MAX) {
        size_t ok = 0;
        while (ok < n && (isalnum((unsigned char)id[ok]) ||
                          (allowed ? strchr(allowed, id[ok]) != NULL
                                   : (unsigned char)id[ok] > 0x20 && (unsigned char)id[ok] < 0x7f)))
            ok++;
        if (ok == n)
            return id;
    }
    /* one draw of 16 bytes: a draw a digit cost more than the rest of a small request */
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[ID_MINT_LEN / 2];
    char *minted = arena_alloc(rq->arena, ID_MINT_LEN + 1);
    if (!minted || secret_bytes(raw, sizeof raw))
        return "unknown";
    for (size_t i = 0; i < sizeof raw; i++) {
        minted[2 * i] = digits[raw[i] >> 4];
        minted[2 * i + 1] = digits[raw[i] & 15];
    }
    return minted;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* True when s is UTF-8 without control characters (C0 and DEL; with_breaks lets \t \r \n pass). */
static bool text_is_clean(const unsigned char *s, size_t n, bool with_breaks)
{
    for (size_t i = 0; i < n;) {
        unsigned char c = s[i++];
        if (c < 0x80) {
            bool is_break = c == '\t' || c == '\n' || c == '\r';
            if ((c < 0x20 && !(with_breaks && is_break)) || c == 0x7f)
                return false;
            continue;
        }
        unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || n - i < more)
            return false;
        unsigned char d = s[i];
        if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d > 0x9f) || (c == 0xf0 && d < 0x90) ||
            (c == 0xf4 && d > 0x8f))
            return false;
        for (; more > 0; more--)
            if ((s[i++] & 0xc0) != 0x80)
                return false;
    }
    return true;
}

/* Percent-decodes n bytes once. VX_ERR_BAD_REQUEST for a bad escape or unclean text. A query also
 * knows '+' for a space, and its values may hold line breaks. */
static enum vx_err decode(struct arena *a, const char *s, size_t n, bool query, const char **out)
{
    char *d = arena_alloc(a, n + 1);
    size_t len = 0;
    if (!d)
        return VX_ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '+' && query) {
            c = ' ';
        } else if (c == '%') {
            int hi = n - i > 2 ? hex_value(s[i + 1]) : -1;
            int lo = hi >= 0 ? hex_value(s[i + 2]) : -1;
            if (lo < 0)
                return VX_ERR_BAD_REQUEST;
            c = (char)(hi * 16 + lo);
            i += 2;
        }
        d[len++] = c;
    }
    *out = d;
    return text_is_clean((const unsigned char *)d, len, query) ? VX_OK : VX_ERR_BAD_REQUEST;
}

/* Splits rq.path at '/' and decodes each part: an escaped slash stays inside its segment. */
static enum vx_err read_segments(struct web_request *w)
{
    const char *p = w->rq.path;
    while (*p == '/') {
        size_t n = strcspn(++p, "/");
        if (w->n_segments == REQUEST_SEGMENTS_MAX)
            return VX_ERR_BAD_REQUEST;
        enum vx_err err = decode(w->rq.arena, p, n, false, &w->segments[w->n_segments++]);
        if (err)
            return err;
        p += n;
    }
    return VX_OK;
}

/* "http://host/path" -> "/path"; a path stays as it is. */
static const char *path_of(const char *uri)
{
    size_t n = strncasecmp(uri, "http://", 7) == 0    ? 7
               : strncasecmp(uri, "https://", 8) == 0 ? 8
                                                      : 0;
    if (n == 0)
        return uri;
    uri += n + strcspn(uri + n, "/?#");
    return *uri ? uri : "/";
}

/* Removes the configured prefix. NULL when the path is not below it. */
static const char *without_base(const char *path, const char *base)
{
    size_t n = strlen(base);
    if (n == 0)
        return path;
    if (strncmp(path, base, n) || (path[n] && path[n] != '/'))
        return NULL;
    return path[n] ? path + n : "/";
}

static enum vx_err read_path(struct web_request *w, const char *uri, const char **detail)
{
    struct arena *a = w->rq.arena;
    uri = path_of(uri);
    size_t n = strcspn(uri, "?#");
    if (uri[n] == '?') {
        const char *q = uri + n + 1;
        w->raw_query = arena_strndup(a, q, strcspn(q, "#"));
        if (!w->raw_query)
            return VX_ERR_NO_MEMORY;
    }
    if (n > REQUEST_PATH_MAX) {
        *detail = "The request path is too long";
        return VX_ERR_BAD_REQUEST;
    }
    const char *path = arena_strndup(a, n ? uri : "/", n ? n : 1);
    if (!path)
        return VX_ERR_NO_MEMORY;
    *detail = "invalid path parameter";
    if (*path != '/')
        return VX_ERR_BAD_REQUEST;
    path = without_base(path, w->base_path);
    if (!path) {
        *detail = NULL;
        return VX_ERR_NOT_FOUND;
    }
    w->rq.path = path;
    return read_segments(w);
}

/* One name=value: replaces an earlier one of the same name. */
static const char *add_query_pair(struct request *rq, struct http_pair pair)
{
    size_t i = 0;
    while (i < rq->n_query && strcmp(rq->query[i].name, pair.name) != 0)
        i++;
    if (i == REQUEST_PARAMS_MAX)
        return "Too many query parameters";
    rq->query[i] = pair;
    if (i == rq->n_query)
        rq->n_query++;
    return NULL;
}

static enum vx_err read_query(struct web_request *w)
{
    struct request *rq = &w->rq;
    const char *p = w->raw_query;
    if (!p || !*p)
        return VX_OK;
    if (strlen(p) > REQUEST_QUERY_MAX) {
        w->query_fault = "The query string is too long";
        return VX_OK;
    }
    rq->query = arena_alloc(rq->arena, REQUEST_PARAMS_MAX * sizeof *rq->query);
    if (!rq->query)
        return VX_ERR_NO_MEMORY;
    for (; *p && !w->query_fault; p += *p == '&') {
        size_t n = strcspn(p, "&");
        size_t name_len = strcspn(p, "=&");
        struct http_pair pair = {"", ""};
        if (n == 0)
            continue;
        enum vx_err err = decode(rq->arena, p, name_len, true, &pair.name);
        if (!err && name_len < n)
            err = decode(rq->arena, p + name_len + 1, n - name_len - 1, true, &pair.value);
        if (err == VX_ERR_BAD_REQUEST)
            w->query_fault = "The query string is not valid";
        else if (err)
            return err;
        else
            w->query_fault = add_query_pair(rq, pair);
        p += n;
    }
    return VX_OK;
}

static bool method_is_valid(const char *m)
{
    size_t n = strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_");
    return n > 0 && n <= METHOD_MAX && !m[n];
}

enum vx_err request_read(struct web_request *w, const char **detail)
{
    struct request *rq = &w->rq;
    struct cgi cgi = {0};
    *detail = NULL;
    rq->method = "-";
    rq->path = "";
    rq->body = "";
    rq->request_id = rq->trace_id = "unknown";
    enum vx_err err = read_params(w, &cgi, detail);
    rq->request_id = take_id(rq, "x-request-id", "._-");
    rq->trace_id = take_id(rq, "x-trace-id", NULL);
    if (err)
        return err;
    if (!cgi.method || !*cgi.method)
        return VX_ERR_SERVER_MISCONFIGURED;
    if (!method_is_valid(cgi.method)) {
        *detail = "The request method is not valid";
        return VX_ERR_BAD_REQUEST;
    }
    rq->method = cgi.method;
    if (!cgi.uri || !*cgi.uri) {
        *detail =
            "The web server passed no REQUEST_URI: add 'include fastcgi_params;' to its config";
        return VX_ERR_SERVER_MISCONFIGURED;
    }
    w->content_length = -1;
    if (cgi.length && isdigit((unsigned char)cgi.length[0]))
        w->content_length = strtoll(cgi.length, NULL, 10);
    err = read_path(w, cgi.uri, detail);
    if (err)
        return err;
    *detail = NULL;
    return read_query(w);
}

enum vx_err request_read_body(struct web_request *w, size_t limit)
{
    struct fcgx_body body;
    if (w->content_length > 0 && (uint64_t)w->content_length > limit)
        return VX_ERR_PAYLOAD_TOO_LARGE; /* stdin is drained when the request ends */
    enum vx_err err = fcgx_read_body(w->fx, w->rq.arena, limit, &body);
    if (err)
        return err;
    if (body.too_large)
        return VX_ERR_PAYLOAD_TOO_LARGE;
    if (body.broken || (w->content_length > 0 && (uint64_t)w->content_length != body.len))
        return VX_ERR_BAD_REQUEST; /* half a body must never pass for a whole one */
    w->rq.body = body.data;
    w->rq.body_len = body.len;
    return VX_OK;
}

bool request_type_is_json(const struct request *rq)
{
    static const char *const fine[] = {"application/json", "text/plain",
                                       "application/x-www-form-urlencoded"};
    const char *t = rq->content_type;
    if (!t)
        return true;
    size_t n = strcspn(t, "; \t,");
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (n == strlen(fine[i]) && strncasecmp(t, fine[i], n) == 0)
            return true;
    return n > 17 && strncasecmp(t, "application/", 12) == 0 &&
           strncasecmp(t + n - 5, "+json", 5) == 0;
}
