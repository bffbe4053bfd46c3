/* Idempotency-Key on the routes whose row says so: the handler runs once for a key, and who repeats
 * the request gets the answer that was kept. Scope of a key: user (0 for the admin), method, path.
 * Only 2xx answers are kept; what the row shows once is kept as null. */
#ifndef VX_FCGI_IDEMPOTENCY_H
#define VX_FCGI_IDEMPOTENCY_H

#include "fcgi/request.h"
#include "handlers/http.h"

#define IDEMPOTENCY_KEY_MAX 255

/* The header's value, bare or in double quotes (the same key either way): 1 to 255 printable ASCII
 * characters. *key NULL when it is absent or malformed; then v has one more. */
enum vx_err idempotency_read_key(struct request *rq, struct violations *v, const char **key);
/* Runs the route's handler under w->idempotency_key, or answers in its place: the kept answer with
 * Idempotency-Replayed: true, 422 for another body, 409 while the first request runs. */
void idempotency_run(struct web_request *w, struct response *rs);

#endif
