/* One handler run for a key: see idempotency.h. The row is claimed before the work and ended after
 * it, so a responder that dies in between leaves the key in progress until its lease ends. A
 * handler may keep its answer with the work (struct request, claim): then there is no in between.
 */
#include "fcgi/idempotency.h"

#include <string.h>

#include "handlers/routes.h"
#include "lib/json_scan.h"
#include "lib/log.h"
#include "lib/secret.h"
#include "lib/store_idempotency.h"

static const char header_name[] = "idempotency-key";
static const char shown_name[] = "Idempotency-Key";

static bool is_printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
            return false;
    return true;
}

/* Takes the quotes and the escapes of an RFC 8941 string away. false: it is not one. */
static bool unquote(const char *s, char *out)
{
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && *++s != '"' && *s != '\\')
            return false;
        *out++ = *s;
    }
    *out = '\0';
    return s[0] == '"' && s[1] == '\0';
}

/* One violation at the header; the value is shown as far as it is text. */
static enum vx_err refuse_key(struct arena *a, struct violations *v, const char *type,
                              const char *msg, const char *limit, int64_t value, const char *text)
{
    struct json_object *ctx = NULL;
    struct json_object *input =
        is_printable(text) ? arena_own_json(a, json_object_new_string(text)) : NULL;
    if (limit) {
        ctx = arena_own_json(a, json_object_new_object());
        if (!ctx || json_put_int(ctx, limit, value))
            return VX_ERR_NO_MEMORY;
    }
    return violation_add(a, v, type, msg, "header", shown_name, input, ctx);
}

enum vx_err idempotency_read_key(struct request *rq, struct violations *v, const char **key)
{
    const char *text = request_header(rq, header_name);
    *key = NULL;
    if (!text)
        return VX_OK;
    char *plain = arena_strdup(rq->arena, text);
    if (!plain)
        return VX_ERR_NO_MEMORY;
    if (!is_printable(text) || (*text == '"' && !unquote(text, plain)))
        return refuse_key(rq->arena, v, "value_error",
                          "Value error, only printable ASCII characters are allowed, bare or in "
                          "double quotes",
                          NULL, 0, text);
    if (!*plain)
        return refuse_key(rq->arena, v, "string_too_short",
                          "String should have at least 1 character", "min_length", 1, text);
    if (strlen(plain) > IDEMPOTENCY_KEY_MAX)
        return refuse_key(rq->arena, v, "string_too_long",
                          "String should have at most 255 characters", "max_length",
                          IDEMPOTENCY_KEY_MAX, text);
    *key = plain;
    return VX_OK;
}

/* SHA-256 of the raw body; a query (minting reads some) is hashed together with that. */
static enum vx_err fingerprint_of(const struct web_request *w, unsigned char out[SECRET_SHA256])
{
    const struct request *rq = &w->rq;
    if (secret_sha256(rq->body, rq->body_len, out))
        return VX_ERR_SYSTEM;
    size_t n = w->raw_query ? strlen(w->raw_query) : 0;
    if (n == 0)
        return VX_OK;
    char *both = arena_alloc(rq->arena, SECRET_SHA256 + n);
    if (!both)
        return VX_ERR_NO_MEMORY;
    memcpy(both, out, SECRET_SHA256);
    memcpy(both + SECRET_SHA256, w->raw_query, n);
    return secret_sha256(both, SECRET_SHA256 + n, out) ? VX_ERR_SYSTEM : VX_OK;
}

/* The answer without what is shown once. NULL = no memory. */
static const char *kept_text(struct arena *a, struct json_object *answer, const char *once)
{
    if (!once)
        return json_text(answer);
    struct json_object *copy = arena_own_json(a, json_object_new_object());
    int bad = !copy;
    json_object_object_foreach(answer, name, value)
    {
        if (bad)
            break;
        bad |= strcmp(name, once) == 0 ? json_put_null(copy, name)
                                       : json_put(copy, name, json_object_get(value));
    }
    return bad ? NULL : json_text(copy);
}

/* Ends the claim by what the handler answered. That answer stands whatever happens here: the work
 * is done. A row that could not be ended is in progress until its lease is over. */
static void end_claim(const struct request *rq, const struct response *rs)
{
    int64_t claim = rq->claim;
    struct store *st = rq->app->store;
    bool keep = !rs->err && !rs->stream && rs->status >= 200 && rs->status < 300;
    const char *text = "";
    if (keep && rs->json)
        text = kept_text(rs->arena, rs->json, rq->route->once);
    enum vx_err err = !keep  ? store_idempotency_free(st, claim)
                      : text ? store_idempotency_keep(st, claim, rs->status, text)
                             : VX_ERR_NO_MEMORY;
    if (err)
        log_event(LOG_WARN_, "idempotency_key_not_ended", "code", vx_err_info(err)->code, "route",
                  rq->route->pattern, NULL);
}

void idempotency_run(struct web_request *w, struct response *rs)
{
    struct request *rq = &w->rq;
    struct idempotency_scope scope = {
        .user_id = rq->route->auth == AUTH_KEY ? rq->who.user_id : 0,
        .method = rq->method,
        .path = rq->path,
        .key = w->idempotency_key,
    };
    unsigned char fingerprint[SECRET_SHA256];
    struct idempotency_outcome out;
    enum vx_err err = fingerprint_of(w, fingerprint);
    if (!err)
        err = store_idempotency_claim(rq->app->store, rq->db, rq->arena, &scope, fingerprint, &out);
    if (err) {
        response_fail(rs, err);
        return;
    }
    if (out.claim) {
        rq->claim = out.claim;
        rq->route->handler(rq, rs);
        if (!rq->kept)
            end_claim(rq, rs);
        return;
    }
    rs->status = out.status;
    rs->text = out.body ? out.body : "";
    rs->text_len = strlen(rs->text);
    response_header(rs, "Idempotency-Replayed", "true");
}
