/* API keys as the admin sees them (spec/gateway-identity.md §2.3, §3). The key itself is in one
 * answer, that of its minting; the store keeps a hash. */
#include <string.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/py_text.h"
#include "lib/secret.h"

#define NAME_MAX_CHARS 255
#define SCOPES_MAX     100
#define EXPIRES_MAX    315360000 /* ten years of seconds */
#define KEY_RANDOM     32

struct scope_list {
    const char *s[SCOPES_MAX];
    size_t n;
    bool overflow;
};

static bool scope_is_valid(const char *s)
{
    return strcmp(s, "bot") == 0 || strcmp(s, "tx") == 0 || strcmp(s, "browser") == 0;
}

static void scope_add(struct scope_list *l, const char *s)
{
    if (l->n == SCOPES_MAX)
        l->overflow = true;
    else
        l->s[l->n++] = s;
}

/* The body's array: trimmed, blanks dropped. false = out of memory or not strings. */
static bool scopes_of_array(struct arena *a, struct json_object *list, struct scope_list *out)
{
    for (size_t i = 0; i < json_object_array_length(list) && !out->overflow; i++) {
        struct json_object *v = json_object_array_get_idx(list, i);
        const char *s = json_object_is_type(v, json_type_string)
                            ? py_strip(a, json_object_get_string(v))
                            : NULL;
        if (s == NULL)
            return false;
        if (*s != '\0')
            scope_add(out, s);
    }
    return true;
}

/* The query's comma list: trimmed, blanks dropped. false = out of memory. */
static bool scopes_of_text(struct arena *a, const char *text, struct scope_list *out)
{
    while (*text != '\0' && !out->overflow) {
        size_t n = strcspn(text, ",");
        const char *piece = arena_strndup(a, text, n);
        const char *s = piece != NULL ? py_strip(a, piece) : NULL;
        if (s == NULL)
            return false;
        if (*s != '\0')
            scope_add(out, s);
        text += n + (text[n] == ',');
    }
    return true;
}

/* Body, then query `scopes`, then query `scope`, then "bot". */
static bool resolve_scopes(struct request *rq, struct response *rs, struct scope_list *out)
{
    struct json_object *list = body_get(rq->json, "scopes");
    const char *many = request_query(rq, "scopes");
    const char *one = request_query(rq, "scope");
    bool ok = true;
    *out = (struct scope_list){0};
    if (list != NULL && !json_object_is_type(list, json_type_array)) {
        refuse(rq, rs, "list_type", "Input should be a valid list", "body", "scopes",
               json_object_get(list), NULL);
        return false;
    }
    if (list != NULL)
        ok = scopes_of_array(rq->arena, list, out);
    else if (many != NULL)
        ok = scopes_of_text(rq->arena, many, out);
    else
        scope_add(out, one != NULL ? one : "bot");
    if (!ok) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return false;
    }
    if (out->overflow) {
        response_fail_text(rs, VX_ERR_INVALID_SCOPE, "scopes must not be more than %d", SCOPES_MAX);
        return false;
    }
    if (out->n == 0) {
        response_fail_text(rs, VX_ERR_INVALID_SCOPE, "scopes must not be empty");
        return false;
    }
    const char *bad[SCOPES_MAX];
    size_t n_bad = 0;
    for (size_t i = 0; i < out->n; i++)
        if (!scope_is_valid(out->s[i]))
            bad[n_bad++] = out->s[i];
    if (n_bad == 0)
        return true;
    const char *list_text = python_list(rq->arena, bad, n_bad);
    response_fail_text(rs, VX_ERR_INVALID_SCOPE,
                       "Invalid scope(s): %s. Valid: ['bot', 'browser', 'tx']",
                       list_text != NULL ? list_text : "[…]");
    return false;
}

/* *expires_ms 0 = never. A value that cannot be meant is refused: an expiry that silently
 * becomes "never" would be a key that lives too long. */
static bool resolve_expiry(struct request *rq, struct response *rs, int64_t *expires_ms)
{
    static const char name[] = "expires_in";
    struct json_object *v = body_get(rq->json, name);
    const char *first = v != NULL ? "body" : "query";
    int64_t seconds;
    *expires_ms = 0;
    if (v == NULL && request_query(rq, name) == NULL)
        return true;
    if (v == NULL) {
        seconds = request_query_int(rq, name, 0);
    } else if (!body_int(v, &seconds)) {
        refuse(rq, rs, "int_type", "Input should be a valid integer", first, name,
               json_object_get(v), NULL);
        return false;
    }
    struct json_object *input =
        v != NULL ? json_object_get(v) : json_object_new_string(request_query(rq, name));
    if (seconds <= 0) {
        refuse(rq, rs, "greater_than", "Input should be greater than 0", first, name, input,
               refuse_ctx("gt", 0));
        return false;
    }
    if (seconds > EXPIRES_MAX) {
        refuse(rq, rs, "less_than_equal", "Input should be less than or equal to 315360000", first,
               name, input, refuse_ctx("le", EXPIRES_MAX));
        return false;
    }
    json_object_put(input);
    *expires_ms = clock_now_ms() + seconds * 1000;
    return true;
}

static bool resolve_name(struct request *rq, struct response *rs, const char **name)
{
    if (!body_text(rq, rs, "name", NAME_MAX_CHARS, name))
        return false;
    if (*name != NULL)
        return true;
    *name = request_query(rq, "name");
    if (*name == NULL || py_len(*name) <= NAME_MAX_CHARS)
        return true;
    refuse(rq, rs, "string_too_long", "String should have at most 255 characters", "query", "name",
           json_object_new_string(*name), refuse_ctx("max_length", NAME_MAX_CHARS));
    return false;
}

/* "bot,tx" in the arena; NULL when out of memory. */
static const char *join_scopes(struct arena *a, const struct scope_list *l)
{
    struct buf b;
    buf_init(&b, 1024);
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            buf_append_char(&b, ',');
        buf_append_str(&b, l->s[i]);
    }
    const char *out = b.failed ? NULL : arena_strdup(a, b.data);
    buf_free(&b);
    return out;
}

/* The minted key's answer; key NULL shows none. */
static struct json_object *minted(struct arena *a, int64_t id, const char *key, int64_t user_id,
                                  const char *scopes)
{
    struct json_object *o = json_object_new_object();
    if (o == NULL)
        return NULL;
    int bad = json_put_int(o, "id", id);
    bad |= json_put_str(o, "token", key);
    bad |= json_put_int(o, "user_id", user_id);
    bad |= json_put(o, "scopes", scopes_json(a, scopes));
    if (bad != 0) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

struct mint {
    struct arena *a;
    int64_t id, user_id;
    const char *scopes;
};

/* What is kept for an idempotency key: never the key itself. */
static const char *minted_text(void *ctx)
{
    const struct mint *m = ctx;
    struct json_object *o = arena_own_json(m->a, minted(m->a, m->id, NULL, m->user_id, m->scopes));
    return o != NULL ? json_text(o) : NULL;
}

void handle_token_create(struct request *rq, struct response *rs)
{
    int64_t user_id = rq->int_params[0], expires_ms;
    const char *name;
    struct scope_list scopes;
    struct user u;

    if (!resolve_expiry(rq, rs, &expires_ms) || !resolve_name(rq, rs, &name))
        return;
    /* The user's 404 comes before the 422 of a scope (errors page, "Authentication / admin"). */
    enum vx_err err = store_user_by_id(rq->db, rq->arena, user_id, &u);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    if (!resolve_scopes(rq, rs, &scopes))
        return;
    const char *joined = join_scopes(rq->arena, &scopes);
    char random[KEY_RANDOM + 1];
    if (joined == NULL || secret_alnum(random, KEY_RANDOM) != 0) {
        response_fail(rs, joined == NULL ? VX_ERR_NO_MEMORY : VX_ERR_SYSTEM);
        return;
    }
    const char *key = arena_printf(rq->arena, "vxa_%s_%s", scopes.s[0], random);
    if (key == NULL) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    struct mint m = {.a = rq->arena, .user_id = user_id, .scopes = joined};
    struct idempotency_keep keep = {rq->claim, 201, minted_text, &m};
    err = store_token_create(rq->app->store, user_id, key, joined, name, expires_ms, &m.id,
                             rq->claim ? &keep : NULL);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    rq->kept = rq->claim != 0;
    response_header(rs, "Cache-Control", "no-store");
    response_json(rs, 201, minted(rq->arena, m.id, key, user_id, joined));
}

static struct json_object *token_row(struct arena *a, const struct token *t)
{
    struct json_object *o = json_object_new_object();
    if (o == NULL)
        return NULL;
    int bad = json_put_int(o, "id", t->id);
    bad |= json_put_int(o, "user_id", t->user_id);
    bad |= json_put(o, "scopes", scopes_json(a, t->scopes));
    bad |= json_put_str(o, "name", t->name);
    bad |= json_put_time(o, "created_at", t->created_ms);
    bad |= json_put_time(o, "last_used_at", t->last_used_ms);
    bad |= json_put_time(o, "expires_at", t->expires_ms);
    if (bad != 0) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

void handle_token_list(struct request *rq, struct response *rs)
{
    struct token *t;
    size_t n;
    enum vx_err err = store_token_list(rq->db, rq->arena, rq->int_params[0], &t, &n);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; list != NULL && i < n; i++) {
        struct json_object *row = token_row(rq->arena, &t[i]);
        if (row == NULL || json_object_array_add(list, row) != 0) {
            json_object_put(row);
            json_object_put(list);
            list = NULL;
        }
    }
    response_json(rs, 200, list);
}

void handle_token_delete(struct request *rq, struct response *rs)
{
    enum vx_err err = store_token_delete(rq->app->store, rq->int_params[0]);
    if (err != VX_OK)
        response_fail(rs, err);
    else
        response_empty(rs);
}
