/* A request and its response as handlers see them, whatever carried them (FastCGI, CGI). The web
 * side (fcgi/) fills a request and sends a response; handlers only read and fill. */
#ifndef VX_HTTP_H
#define VX_HTTP_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/instance.h"
#include "lib/meeting_token.h"
#include "lib/schema.h"
#include "lib/store.h"
#include "lib/store_users.h"

struct route;

/* What every handler may use; one for the process, read-only after start. */
struct app {
    const struct instance *in;
    const struct config *cfg;
    struct store *store;
};

struct http_pair {
    const char *name, *value;
};

#define HTTP_PATH_PARAMS 4

struct request {
    const struct app *app;
    struct arena *arena;   /* lives until the response was sent */
    struct store_conn *db; /* this worker's reader */
    const struct route *route;

    const char *method;                   /* as sent; HEAD is dispatched as GET */
    const char *path;                     /* raw path without query, base path removed */
    const char *params[HTTP_PATH_PARAMS]; /* path parameters, decoded once, in pattern order */
    int64_t int_params[HTTP_PATH_PARAMS]; /* those the pattern types as int */
    struct http_pair *query;              /* decoded, last of a repeated name wins, checked */
    size_t n_query;
    struct http_pair *headers; /* HTTP_* names turned back: "x-api-key"; values trimmed */
    size_t n_headers;
    const char *content_type; /* NULL when absent */
    const char *body;         /* raw bytes, NUL after them; "" when there is none */
    size_t body_len;
    struct json_object *json; /* body that passed the route's contract; NULL = null/no body */

    int64_t claim; /* of an idempotency key, 0 = none. A handler whose store function takes a struct
                      idempotency_keep keeps its answer with the work and sets kept */
    bool kept;

    struct identity who;          /* routes with AUTH_KEY */
    struct meeting_claims claims; /* routes with AUTH_MEETING_TOKEN */

    const char *request_id, *trace_id;
};

struct stream_spec; /* fcgi/hub reads it, handlers make it: handlers/stream_spec.h */

struct response {
    struct arena *arena; /* the request's */
    int status;          /* 200 when the handler sets nothing */
    struct http_pair headers[16];
    size_t n_headers;
    struct json_object *json; /* body; owned by the arena (response_json()) */
    const char *text;         /* or a ready body with its type, in the arena */
    size_t text_len;
    const char *content_type;
    /* an error: err != 0; the web side renders it */
    enum vx_err err;
    const char *detail;              /* NULL = the table's text */
    struct json_object *detail_list; /* 422 list; owned by the arena */
    struct json_object *extra; /* further members (required, limit, …); owned by the arena */
    const struct stream_spec *stream; /* an event stream instead of a body */
};

/* Value of a header by lower-case name, NULL when absent. */
const char *request_header(const struct request *rq, const char *name);
/* Query value, NULL when absent; as integer (already checked by the route's table) or def. */
const char *request_query(const struct request *rq, const char *name);
int64_t request_query_int(const struct request *rq, const char *name, int64_t def);
bool request_query_bool(const struct request *rq, const char *name, bool def);

/* Sets the JSON body (takes o over; NULL = no memory, gives 503) and the status. */
void response_json(struct response *rs, int status, struct json_object *o);
/* 204. */
void response_empty(struct response *rs);
void response_header(struct response *rs, const char *name, const char *value); /* value copied */
/* Turns the response into an error with the table's text, or with a text of its own. */
void response_fail(struct response *rs, enum vx_err err);
void response_fail_text(struct response *rs, enum vx_err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void response_fail_list(struct response *rs, const struct violations *v);
/* Adds a member to an error's body; takes value over. */
void response_extra(struct response *rs, const char *name, struct json_object *value);

typedef void handler_fn(struct request *rq, struct response *rs);

#endif
