/* Reading the values of a JSON body that passed its contract, and refusing one by hand in the
 * 422 list form. Also the Python rendering of a list that an
 * error text holds. */
#ifndef VX_BODY_H
#define VX_BODY_H

#include "handlers/http.h"

/* o[key], NULL when absent or null. Borrowed. */
struct json_object *body_get(struct json_object *o, const char *key);
/* A whole number (1 and 1.0 alike) that fits int64; false for anything else. */
bool body_int(struct json_object *v, int64_t *out);
/* The text field `name` of the body: NULL when absent or null, else at most max characters.
 * false: the response is the 422 (not a string, too long). */
bool body_text(struct request *rq, struct response *rs, const char *name, size_t max,
               const char **out);
/* Makes the response a 422 list of one violation at [first, name] (name may be NULL). input and
 * ctx are taken over; ctx NULL = none. */
void refuse(struct request *rq, struct response *rs, const char *type, const char *msg,
            const char *first, const char *name, struct json_object *input,
            struct json_object *ctx);
/* {"key": value} for refuse()'s ctx. */
struct json_object *refuse_ctx(const char *key, int64_t value);
/* s, or a copy cut to at most max bytes between two characters; "" when out of memory. */
const char *text_cut(struct arena *a, const char *s, size_t max);
/* Python's repr() of a list of n strings: ['a', "it's"]. In the arena; NULL when out of memory. */
const char *python_list(struct arena *a, const char *const *s, size_t n);
/* Stored scopes "bot,tx" as an array in stored order. New reference, NULL when out of memory. */
struct json_object *scopes_json(struct arena *a, const char *scopes);

#endif
