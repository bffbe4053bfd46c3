/* Authentication and scope, in this order: 401, then 403. */
#include "fcgi/access.h"

#include <string.h>
#include <strings.h>

#include "lib/clock.h"
#include "lib/secret.h"

#define KEY_MAX 4096 /* longer than any key or token of ours */

/* The token of "Authorization: Bearer <token>", NULL when there is none. */
static const char *bearer(const struct request *rq)
{
    const char *h = request_header(rq, "authorization");
    if (!h || strncasecmp(h, "Bearer", 6) != 0 || (h[6] != ' ' && h[6] != '\t'))
        return NULL;
    h += 6 + strspn(h + 6, " \t");
    return *h ? h : NULL;
}

/* A header's value, or the bearer token; empty counts as missing. */
static const char *credential(const struct request *rq, const char *header)
{
    const char *v = request_header(rq, header);
    return v && *v ? v : bearer(rq);
}

static bool refuse(struct response *rs, enum vx_err err)
{
    response_fail(rs, err);
    return false;
}

/* The names of scope bits, as an array. NULL = no memory. */
static struct json_object *names_of_bits(unsigned bits)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{SCOPE_BOT, "bot"}, {SCOPE_TX, "tx"}, {SCOPE_BROWSER, "browser"}};
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; list && i < sizeof names / sizeof *names; i++)
        if (bits & names[i].bit)
            json_object_array_add(list, json_object_new_string(names[i].name));
    return list;
}

/* "bot,tx" as an array: order and duplicates as minted. NULL = no memory. */
static struct json_object *names_of_text(const char *scopes)
{
    struct json_object *list = json_object_new_array();
    for (const char *p = scopes ? scopes : ""; list && *p;) {
        size_t n = strcspn(p, ",");
        if (n > 0)
            json_object_array_add(list, json_object_new_string_len(p, (int)n));
        p += n + (p[n] == ',');
    }
    return list;
}

static bool check_key(const struct route *route, struct request *rq, struct response *rs)
{
    const char *key = credential(rq, "x-api-key");
    if (!key)
        return refuse(rs, VX_ERR_MISSING_API_KEY);
    if (strlen(key) > KEY_MAX)
        return refuse(rs, VX_ERR_INVALID_API_KEY);
    enum vx_err err = store_token_identify(rq->db, rq->arena, key, &rq->who);
    if (err)
        return refuse(rs, err);
    if (route->scopes && !(route->scopes & rq->who.scope_bits)) {
        response_fail(rs, VX_ERR_INSUFFICIENT_SCOPE);
        response_extra(rs, "required", names_of_bits(route->scopes));
        response_extra(rs, "granted", names_of_text(rq->who.scopes));
        return false;
    }
    return true;
}

static bool check_admin(struct request *rq, struct response *rs)
{
    const char *token = config_str(rq->app->cfg, CFG_SERVER_ADMIN_TOKEN);
    const char *sent = request_header(rq, "x-admin-api-key");
    if (!*token || !sent || !*sent || strlen(sent) > KEY_MAX || !secret_equal(token, sent))
        return refuse(rs, VX_ERR_INVALID_ADMIN_TOKEN);
    return true;
}

static bool check_meeting_token(struct request *rq, struct response *rs)
{
    const char *key = config_str(rq->app->cfg, CFG_SERVER_SIGNING_KEY);
    const char *token = credential(rq, "x-meeting-token");
    if (!token)
        return refuse(rs, VX_ERR_MISSING_MEETING_TOKEN);
    if (!*key || strlen(token) > KEY_MAX)
        return refuse(rs, VX_ERR_INVALID_MEETING_TOKEN);
    enum vx_err err =
        meeting_token_verify(rq->arena, key, token, clock_now_ms() / 1000, &rq->claims);
    return err ? refuse(rs, err) : true;
}

bool access_check(const struct route *route, struct request *rq, struct response *rs)
{
    switch (route->auth) {
    case AUTH_PUBLIC:
        return true;
    case AUTH_KEY:
        return check_key(route, rq, rs);
    case AUTH_ADMIN:
        return check_admin(rq, rs);
    case AUTH_MEETING_TOKEN:
        return check_meeting_token(rq, rs);
    }
    return refuse(rs, VX_ERR_INTERNAL); /* a route without a rule is closed */
}
