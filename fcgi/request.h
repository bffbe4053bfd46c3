/* From FastCGI parameters to a struct request: method, path, query, headers, ids, body. Routes are
 * found by REQUEST_URI alone (SCRIPT_NAME and PATH_INFO differ between web servers), split before
 * it is decoded, and decoded once. */
#ifndef VX_FCGI_REQUEST_H
#define VX_FCGI_REQUEST_H

#include "fcgi/fcgx.h"
#include "handlers/http.h"

#define REQUEST_PATH_MAX     4096
#define REQUEST_QUERY_MAX    16384
#define REQUEST_PARAMS_MAX   64
#define REQUEST_HEADERS_MAX  100
#define REQUEST_SEGMENTS_MAX 128

/* What the web side knows beyond what handlers see. All memory is the request's arena. */
struct web_request {
    struct request rq;
    struct fcgx *fx;
    enum vx_err app_fault; /* the instance cannot work: what every route but /health answers */
    const char *base_path; /* "" or "/prefix", removed from the path */
    const char *raw_query; /* what stood after '?', NULL without one */
    const char *segments[REQUEST_SEGMENTS_MAX]; /* decoded; "/" is one empty segment */
    size_t n_segments;
    const char *query_fault; /* NULL, or why the query cannot be read: told after authentication */
    int64_t content_length;  /* as announced, -1 when not */
    const char *idempotency_key; /* checked and without quotes; NULL: none, or the route has no use
                                    for it */
};

/* Fills w->rq from the open request of w->fx; rq.app, rq.arena, rq.db, w->fx, w->app_fault are set
 * by the caller. Ids are set first, so that a failure can carry them. VX_OK, or the error and
 * *detail (NULL = the table's text). Reads no body. */
enum vx_err request_read(struct web_request *w, const char **detail);

/* Reads the body into rq.body. VX_OK, VX_ERR_PAYLOAD_TOO_LARGE past limit, VX_ERR_BAD_REQUEST when
 * it ended early. */
enum vx_err request_read_body(struct web_request *w, size_t limit);

/* rq.content_type names a type whose body we read as JSON (absent, JSON, and what curl -d says). */
bool request_type_is_json(const struct request *rq);

#endif
