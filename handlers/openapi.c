/* GET /openapi.json: OpenAPI 3.1 made of the route table and the contracts, so that it cannot
 * differ from what is dispatched and checked. Only what neither knows stands here: what a handler
 * answers with. */
#include "handlers/handlers.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "handlers/routes.h"
#include "lib/contracts.h"
#include "lib/json_scan.h"

#ifndef VEXA_VERSION
#define VEXA_VERSION "0"
#endif

#define PATH_TEXT_MAX 256
#define REF_MAX       128
#define DEPTH_MAX     32 /* of a contract */

static const char schemas_ref[] = "#/components/schemas/";
static const char responses_ref[] = "#/components/responses/";
static const char event_stream[] = "text/event-stream";
static const char poll_contract[] = "stream.poll.v1"; /* the answer to ?wait= */

/* What a handler answers with when all is well, and errors of its own. */
static const struct answer {
    handler_fn *handler;
    const char *contract; /* of the success body, NULL = none */
    const char *media;    /* NULL = application/json */
    int also;             /* another success status, 0 = none */
    const char *also_contract;
    int errors[4];
} answers[] = {
    {handle_health, "health.v1", NULL, 0, NULL, {0}},
    {handle_ready, "ready.v1", NULL, 0, NULL, {0}},
    {handle_auth_me, "auth.me.v1", NULL, 0, NULL, {0}},
    {handle_user_create, "user.v1", NULL, 200, "user.v1", {0}},
    {handle_user_get, "user.v1", NULL, 0, NULL, {0}},
    {handle_user_by_email, "user.v1", NULL, 0, NULL, {0}},
    {handle_user_update, "user.v1", NULL, 0, NULL, {0}},
    {handle_token_create, "token.created.v1", NULL, 0, NULL, {0}},
    {handle_token_list, "tokens.v1", NULL, 0, NULL, {0}},
    {handle_bot_create, "meeting.v1", NULL, 0, NULL, {409, 429, 501}},
    {handle_bot_stop, NULL, NULL, 200, "bots.stop.v1", {422}},
    {handle_bot_chat, "bots.chat.v1", NULL, 0, NULL, {0}},
    {handle_bots_status, "bots.status.v1", NULL, 0, NULL, {0}},
    {handle_meeting_list, "meetings.v1", NULL, 0, NULL, {0}},
    {handle_meeting_get, "meeting.v1", NULL, 0, NULL, {0}},
    {handle_meeting_delete, NULL, NULL, 0, NULL, {409}},
    {handle_meeting_delete_by_native, "meeting.deleted.v1", NULL, 0, NULL, {409}},
    {handle_transcript_by_id, "transcript.v1", NULL, 0, NULL, {0}},
    {handle_transcript_get, "transcript.v1", NULL, 0, NULL, {0}},
    {handle_bot_callback, "lifecycle.accepted.v1", NULL, 0, NULL, {409}},
    {handle_bot_transcripts, "transcripts.accepted.v1", NULL, 0, NULL, {404}},
    {handle_bot_commands, poll_contract, event_stream, 0, NULL, {0}},
    {handle_meeting_stream, poll_contract, event_stream, 0, NULL, {0}},
    {handle_workspace_tree, "workspace.tree.v1", NULL, 0, NULL, {0}},
    {handle_workspace_file, "workspace.file.v1", NULL, 0, NULL, {400, 404, 413}},
    {handle_workspace_git, "workspace.git.v1", NULL, 0, NULL, {0}},
    {handle_workspace_git_show, "workspace.commit.v1", NULL, 0, NULL, {400}},
    {handle_workspace_init, "workspace.made.v1", NULL, 0, NULL, {0}},
    {handle_feed, poll_contract, event_stream, 0, NULL, {404}},
};

/* Statuses that errors of any route may have; each is one entry of components/responses. */
static const int error_statuses[] = {400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 501, 503};

/* Building never checks each step: a step that fails leaves its mark here. */
struct build {
    bool failed;
};

static struct json_object *new_object(struct build *b)
{
    struct json_object *o = json_object_new_object();

    b->failed |= o == NULL;
    return o;
}

static struct json_object *new_array(struct build *b)
{
    struct json_object *o = json_object_new_array();

    b->failed |= o == NULL;
    return o;
}

/* Takes value over. */
static void put(struct build *b, struct json_object *o, const char *key, struct json_object *value)
{
    b->failed |= json_put(o, key, value) != 0;
}

static void put_text(struct build *b, struct json_object *o, const char *key, const char *text)
{
    b->failed |= json_put_str(o, key, text) != 0;
}

/* Takes value over. */
static void append(struct build *b, struct json_object *array, struct json_object *value)
{
    if (value != NULL && array != NULL && json_object_array_add(array, value) == 0)
        return;
    json_object_put(value);
    b->failed = true;
}

/* {"$ref": place + name} */
static struct json_object *ref(struct build *b, const char *place, const char *name)
{
    struct json_object *o = new_object(b);
    char text[REF_MAX];

    snprintf(text, sizeof text, "%s%s", place, name);
    put_text(b, o, "$ref", text);
    return o;
}

/* ---- components ---- */

/* Rewrites the $refs of a contract's copy: "#/$defs/x" becomes the component "name.x", the file
 * "other.json" the component "other". */
static void move_refs(struct build *b, struct json_object *o, const char *name, int depth)
{
    const char *old = json_get_str(o, "$ref");
    char text[REF_MAX];

    if (depth > DEPTH_MAX) {
        b->failed = true;
        return;
    }
    if (old != NULL && strncmp(old, "#/$defs/", 8) == 0) {
        snprintf(text, sizeof text, "%s%s.%s", schemas_ref, name, old + 8);
        put_text(b, o, "$ref", text);
    } else if (old != NULL) {
        snprintf(text, sizeof text, "%s%.*s", schemas_ref, (int)(strlen(old) - strlen(".json")),
                 old);
        put_text(b, o, "$ref", text);
    }
    if (json_object_is_type(o, json_type_object)) {
        json_object_object_foreach(o, key, member)
        {
            (void)key;
            move_refs(b, member, name, depth + 1);
        }
    } else if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o); i++)
            move_refs(b, json_object_array_get_idx(o, i), name, depth + 1);
    }
}

/* Adds a copy of the contract, and each of its $defs beside it. The contract itself belongs to all
 * threads and is only read. */
static void add_contract(struct build *b, struct json_object *schemas, const char *name)
{
    struct json_object *copy = NULL, *defs;
    char text[REF_MAX];

    if (json_object_deep_copy(contract_find(name), &copy, NULL) != 0) {
        b->failed = true;
        return;
    }
    move_refs(b, copy, name, 0);
    json_object_object_del(copy, "$schema");
    json_object_object_del(copy, "$id");
    if (json_object_object_get_ex(copy, "$defs", &defs)) {
        json_object_object_foreach(defs, key, def)
        {
            snprintf(text, sizeof text, "%s.%s", name, key);
            put(b, schemas, text, json_object_get(def));
        }
        json_object_object_del(copy, "$defs");
    }
    put(b, schemas, name, copy);
}

static struct json_object *make_schemas(struct build *b)
{
    struct json_object *schemas = new_object(b);
    const char *name;

    for (size_t i = 0; (name = contract_name(i)) != NULL; i++)
        add_contract(b, schemas, name);
    return schemas;
}

/* content[media] = {"schema": …}; contract NULL = a text. */
static void add_media(struct build *b, struct json_object *content, const char *media,
                      const char *contract)
{
    struct json_object *body = new_object(b), *schema;

    if (contract != NULL) {
        schema = ref(b, schemas_ref, contract);
    } else {
        schema = new_object(b);
        put_text(b, schema, "type", "string");
    }
    put(b, body, "schema", schema);
    put(b, content, media, body);
}

/* {media: {"schema": …}}; the contract of a stream is that of its long-poll form. */
static struct json_object *make_content(struct build *b, const char *media, const char *contract)
{
    struct json_object *content = new_object(b);

    if (media == event_stream) {
        add_media(b, content, media, NULL);
        media = "application/json";
    }
    add_media(b, content, media, contract);
    return content;
}

static struct json_object *make_error_responses(struct build *b)
{
    struct json_object *responses = new_object(b);

    for (size_t i = 0; i < sizeof error_statuses / sizeof *error_statuses; i++) {
        struct json_object *o = new_object(b);
        char key[16];
        put_text(b, o, "description", http_status_title(error_statuses[i]));
        put(b, o, "content", make_content(b, "application/json", "error.v1"));
        snprintf(key, sizeof key, "%d", error_statuses[i]);
        put(b, responses, key, o);
    }
    return responses;
}

static void add_key_scheme(struct build *b, struct json_object *schemes, const char *name,
                           const char *header, const char *text)
{
    struct json_object *o = new_object(b);

    put_text(b, o, "type", "apiKey");
    put_text(b, o, "in", "header");
    put_text(b, o, "name", header);
    put_text(b, o, "description", text);
    put(b, schemes, name, o);
}

static void add_bearer_scheme(struct build *b, struct json_object *schemes, const char *name,
                              const char *text)
{
    struct json_object *o = new_object(b);

    put_text(b, o, "type", "http");
    put_text(b, o, "scheme", "bearer");
    put_text(b, o, "description", text);
    put(b, schemes, name, o);
}

static struct json_object *make_components(struct build *b)
{
    struct json_object *o = new_object(b), *schemes = new_object(b);

    add_key_scheme(b, schemes, "ApiKeyAuth", "X-API-Key", "A user's API key");
    add_bearer_scheme(b, schemes, "BearerAuth", "A user's API key as Authorization: Bearer");
    add_key_scheme(b, schemes, "AdminKey", "X-Admin-API-Key", "The operator's admin token");
    add_bearer_scheme(b, schemes, "MeetingToken", "The token a bot was started with");
    add_key_scheme(b, schemes, "MeetingTokenHeader", "X-Meeting-Token",
                   "The same, for web servers that drop Authorization");
    put(b, o, "securitySchemes", schemes);
    put(b, o, "responses", make_error_responses(b));
    put(b, o, "schemas", make_schemas(b));
    return o;
}

/* ---- operations ---- */

static struct json_object *make_parameter(struct build *b, const char *name, const char *in,
                                          bool required, const char *type)
{
    struct json_object *o = new_object(b), *schema = new_object(b);

    put_text(b, o, "name", name);
    put_text(b, o, "in", in);
    b->failed |= json_put_bool(o, "required", required) != 0;
    put_text(b, schema, "type", type);
    put(b, o, "schema", schema);
    return o;
}

/* Turns "/a/{id:int}/{rest...}" into "/a/{id}/{rest}" and adds its parameters. */
static void read_pattern(struct build *b, const char *pattern, char path[PATH_TEXT_MAX],
                         struct json_object *parameters)
{
    size_t n = 0;

    while (*pattern != '\0' && n < PATH_TEXT_MAX - 1) {
        char name[64];
        size_t len, all;
        bool is_int;
        if (*pattern != '{') {
            path[n++] = *pattern++;
            continue;
        }
        pattern++;
        all = strcspn(pattern, "}");
        len = strcspn(pattern, ":.}");
        is_int = all - len == 4 && strncmp(pattern + len, ":int", 4) == 0;
        snprintf(name, sizeof name, "%.*s", (int)len, pattern);
        append(b, parameters, make_parameter(b, name, "path", true, is_int ? "integer" : "string"));
        n += (size_t)snprintf(path + n, PATH_TEXT_MAX - n, "{%s}", name);
        pattern += all + (pattern[all] == '}');
    }
    b->failed |= n >= PATH_TEXT_MAX - 1;
    path[n < PATH_TEXT_MAX ? n : PATH_TEXT_MAX - 1] = '\0';
}

static void add_query(struct build *b, const struct query_param *q, struct json_object *parameters)
{
    static const char *const types[] = {
        [QUERY_STRING] = "string", [QUERY_INT] = "integer", [QUERY_BOOL] = "boolean"};

    for (; q != NULL && q->name != NULL; q++) {
        struct json_object *o = make_parameter(b, q->name, "query", q->required, types[q->type]);
        struct json_object *schema = NULL;
        json_object_object_get_ex(o, "schema", &schema);
        if (q->type == QUERY_INT && q->min != INT64_MIN)
            b->failed |= json_put_int(schema, "minimum", q->min) != 0;
        if (q->type == QUERY_INT && q->max != INT64_MAX)
            b->failed |= json_put_int(schema, "maximum", q->max) != 0;
        append(b, parameters, o);
    }
}

static void add_idempotency_key(struct build *b, struct json_object *parameters)
{
    struct json_object *o = make_parameter(b, "Idempotency-Key", "header", false, "string");
    struct json_object *schema = NULL;

    put_text(b, o, "description", "The same key and body give the same answer, for 24 hours");
    json_object_object_get_ex(o, "schema", &schema);
    b->failed |= json_put_int(schema, "minLength", 1) != 0;
    append(b, parameters, o);
}

/* One way to authenticate: {scheme: []}. */
static void add_security(struct build *b, struct json_object *security, const char *scheme)
{
    struct json_object *o = new_object(b);

    put(b, o, scheme, new_array(b));
    append(b, security, o);
}

static struct json_object *make_security(struct build *b, enum route_auth auth)
{
    struct json_object *security = new_array(b);

    switch (auth) {
    case AUTH_PUBLIC:
        break;
    case AUTH_KEY:
        add_security(b, security, "ApiKeyAuth");
        add_security(b, security, "BearerAuth");
        break;
    case AUTH_ADMIN:
        add_security(b, security, "AdminKey");
        break;
    case AUTH_MEETING_TOKEN:
        add_security(b, security, "MeetingToken");
        add_security(b, security, "MeetingTokenHeader");
        break;
    }
    return security;
}

/* The scopes of which a key needs one. */
static struct json_object *make_scopes(struct build *b, unsigned scopes)
{
    static const struct {
        unsigned bit;
        const char *name;
    } rows[] = {{SCOPE_BOT, "bot"}, {SCOPE_TX, "tx"}, {SCOPE_BROWSER, "browser"}};
    struct json_object *list = new_array(b);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (scopes & rows[i].bit)
            append(b, list, json_object_new_string(rows[i].name));
    return list;
}

static void add_error(struct build *b, struct json_object *responses, int status)
{
    char key[16];

    snprintf(key, sizeof key, "%d", status);
    put(b, responses, key, ref(b, responses_ref, key));
}

static void add_success(struct build *b, struct json_object *responses, int status,
                        const char *media, const char *contract)
{
    struct json_object *o = new_object(b);
    char key[16];

    put_text(b, o, "description", http_status_title(status));
    if (contract != NULL || media != NULL)
        put(b, o, "content", make_content(b, media != NULL ? media : "application/json", contract));
    snprintf(key, sizeof key, "%d", status);
    put(b, responses, key, o);
}

static struct json_object *make_responses(struct build *b, const struct route *r)
{
    static const struct answer unknown = {0};
    const struct answer *a = &unknown;
    struct json_object *responses = new_object(b);
    bool params = strchr(r->pattern, '{') != NULL;

    for (size_t i = 0; r->handler != NULL && i < sizeof answers / sizeof *answers; i++)
        if (answers[i].handler == r->handler)
            a = &answers[i];
    if (r->handler != NULL) {
        add_success(b, responses, r->success, a->media, a->contract);
        if (a->also != 0)
            add_success(b, responses, a->also, NULL, a->also_contract);
    }
    if (r->auth == AUTH_KEY || r->auth == AUTH_MEETING_TOKEN)
        add_error(b, responses, 401);
    if (r->auth != AUTH_PUBLIC && (r->auth != AUTH_KEY || r->scopes != 0))
        add_error(b, responses, 403);
    if (r->handler == NULL) {
        add_error(b, responses, 501);
        return responses;
    }
    if (params)
        add_error(b, responses, 404);
    if (r->contract != NULL) {
        add_error(b, responses, 413);
        add_error(b, responses, 415);
    }
    if (r->contract != NULL || r->query != NULL || strstr(r->pattern, ":int}") != NULL)
        add_error(b, responses, 422);
    if (r->idempotent) {
        add_error(b, responses, 409);
        add_error(b, responses, 422);
    }
    for (size_t i = 0; i < sizeof a->errors / sizeof *a->errors && a->errors[i] != 0; i++)
        add_error(b, responses, a->errors[i]);
    add_error(b, responses, 500);
    add_error(b, responses, 503);
    return responses;
}

/* "get_bots_status" of GET /bots/status. */
static void operation_id(const char *method, const char *path, char out[PATH_TEXT_MAX])
{
    size_t n = 0;

    for (; *method != '\0' && n < PATH_TEXT_MAX - 1; method++)
        out[n++] = (char)tolower((unsigned char)*method);
    for (; *path != '\0' && n < PATH_TEXT_MAX - 1; path++) {
        if (isalnum((unsigned char)*path))
            out[n++] = *path;
        else if (out[n - 1] != '_')
            out[n++] = '_';
    }
    out[out[n - 1] == '_' ? n - 1 : n] = '\0';
}

static struct json_object *make_operation(struct build *b, const struct route *r, const char *path,
                                          struct json_object *parameters)
{
    struct json_object *o = new_object(b), *body, *tags = new_array(b);
    char text[PATH_TEXT_MAX];

    operation_id(r->method, path, text);
    put_text(b, o, "operationId", text);
    put_text(b, o, "summary", r->summary);
    snprintf(text, sizeof text, "%.*s", (int)strcspn(path + 1, "/"), path + 1);
    append(b, tags, json_object_new_string(text));
    put(b, o, "tags", tags);
    put(b, o, "security", make_security(b, r->auth));
    if (r->auth == AUTH_KEY && r->scopes != 0)
        put(b, o, "x-scopes", make_scopes(b, r->scopes));
    if (json_object_array_length(parameters) != 0)
        put(b, o, "parameters", json_object_get(parameters));
    if (r->contract != NULL) {
        body = new_object(b);
        b->failed |= json_put_bool(body, "required", !r->body_optional) != 0;
        put(b, body, "content", make_content(b, "application/json", r->contract));
        put(b, o, "requestBody", body);
    }
    put(b, o, "responses", make_responses(b, r));
    return o;
}

static void add_route(struct build *b, struct json_object *paths, const struct route *r)
{
    struct json_object *parameters = new_array(b), *item = NULL;
    char path[PATH_TEXT_MAX], method[16];
    size_t n = 0;

    if (parameters == NULL || paths == NULL)
        return;
    read_pattern(b, r->pattern, path, parameters);
    add_query(b, r->query, parameters);
    if (r->idempotent)
        add_idempotency_key(b, parameters);
    if (!json_object_object_get_ex(paths, path, &item)) {
        item = new_object(b);
        put(b, paths, path, item);
    }
    for (; r->method[n] != '\0' && n < sizeof method - 1; n++)
        method[n] = (char)tolower((unsigned char)r->method[n]);
    method[n] = '\0';
    if (!b->failed)
        put(b, item, method, make_operation(b, r, path, parameters));
    json_object_put(parameters);
}

static struct json_object *make_document(struct build *b, const struct app *app)
{
    struct json_object *doc = new_object(b), *info = new_object(b), *paths = new_object(b);
    struct json_object *servers = new_array(b), *server = new_object(b);
    const char *base = config_str(app->cfg, CFG_SERVER_BASE_PATH);
    const struct route *r;

    put_text(b, doc, "openapi", "3.1.0");
    put_text(b, info, "title", "Vexa API");
    put_text(b, info, "version", VEXA_VERSION);
    put(b, doc, "info", info);
    put_text(b, server, "url", *base != '\0' ? base : "/");
    append(b, servers, server);
    put(b, doc, "servers", servers);
    for (size_t i = 0; !b->failed && (r = route_at(i)) != NULL; i++)
        add_route(b, paths, r);
    put(b, doc, "paths", paths);
    put(b, doc, "components", make_components(b));
    return doc;
}

void handle_openapi(struct request *rq, struct response *rs)
{
    struct build b = {false};
    struct json_object *doc = make_document(&b, rq->app);

    if (b.failed) {
        json_object_put(doc);
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    response_header(rs, "Cache-Control", "public, max-age=300");
    response_json(rs, 200, doc);
}
