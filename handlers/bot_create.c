/* POST /bots (spec/meetings.md §1.1; shapes.md "Bots and meetings"). The checks run in the spec's
 * order and use its texts; nothing is written before the last of them passed. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "handlers/meeting_json.h"
#include "lib/config.h"
#include "lib/json_scan.h"
#include "lib/meeting_url.h"
#include "lib/py_text.h"
#include "lib/secret.h"

#define URL_MAX      2048
#define TEXT_MAX     255
#define LEAVE_MAX    INT32_MAX /* milliseconds, 24 days */
#define UNKNOWN_MAX  20        /* unknown automatic_leave fields an answer names */
#define BOT_NAME_HEX 6

/* What the checks make of a body. */
struct spawn {
    const char *platform, *native_id, *url, *passcode, *bot_name, *language, *task, *tier;
    bool transcribe, record;
    int64_t waiting, no_one, everyone; /* milliseconds, 0 = absent */
};

/* str() of a scalar, stripped; "" for null and absent. false: an array or object was refused. */
static bool scalar_text(struct request *rq, struct response *rs, const char *name, const char **out)
{
    struct json_object *v = body_get(rq->json, name);
    const char *s = "";
    switch (json_object_get_type(v)) {
    case json_type_string:
        s = json_object_get_string(v);
        break;
    case json_type_int:
    case json_type_double:
        s = json_text(v);
        break;
    case json_type_null:
        break;
    default:
        refuse(rq, rs, "string_type", "Input should be a valid string", "body", name,
               json_object_get(v), NULL);
        return false;
    }
    *out = s != NULL ? py_strip(rq->arena, s) : NULL;
    if (*out != NULL)
        return true;
    response_fail(rs, VX_ERR_NO_MEMORY);
    return false;
}

/* Documented fields that nothing here would honour are refused, not ignored. */
static bool check_unbuilt(struct request *rq, struct response *rs)
{
    json_object_object_foreach(rq->json, key, value)
    {
        bool unbuilt = strcmp(key, "authenticated") == 0 || strcmp(key, "allowed_languages") == 0 ||
                       strcmp(key, "voice_agent_enabled") == 0 ||
                       strncmp(key, "webhook_", strlen("webhook_")) == 0;
        if (strcmp(key, "continue_meeting") == 0) {
            /* Python's truthiness. */
            if (json_object_is_type(value, json_type_string))
                unbuilt = json_object_get_string_len(value) > 0;
            else if (json_object_is_type(value, json_type_array))
                unbuilt = json_object_array_length(value) > 0;
            else if (json_object_is_type(value, json_type_object))
                unbuilt = json_object_object_length(value) > 0;
            else
                unbuilt = json_object_get_boolean(value);
        }
        if (unbuilt) {
            response_fail_text(rs, VX_ERR_NOT_IMPLEMENTED, "'%s' is documented but not built", key);
            return false;
        }
    }
    return true;
}

/* A boolean or one of the words; absent and null are true. */
static bool check_flag(struct request *rq, struct response *rs, const char *name, bool *out)
{
    static const char *const yes[] = {"true", "1", "yes", "on"};
    static const char *const no[] = {"false", "0", "no", "off", ""};
    struct json_object *v = body_get(rq->json, name);
    *out = true;
    if (v == NULL)
        return true;
    if (json_object_is_type(v, json_type_boolean)) {
        *out = json_object_get_boolean(v);
        return true;
    }
    if (json_object_is_type(v, json_type_string)) {
        const char *s = py_strip(rq->arena, json_object_get_string(v));
        if (s == NULL) {
            response_fail(rs, VX_ERR_NO_MEMORY);
            return false;
        }
        for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
            if (strcasecmp(s, yes[i]) == 0)
                return true;
        *out = false;
        for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
            if (strcasecmp(s, no[i]) == 0)
                return true;
    }
    response_fail_text(rs, VX_ERR_VALIDATION, "%s must be a boolean", name);
    return false;
}

/* meeting_url, or its alias url. *out NULL when neither is given. */
static bool check_url(struct request *rq, struct response *rs, const char **out)
{
    struct json_object *v = body_get(rq->json, "meeting_url");
    struct json_object *alias = body_get(rq->json, "url");
    *out = NULL;
    if (v != NULL && alias != NULL && !json_object_equal(v, alias)) {
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "'url' is an alias of 'meeting_url' and both are given with different "
                           "values — send one of them");
        return false;
    }
    if (v == NULL)
        v = alias;
    if (v == NULL)
        return true;
    const char *s = "";
    if (json_object_is_type(v, json_type_string))
        s = py_strip(rq->arena, json_object_get_string(v));
    if (s == NULL) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return false;
    }
    if (*s == '\0') {
        response_fail_text(rs, VX_ERR_VALIDATION, "meeting_url must be a non-empty string");
        return false;
    }
    if (strlen(s) > URL_MAX) {
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "meeting_url is too long (%zu bytes; the maximum is %d)", strlen(s),
                           URL_MAX);
        return false;
    }
    const char *why = meeting_url_refusal(rq->arena, s);
    if (why != NULL) {
        response_fail_text(rs, VX_ERR_VALIDATION, "%s", why);
        return false;
    }
    *out = s;
    return true;
}

/* Fills platform, native id and passcode from the link when no id was given. */
static bool derive_from_url(struct request *rq, struct response *rs, struct spawn *s)
{
    struct meeting_link link = {0};
    int rc =
        meeting_url_parse(rq->arena, s->url, config_str(rq->app->cfg, CFG_BOTS_JITSI_HOSTS), &link);
    if (rc == -2) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return false;
    }
    if (rc != 0) {
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "'native_meeting_id' is required: it could not be derived from "
                           "meeting_url '%s' (unrecognized meeting link)",
                           s->url);
        return false;
    }
    if (*s->platform != '\0' && strcmp(s->platform, link.platform) != 0) {
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "platform '%s' disagrees with meeting_url (which is a '%s' link) — "
                           "drop one or make them agree",
                           s->platform, link.platform);
        return false;
    }
    s->platform = link.platform;
    s->native_id = link.native_id;
    if (s->passcode == NULL)
        s->passcode = link.passcode;
    return true;
}

/* Which meeting: platform, native id and link, in the spec's order. */
static bool check_target(struct request *rq, struct response *rs, struct spawn *s)
{
    if (*s->native_id == '\0' && s->url != NULL && !derive_from_url(rq, rs, s))
        return false;
    if (*s->platform == '\0' || *s->native_id == '\0') {
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "'platform' and 'native_meeting_id' (or 'meeting_url') are required");
        return false;
    }
    const char *why = native_id_refusal(rq->arena, s->native_id);
    if (why != NULL) {
        response_fail_text(rs, VX_ERR_VALIDATION, "%s", why);
        return false;
    }
    if (!platform_is_known(s->platform)) {
        const char *more = strcmp(s->platform, "browser_session") == 0
                               ? ". browser_session is a provisioning workload, not a meeting bot; "
                                 "its 0.12 runtime path is not yet restored (tracked in "
                                 "https://github.com/Vexa-ai/vexa/issues/816)"
                               : "";
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "platform '%s' cannot be spawned as a meeting bot — supported: "
                           "google_meet, jitsi, teams, zoom%s",
                           text_cut(rq->arena, s->platform, TEXT_MAX), more);
        return false;
    }
    if (s->url != NULL)
        return true;
    if (strcmp(s->platform, "zoom") == 0 || strcmp(s->platform, "jitsi") == 0) {
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "unsupported platform '%s' without a meeting_url — use "
                           "google_meet/teams, or provide meeting_url (required for zoom/jitsi)",
                           s->platform);
        return false;
    }
    s->url = meeting_url_from_id(rq->arena, s->platform, s->native_id);
    if (s->url == NULL)
        response_fail(rs, VX_ERR_NO_MEMORY);
    return s->url != NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Refuses the fields of automatic_leave that are not known, sorted by name. */
static bool check_leave_names(struct request *rq, struct response *rs, struct json_object *leave)
{
    static const char *const known[] = {
        "max_bot_time",          "max_wait_for_admission", "max_time_left_alone",
        "no_one_joined_timeout", "waiting_room_timeout",   "everyone_left_timeout",
    };
    const char *unknown[UNKNOWN_MAX];
    size_t n = 0;
    json_object_object_foreach(leave, key, value)
    {
        bool is_known = false;
        (void)value;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            is_known = is_known || strcmp(key, known[i]) == 0;
        if (!is_known && n < UNKNOWN_MAX)
            unknown[n++] = key;
    }
    if (n == 0)
        return true;
    qsort(unknown, n, sizeof unknown[0], by_text);
    const char *text = "";
    for (size_t i = 0; text != NULL && i < n; i++)
        text = arena_printf(rq->arena, "%s%s%s", text, i > 0 ? ", " : "",
                            text_cut(rq->arena, unknown[i], TEXT_MAX));
    response_fail_text(rs, VX_ERR_VALIDATION, "automatic_leave has unknown field(s): %s",
                       text != NULL ? text : "…");
    return false;
}

/* The primary key's value, else its legacy alias's; 0 when absent. A text names the primary. */
static bool leave_value(struct response *rs, struct json_object *leave, const char *primary,
                        const char *alias, int64_t *out)
{
    struct json_object *v = body_get(leave, primary);
    if (v == NULL && alias != NULL)
        v = body_get(leave, alias);
    *out = 0;
    if (v == NULL)
        return true;
    int64_t ms = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
    if (ms <= 0) {
        response_fail_text(rs, VX_ERR_VALIDATION, "automatic_leave.%s must be a positive integer",
                           primary);
        return false;
    }
    if (ms > LEAVE_MAX) {
        response_fail_text(rs, VX_ERR_VALIDATION, "automatic_leave.%s must be at most %d", primary,
                           LEAVE_MAX);
        return false;
    }
    *out = ms;
    return true;
}

static bool check_leave(struct request *rq, struct response *rs, struct spawn *s)
{
    struct json_object *leave = body_get(rq->json, "automatic_leave");
    s->waiting = config_int(rq->app->cfg, CFG_BOTS_LOBBY_SECONDS) * 1000;
    if (leave == NULL)
        return true;
    if (!json_object_is_type(leave, json_type_object)) {
        response_fail_text(rs, VX_ERR_VALIDATION, "automatic_leave must be an object");
        return false;
    }
    int64_t waiting;
    if (!check_leave_names(rq, rs, leave) ||
        !leave_value(rs, leave, "max_wait_for_admission", "waiting_room_timeout", &waiting) ||
        !leave_value(rs, leave, "no_one_joined_timeout", NULL, &s->no_one) ||
        !leave_value(rs, leave, "max_time_left_alone", "everyone_left_timeout", &s->everyone))
        return false;
    if (waiting > 0)
        s->waiting = waiting;
    return true;
}

/* The texts that go to the bot as they are. */
static bool check_texts(struct request *rq, struct response *rs, struct spawn *s)
{
    if (!body_text(rq, rs, "passcode", TEXT_MAX, &s->passcode) ||
        !body_text(rq, rs, "bot_name", TEXT_MAX, &s->bot_name) ||
        !body_text(rq, rs, "language", TEXT_MAX, &s->language) ||
        !body_text(rq, rs, "task", TEXT_MAX, &s->task) ||
        !body_text(rq, rs, "transcription_tier", TEXT_MAX, &s->tier))
        return false;
    if (s->tier == NULL)
        s->tier = "realtime";
    if (strcmp(s->tier, "realtime") != 0 && strcmp(s->tier, "deferred") != 0) {
        struct json_object *ctx = json_object_new_object();
        if (ctx != NULL && json_put_str(ctx, "expected", "'realtime' or 'deferred'") != 0) {
            json_object_put(ctx);
            ctx = NULL;
        }
        refuse(rq, rs, "literal_error", "Input should be 'realtime' or 'deferred'", "body",
               "transcription_tier", json_object_new_string(s->tier), ctx);
        return false;
    }
    if (s->passcode != NULL && *s->passcode == '\0')
        s->passcode = NULL;
    if (s->bot_name == NULL || *s->bot_name == '\0')
        s->bot_name = config_str(rq->app->cfg, CFG_BOTS_DEFAULT_NAME);
    if (*s->bot_name == '\0') {
        char hex[BOT_NAME_HEX + 1];
        s->bot_name =
            secret_hex(hex, BOT_NAME_HEX) == 0 ? arena_printf(rq->arena, "VexaBot-%s", hex) : NULL;
        if (s->bot_name == NULL)
            response_fail(rs, VX_ERR_NO_MEMORY);
    }
    return s->bot_name != NULL;
}

/* Row data as JSON text in the arena; NULL when out of memory. */
static const char *row_data(struct arena *a, const struct spawn *s)
{
    struct json_object *o = json_object_new_object();
    int bad = json_put_str(o, "constructed_meeting_url", s->url);
    bad |= json_put_bool(o, "transcribe_enabled", s->transcribe);
    bad |= json_put_bool(o, "recording_enabled", s->record);
    const char *text = bad == 0 ? json_text(o) : NULL;
    const char *out = text != NULL ? arena_strdup(a, text) : NULL;
    json_object_put(o);
    return out;
}

/* What the runner copies into invocation.v1, by its names; NULL when out of memory. */
static const char *launch_json(struct arena *a, const struct spawn *s)
{
    struct json_object *o = json_object_new_object(), *leave = json_object_new_object();
    int bad = json_put_str(o, "botName", s->bot_name);
    if (s->passcode != NULL)
        bad |= json_put_str(o, "passcode", s->passcode);
    if (s->language != NULL)
        bad |= json_put_str(o, "language", s->language);
    if (s->task != NULL)
        bad |= json_put_str(o, "task", s->task);
    bad |= json_put_bool(o, "transcribeEnabled", s->transcribe);
    bad |= json_put_bool(o, "recordingEnabled", s->record);
    bad |= json_put_str(o, "transcriptionTier", s->tier);
    bad |= json_put_int(leave, "waitingRoomTimeout", s->waiting);
    if (s->no_one > 0)
        bad |= json_put_int(leave, "noOneJoinedTimeout", s->no_one);
    if (s->everyone > 0)
        bad |= json_put_int(leave, "everyoneLeftTimeout", s->everyone);
    bad |= json_put(o, "automaticLeave", leave);
    const char *text = bad == 0 ? json_text(o) : NULL;
    const char *out = text != NULL ? arena_strdup(a, text) : NULL;
    json_object_put(o);
    return out;
}

/* The store's refusal with the details that help the caller. */
static void respond_refusal(struct response *rs, enum vx_err err, const struct spawn *s,
                            const struct bot_conflict *why)
{
    if (err == VX_ERR_MEETING_ALREADY_ACTIVE) {
        response_fail_text(rs, err, "An active meeting already exists for %s/%s", s->platform,
                           s->native_id);
        response_extra(rs, "meeting_id", json_object_new_int64(why->meeting_id));
        response_extra(rs, "status",
                       json_object_new_string(why->status != NULL ? why->status : ""));
    } else if (err == VX_ERR_CONCURRENCY_LIMIT) {
        response_fail_text(rs, err, "User has reached the maximum concurrent bot limit (%lld).",
                           (long long)why->limit);
        response_extra(rs, "limit", json_object_new_int64(why->limit));
        response_extra(rs, "in_use", json_object_new_int64(why->in_use));
    } else {
        response_fail(rs, err);
    }
}

struct created {
    struct arena *a;
    struct meeting m;
};

/* What is kept for an idempotency key: the answer itself. */
static const char *created_text(void *ctx)
{
    struct created *c = ctx;
    struct json_object *row;
    if (meeting_row(c->a, &c->m, MEETING_NEW, &row) != VX_OK)
        return NULL;
    row = arena_own_json(c->a, row);
    return row != NULL ? json_text(row) : NULL;
}

void handle_bot_create(struct request *rq, struct response *rs)
{
    struct spawn s = {0};
    if (!json_object_is_type(rq->json, json_type_object)) {
        response_fail_text(rs, VX_ERR_VALIDATION, "body must be an object");
        return;
    }
    if (!check_unbuilt(rq, rs) || !check_texts(rq, rs, &s) ||
        !scalar_text(rq, rs, "platform", &s.platform) ||
        !scalar_text(rq, rs, "native_meeting_id", &s.native_id) ||
        !check_flag(rq, rs, "transcribe_enabled", &s.transcribe) ||
        !check_flag(rq, rs, "recording_enabled", &s.record) || !check_url(rq, rs, &s.url) ||
        !check_target(rq, rs, &s) || !check_leave(rq, rs, &s))
        return;

    struct created made = {.a = rq->arena};
    struct idempotency_keep keep = {rq->claim, 201, created_text, &made};
    struct bot_request want = {
        .user_id = rq->who.user_id,
        .max_concurrent = rq->who.max_concurrent_bots,
        .platform = s.platform,
        .native_id = s.native_id,
        .url = s.url,
        .data = row_data(rq->arena, &s),
        .launch = launch_json(rq->arena, &s),
        .keep = rq->claim ? &keep : NULL,
    };
    if (want.data == NULL || want.launch == NULL) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    struct bot_conflict why = {0};
    enum vx_err err = store_meeting_request_bot(rq->app->store, rq->arena, &want, &made.m, &why);
    if (err != VX_OK) {
        respond_refusal(rs, err, &s, &why);
        return;
    }
    rq->kept = rq->claim != 0;
    struct json_object *row;
    err = meeting_row(rq->arena, &made.m, MEETING_NEW, &row);
    if (err != VX_OK)
        response_fail(rs, err);
    else
        response_json(rs, 201, row);
}
