/* The one static route table: dispatch, scope checks, 405, /openapi.json, the reference page and
 * the test that walks every route all read it. */
#ifndef VX_ROUTES_H
#define VX_ROUTES_H

#include "handlers/http.h"

enum route_auth {
    AUTH_PUBLIC,
    AUTH_KEY,           /* X-API-Key or Bearer, and one of the scopes (0 = any valid key) */
    AUTH_ADMIN,         /* X-Admin-API-Key */
    AUTH_MEETING_TOKEN, /* the bot's token: Authorization: Bearer or X-Meeting-Token */
};

enum query_type { QUERY_STRING, QUERY_INT, QUERY_BOOL };

struct query_param {
    const char *name; /* NULL ends the list */
    enum query_type type;
    bool required;
    int64_t min, max; /* of QUERY_INT */
};

struct route {
    const char *method;
    const char *pattern; /* "/meetings/{meeting_id:int}"; "{path...}" takes the rest */
    handler_fn *handler; /* NULL = documented but not built: 501 */
    enum route_auth auth;
    unsigned scopes;                 /* any of enum scope_bits is enough */
    const char *contract;            /* body's contract, NULL = the body is not read */
    bool body_optional;              /* an absent or null body is fine */
    const struct query_param *query; /* NULL = none allowed */
    int success;
    const char *summary;
    /* A POST that creates: Idempotency-Key counts (fcgi/idempotency.h). Only for AUTH_KEY and
     * AUTH_ADMIN; its 2xx answers are JSON without headers of their own. */
    bool idempotent;
    const char *once; /* member of that answer that is never shown again (null), NULL = none */
};

/* Row i of the table, NULL past the end. Specific patterns stand before general ones. */
const struct route *route_at(size_t i);

#endif
