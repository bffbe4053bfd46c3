/* The router: see router.h. The table is walked row by row; a hundred rows cost about a
 * microsecond because most fail at their number of segments. */
#include "fcgi/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/access.h"
#include "fcgi/idempotency.h"
#include "lib/contracts.h"
#include "lib/int_text.h"
#include "lib/json_scan.h"
#include "lib/log.h"

#define PATTERN_SEGMENTS_MAX 12
#define VIOLATIONS_MAX       100
#define ALLOW_MAX            128

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_INT, SEGMENT_REST };

struct segment {
    enum segment_kind kind;
    const char *text; /* of a literal, or a parameter's name: points into the pattern */
    size_t len;
};

struct entry {
    const struct route *route;
    struct segment segments[PATTERN_SEGMENTS_MAX];
    size_t n;
};

struct router {
    struct entry *entries;
    size_t n;
};

/* One part of a pattern between slashes. 0, or -1 when it is malformed. */
static int split_segment(const char *p, size_t n, struct segment *out)
{
    *out = (struct segment){SEGMENT_LITERAL, p, n};
    if (n == 0 || p[0] != '{')
        return memchr(p, '{', n) ? -1 : 0;
    if (n < 3 || p[n - 1] != '}')
        return -1;
    *out = (struct segment){SEGMENT_PARAM, p + 1, n - 2};
    if (out->len > 4 && memcmp(out->text + out->len - 4, ":int", 4) == 0) {
        out->kind = SEGMENT_INT;
        out->len -= 4;
    } else if (out->len > 3 && memcmp(out->text + out->len - 3, "...", 3) == 0) {
        out->kind = SEGMENT_REST;
        out->len -= 3;
    }
    return 0;
}

static int split_pattern(const struct route *route, struct entry *e)
{
    const char *p = route->pattern;
    size_t params = 0;
    e->route = route;
    while (*p == '/') {
        size_t n = strcspn(++p, "/");
        if (e->n == PATTERN_SEGMENTS_MAX || split_segment(p, n, &e->segments[e->n]))
            return -1;
        const struct segment *s = &e->segments[e->n++];
        params += s->kind != SEGMENT_LITERAL;
        if (s->kind == SEGMENT_REST && p[n])
            return -1;
        p += n;
    }
    return *p || e->n == 0 || params > HTTP_PATH_PARAMS ? -1 : 0;
}

enum vx_err router_new(struct router **out)
{
    size_t n = 0;
    *out = NULL;
    while (route_at(n))
        n++;
    struct router *r = calloc(1, sizeof *r);
    if (!r)
        return VX_ERR_NO_MEMORY;
    r->entries = calloc(n ? n : 1, sizeof *r->entries);
    if (!r->entries) {
        free(r);
        return VX_ERR_NO_MEMORY;
    }
    for (; r->n < n; r->n++) {
        const struct route *route = route_at(r->n);
        bool no_contract = route->contract && !contract_find(route->contract);
        bool no_owner = route->idempotent && route->auth != AUTH_KEY && route->auth != AUTH_ADMIN;
        if (split_pattern(route, &r->entries[r->n]) || no_contract || no_owner) {
            log_event(LOG_ERROR_, "bad_route", "method", route->method, "pattern", route->pattern,
                      "reason",
                      no_contract ? "no such contract"
                      : no_owner  ? "idempotency keys without an owner"
                                  : "malformed pattern",
                      NULL);
            router_free(r);
            return VX_ERR_INTERNAL;
        }
    }
    *out = r;
    return VX_OK;
}

void router_free(struct router *r)
{
    if (!r)
        return;
    free(r->entries);
    free(r);
}

/* Does the path (its first n segments) have the form of this pattern? */
static bool matches(const struct entry *e, const struct web_request *w, size_t n)
{
    bool rest = e->segments[e->n - 1].kind == SEGMENT_REST;
    if (rest ? n < e->n : n != e->n)
        return false;
    for (size_t i = 0; i < e->n; i++) {
        const struct segment *s = &e->segments[i];
        const char *text = w->segments[i];
        if (s->kind == SEGMENT_REST)
            return true;
        if (s->kind != SEGMENT_LITERAL ? !*text : strncmp(text, s->text, s->len) || text[s->len])
            return false;
    }
    return true;
}

/* Is a more literal than b? Both match the same path. The first difference decides. */
static bool more_literal(const struct entry *a, const struct entry *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        int x = a->segments[i].kind, y = b->segments[i].kind;
        x = x == SEGMENT_INT ? SEGMENT_PARAM : x;
        y = y == SEGMENT_INT ? SEGMENT_PARAM : y;
        if (x != y)
            return x < y;
    }
    return false;
}

static void allow_add(char allow[ALLOW_MAX], const char *method)
{
    size_t n = strlen(method);
    for (const char *p = allow; (p = strstr(p, method)) != NULL; p += n)
        if ((p == allow || p[-1] == ' ') && (!p[n] || p[n] == ','))
            return;
    size_t have = strlen(allow);
    if (have + n + 3 < ALLOW_MAX)
        snprintf(allow + have, ALLOW_MAX - have, "%s%s", have ? ", " : "", method);
}

/* The entry that serves method for the path, or NULL; allow tells what else the path knows, "" when
 * it knows nothing. */
static const struct entry *find(const struct router *r, const struct web_request *w, size_t n,
                                const char *method, char allow[ALLOW_MAX])
{
    const struct entry *best = NULL;
    allow[0] = '\0';
    for (size_t i = 0; i < r->n; i++) {
        const struct entry *e = &r->entries[i];
        if (!matches(e, w, n))
            continue;
        allow_add(allow, e->route->method);
        if (strcmp(e->route->method, "GET") == 0)
            allow_add(allow, "HEAD");
        if (strcmp(e->route->method, method) == 0 && (!best || more_literal(e, best)))
            best = e;
    }
    return best;
}

/* 307 to the path without its last slash, when a route is there. A Location that starts with two
 * slashes would name another host: no pattern matches such a path. */
static bool redirect_slash(const struct router *r, struct web_request *w, struct response *rs)
{
    char allow[ALLOW_MAX];
    size_t n = w->n_segments;
    if (n < 2 || *w->segments[n - 1])
        return false;
    find(r, w, n - 1, "", allow);
    if (!*allow)
        return false;
    const char *location =
        arena_printf(w->rq.arena, "%s%.*s%s%s", w->base_path, (int)strlen(w->rq.path) - 1,
                     w->rq.path, w->raw_query ? "?" : "", w->raw_query ? w->raw_query : "");
    if (!location) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return true;
    }
    response_header(rs, "Location", location);
    rs->status = 307;
    rs->text = "";
    return true;
}

/* A text as JSON owned by the arena, NULL when memory ran out. */
static struct json_object *json_of(struct arena *a, const char *text)
{
    return arena_own_json(a, json_object_new_string(text));
}

static enum vx_err add_int_violation(struct arena *a, struct violations *v, enum int_text why,
                                     const char *where, const char *name, const char *text)
{
    bool range = why == INT_TEXT_RANGE;
    return violation_add(
        a, v, range ? "int_parsing_size" : "int_parsing",
        range ? "Unable to parse input string as an integer, exceeded maximum size"
              : "Input should be a valid integer, unable to parse string as an integer",
        where, name, json_of(a, text), NULL);
}

/* Copies the parameters of the path; those typed as int are read. */
static enum vx_err bind_params(const struct entry *e, struct web_request *w, struct violations *v)
{
    struct request *rq = &w->rq;
    size_t k = 0;
    for (size_t i = 0; i < e->n; i++) {
        const struct segment *s = &e->segments[i];
        if (s->kind == SEGMENT_LITERAL)
            continue;
        const char *text = w->segments[i];
        for (size_t j = i + 1; text && s->kind == SEGMENT_REST && j < w->n_segments; j++)
            text = arena_printf(rq->arena, "%s/%s", text, w->segments[j]);
        if (!text)
            return VX_ERR_NO_MEMORY;
        rq->params[k] = text;
        enum int_text bad =
            s->kind == SEGMENT_INT ? int_text_parse(text, &rq->int_params[k]) : INT_TEXT_OK;
        k++;
        if (bad == INT_TEXT_OK)
            continue;
        const char *name = arena_strndup(rq->arena, s->text, s->len);
        enum vx_err err =
            name ? add_int_violation(rq->arena, v, bad, "path", name, text) : VX_ERR_NO_MEMORY;
        if (err)
            return err;
    }
    return VX_OK;
}

static enum vx_err check_bounds(struct arena *a, const struct query_param *q, const char *text,
                                int64_t n, struct violations *v)
{
    if (n >= q->min && n <= q->max)
        return VX_OK;
    bool low = n < q->min;
    int64_t bound = low ? q->min : q->max;
    const char *msg = arena_printf(a, "Input should be %s than or equal to %lld",
                                   low ? "greater" : "less", (long long)bound);
    struct json_object *ctx = arena_own_json(a, json_object_new_object());
    if (!msg || !ctx || json_put_int(ctx, low ? "ge" : "le", bound))
        return VX_ERR_NO_MEMORY;
    return violation_add(a, v, low ? "greater_than_equal" : "less_than_equal", msg, "query",
                         q->name, json_of(a, text), ctx);
}

static enum vx_err check_query_value(struct arena *a, const struct query_param *q, const char *text,
                                     struct violations *v)
{
    int64_t n;
    bool b;
    if (q->type == QUERY_INT) {
        enum int_text bad = int_text_parse(text, &n);
        if (bad != INT_TEXT_OK)
            return add_int_violation(a, v, bad, "query", q->name, text);
        return check_bounds(a, q, text, n, v);
    }
    if (q->type == QUERY_BOOL && bool_text_parse(text, &b))
        return violation_add(a, v, "bool_parsing",
                             "Input should be a valid boolean, unable to interpret input", "query",
                             q->name, json_of(a, text), NULL);
    return VX_OK;
}

static enum vx_err check_missing(const struct request *rq, const struct query_param *q,
                                 struct violations *v)
{
    return q->required ? violation_add(rq->arena, v, "missing", "Field required", "query", q->name,
                                       NULL, NULL)
                       : VX_OK;
}

/* Known parameters in the order of the table, then unknown ones in the order sent. */
static enum vx_err check_query(const struct route *route, const struct request *rq,
                               struct violations *v)
{
    const struct query_param *table = route->query;
    enum vx_err err = VX_OK;
    for (const struct query_param *q = table; q && q->name && !err; q++) {
        const char *text = request_query(rq, q->name);
        err = text ? check_query_value(rq->arena, q, text, v) : check_missing(rq, q, v);
    }
    for (size_t i = 0; i < rq->n_query && !err; i++) {
        const struct http_pair *p = &rq->query[i];
        bool known = strcmp(p->name, "subject") == 0;
        for (const struct query_param *q = table; q && q->name && !known; q++)
            known = strcmp(q->name, p->name) == 0;
        if (!known)
            err = violation_add(rq->arena, v, "extra_forbidden", "Extra inputs are not permitted",
                                "query", p->name, json_of(rq->arena, p->value), NULL);
    }
    return err;
}

/* Parses and checks the body, which was read already. */
static enum vx_err check_body(const struct route *route, struct request *rq, struct violations *v)
{
    struct json_fault fault = {0};
    if (rq->body_len > 0) {
        enum vx_err err = json_read(rq->arena, rq->body, rq->body_len, &rq->json, &fault);
        if (err == VX_ERR_JSON_INVALID)
            return violation_add_fault(rq->arena, v, &fault);
        if (err)
            return err;
    }
    if (!rq->json) {
        if (route->body_optional)
            return VX_OK;
        return violation_add(rq->arena, v, "missing", "Field required", "body", NULL, NULL, NULL);
    }
    struct json_object *schema = contract_find(route->contract);
    return schema ? schema_check(rq->arena, schema, rq->json, v) : VX_ERR_INTERNAL;
}

/* 413 and 415. True when the body may be read on. */
static bool take_body(const struct route *route, struct web_request *w, struct response *rs)
{
    struct request *rq = &w->rq;
    if (!route->contract)
        return true;
    size_t limit = (size_t)config_int(rq->app->cfg, CFG_LIMITS_BODY_BYTES);
    enum vx_err err = request_read_body(w, limit);
    if (err == VX_ERR_PAYLOAD_TOO_LARGE) {
        response_fail_text(rs, err, "Request body is larger than %zu bytes", limit);
        response_extra(rs, "limit", json_object_new_int64((int64_t)limit));
        return false;
    }
    if (err == VX_ERR_BAD_REQUEST)
        response_fail_text(rs, err, "The request body ended early");
    else if (err)
        response_fail(rs, err);
    else if (rq->body_len > 0 && !request_type_is_json(rq))
        response_fail(rs, VX_ERR_UNSUPPORTED_MEDIA_TYPE);
    return !rs->err;
}

/* 422: everything wrong with path, query, Idempotency-Key and body in one list. True when nothing
 * is. */
static bool check_contract(const struct entry *e, struct web_request *w, struct response *rs)
{
    struct violations v = {.max = VIOLATIONS_MAX};
    enum vx_err err = VX_OK;
    if (w->query_fault) {
        response_fail_text(rs, VX_ERR_BAD_REQUEST, "%s", w->query_fault);
        return false;
    }
    err = bind_params(e, w, &v);
    if (!err)
        err = check_query(e->route, &w->rq, &v);
    if (!err && e->route->idempotent)
        err = idempotency_read_key(&w->rq, &v, &w->idempotency_key);
    if (!err && e->route->contract)
        err = check_body(e->route, &w->rq, &v);
    if (err) {
        response_fail(rs, err);
        return false;
    }
    if (v.n == 0)
        return true;
    response_fail_list(rs, &v);
    if (rs->err == VX_ERR_VALIDATION && v.n == 1 && strcmp(v.v[0].type, "json_invalid") == 0)
        rs->err = VX_ERR_JSON_INVALID;
    return false;
}

const char *router_public_pattern(struct arena *a, const char *pattern)
{
    char *out = arena_strdup(a, pattern);
    for (char *p = out; p && (p = strchr(p, '{')) != NULL;) {
        char *end = strchr(p, '}');
        if (!end)
            break;
        size_t n = (size_t)(end - p);
        size_t cut = n > 4 && memcmp(end - 4, ":int", 4) == 0  ? 4
                     : n > 3 && memcmp(end - 3, "...", 3) == 0 ? 3
                                                               : 0;
        memmove(end - cut, end, strlen(end) + 1);
        p = end - cut + 1;
    }
    return out;
}

void router_dispatch(const struct router *r, struct web_request *w, struct response *rs)
{
    struct request *rq = &w->rq;
    char allow[ALLOW_MAX];
    const char *method = strcmp(rq->method, "HEAD") == 0 ? "GET" : rq->method;
    const struct entry *e = find(r, w, w->n_segments, method, allow);
    if (!e) {
        if (w->app_fault == VX_ERR_BAD_CONFIG) { /* then the base path is not known either */
            response_fail(rs, w->app_fault);
            return;
        }
        if (!*allow && redirect_slash(r, w, rs))
            return;
        response_fail(rs, *allow ? VX_ERR_METHOD_NOT_ALLOWED : VX_ERR_NOT_FOUND);
        if (*allow)
            response_header(rs, "Allow", allow);
        return;
    }
    rq->route = e->route;
    if (w->app_fault && strcmp(e->route->pattern, "/health") != 0) {
        response_fail(rs, w->app_fault);
        return;
    }
    if (!access_check(e->route, rq, rs))
        return;
    if (!e->route->handler) {
        const char *pattern = router_public_pattern(rq->arena, e->route->pattern);
        response_fail_text(rs, VX_ERR_NOT_IMPLEMENTED, "%s %s is documented but not built",
                           e->route->method, pattern ? pattern : e->route->pattern);
        return;
    }
    if (!take_body(e->route, w, rs) || !check_contract(e, w, rs))
        return;
    if (w->idempotency_key)
        idempotency_run(w, rs);
    else
        e->route->handler(rq, rs);
}
