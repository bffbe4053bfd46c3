/* From a request to a filled response: finds the route in the table of handlers/routes.h and makes
 * the checks in their one order: 404/405, trailing slash, 401, 403, 501, 413/415, 422, idempotency
 * key, handler. */
#ifndef VX_ROUTER_H
#define VX_ROUTER_H

#include "fcgi/request.h"
#include "handlers/http.h"
#include "handlers/routes.h"

struct router;

/* Splits the patterns of the table once. VX_ERR_INTERNAL for a pattern that cannot be read. */
enum vx_err router_new(struct router **out);
void router_free(struct router *r);
/* Always fills rs. Sets w->rq.route once a route was found. */
void router_dispatch(const struct router *r, struct web_request *w, struct response *rs);
/* The pattern without the types of its parameters: "/meetings/{meeting_id}". NULL = no memory. */
const char *router_public_pattern(struct arena *a, const char *pattern);

#endif
