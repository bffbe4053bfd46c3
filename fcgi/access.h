/* Who may call a route: API key and scopes, the admin token, a meeting's token. */
#ifndef VX_ACCESS_H
#define VX_ACCESS_H

#include "handlers/http.h"
#include "handlers/routes.h"

/* Fills rq->who or rq->claims. False: rs holds the refusal (401, 403, or 503 when the store cannot
 * tell: a fault of ours is never the caller's key). */
bool access_check(const struct route *route, struct request *rq, struct response *rs);

#endif
