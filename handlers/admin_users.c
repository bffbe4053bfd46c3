/* /admin/users: find or create, read, change (spec/gateway-identity.md §2.2). An answer never
 * shows a secret that some other route stored in the user's data. */
#include <string.h>
#include <strings.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "handlers/meeting_json.h"
#include "lib/json_scan.h"

#define EMAIL_MAX      255
#define NAME_MAX_CHARS 100
#define DEFAULT_BOTS   3
#define MAX_BOTS       INT32_MAX
#define DATA_MAX       16384
#define REDACT_DEPTH   64

/* Calendar feed addresses carry their secret in the path. */
static bool user_key_is_secret(const char *key)
{
    return data_key_is_secret(key) || strcasecmp(key, "ics_url") == 0 ||
           strcasecmp(key, "calendar_ics_url") == 0;
}

static int redact_into(struct json_object *from, int depth, struct json_object **out);

static int redact_object(struct json_object *from, int depth, struct json_object *to)
{
    json_object_object_foreach(from, key, value)
    {
        struct json_object *v = NULL;
        if (user_key_is_secret(key))
            continue;
        if (redact_into(value, depth, &v) != 0)
            return -1;
        if (json_object_object_add(to, key, v) != 0) {
            json_object_put(v);
            return -1;
        }
    }
    return 0;
}

static int redact_array(struct json_object *from, int depth, struct json_object *to)
{
    for (size_t i = 0; i < json_object_array_length(from); i++) {
        struct json_object *v = NULL;
        if (redact_into(json_object_array_get_idx(from, i), depth, &v) != 0)
            return -1;
        if (json_object_array_add(to, v) != 0) {
            json_object_put(v);
            return -1;
        }
    }
    return 0;
}

/* A copy of from without secret keys at any depth; plain values are shared. */
static int redact_into(struct json_object *from, int depth, struct json_object **out)
{
    bool object = json_object_is_type(from, json_type_object);
    if (!object && !json_object_is_type(from, json_type_array)) {
        *out = json_object_get(from);
        return 0;
    }
    if (depth <= 0)
        return -1;
    struct json_object *to = object ? json_object_new_object() : json_object_new_array();
    if (to == NULL)
        return -1;
    int bad = object ? redact_object(from, depth - 1, to) : redact_array(from, depth - 1, to);
    if (bad != 0) {
        json_object_put(to);
        return -1;
    }
    *out = to;
    return 0;
}

/* Answers with the UserResponse. */
static void respond_user(struct request *rq, struct response *rs, int status, const struct user *u)
{
    struct json_object *stored, *data = NULL;
    enum vx_err err = stored_object(rq->arena, u->data, "user", u->id, &stored);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    struct json_object *o = json_object_new_object();
    if (o == NULL || redact_into(stored, REDACT_DEPTH, &data) != 0) {
        json_object_put(o);
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    int bad = json_put_int(o, "id", u->id);
    bad |= json_put_str(o, "email", u->email);
    bad |= json_put_str(o, "name", u->name);
    bad |= json_put_int(o, "max_concurrent_bots", u->max_concurrent_bots);
    bad |= json_put(o, "data", data);
    if (bad != 0) {
        json_object_put(o);
        o = NULL;
    }
    response_json(rs, status, o);
}

/* max_concurrent_bots of the body: def when absent or null. false: refused. */
static bool body_max_bots(struct request *rq, struct response *rs, int64_t def, int64_t *out)
{
    static const char name[] = "max_concurrent_bots";
    struct json_object *v = body_get(rq->json, name);
    *out = def;
    if (v == NULL)
        return true;
    if (!body_int(v, out))
        refuse(rq, rs, "int_type", "Input should be a valid integer", "body", name,
               json_object_get(v), NULL);
    else if (*out < 0)
        refuse(rq, rs, "greater_than_equal", "Input should be greater than or equal to 0", "body",
               name, json_object_get(v), refuse_ctx("ge", 0));
    else if (*out > MAX_BOTS)
        refuse(rq, rs, "less_than_equal", "Input should be less than or equal to 2147483647",
               "body", name, json_object_get(v), refuse_ctx("le", MAX_BOTS));
    else
        return true;
    return false;
}

void handle_user_create(struct request *rq, struct response *rs)
{
    const char *email, *name;
    int64_t max_bots;
    if (!body_text(rq, rs, "email", EMAIL_MAX, &email) ||
        !body_text(rq, rs, "name", NAME_MAX_CHARS, &name) ||
        !body_max_bots(rq, rs, DEFAULT_BOTS, &max_bots))
        return;
    if (email == NULL) {
        refuse(rq, rs, "missing", "Field required", "body", "email", json_object_get(rq->json),
               NULL);
        return;
    }
    struct user u;
    bool created;
    enum vx_err err =
        store_user_create(rq->app->store, rq->arena, email, name, max_bots, &u, &created);
    if (err != VX_OK)
        response_fail(rs, err);
    else
        respond_user(rq, rs, created ? 201 : 200, &u);
}

void handle_user_get(struct request *rq, struct response *rs)
{
    struct user u;
    enum vx_err err = store_user_by_id(rq->db, rq->arena, rq->int_params[0], &u);
    if (err != VX_OK)
        response_fail(rs, err);
    else
        respond_user(rq, rs, 200, &u);
}

void handle_user_by_email(struct request *rq, struct response *rs)
{
    struct user u;
    enum vx_err err = store_user_by_email(rq->db, rq->arena, rq->params[0], &u);
    if (err != VX_OK)
        response_fail(rs, err);
    else
        respond_user(rq, rs, 200, &u);
}

void handle_user_update(struct request *rq, struct response *rs)
{
    int64_t max_bots;
    if (!body_max_bots(rq, rs, -1, &max_bots))
        return;
    struct json_object *data = body_get(rq->json, "data");
    if (data != NULL && !json_object_is_type(data, json_type_object)) {
        refuse(rq, rs, "model_attributes_type",
               "Input should be a valid dictionary or object to extract fields from", "body",
               "data", json_object_get(data), NULL);
        return;
    }
    if (data != NULL && json_object_object_length(data) == 0)
        data = NULL;
    if (max_bots < 0 && data == NULL) {
        struct json_object *ctx = json_object_new_object();
        if (ctx == NULL || json_put(ctx, "error", json_object_new_object()) != 0) {
            json_object_put(ctx);
            response_fail(rs, VX_ERR_NO_MEMORY);
            return;
        }
        refuse(rq, rs, "value_error", "Value error, at least one user field must be supplied",
               "body", NULL, json_object_get(rq->json), ctx);
        return;
    }
    const char *text = NULL;
    enum vx_err err = VX_OK;
    if (data != NULL) {
        text = json_text(data);
        if (text == NULL)
            err = VX_ERR_NO_MEMORY;
        else if (strlen(text) > DATA_MAX)
            err = VX_ERR_PAYLOAD_TOO_LARGE;
    }
    struct user u;
    if (err == VX_OK)
        err = store_user_update(rq->app->store, rq->arena, rq->int_params[0], max_bots, text, &u);
    if (err == VX_ERR_PAYLOAD_TOO_LARGE) {
        /* The stored object counts as well, so the limit is of data, not of the request. */
        response_fail_text(rs, err, "data is larger than %d bytes", DATA_MAX);
        response_extra(rs, "limit", json_object_new_int(DATA_MAX));
    } else if (err != VX_OK) {
        response_fail(rs, err);
    } else {
        respond_user(rq, rs, 200, &u);
    }
}
