/* The projection of a meeting row; see meeting_json.h. */
#include "handlers/meeting_json.h"

#include <string.h>
#include <strings.h>

#include "lib/json_scan.h"
#include "lib/log.h"

/* Deeper than a body may be (32), because bodies are stored inside data. */
#define STORED_DEPTH 64

static const char *const secret_names[] = {
    "webhook_secret", "webhook_secrets", "share_grants", "auth_userdata_path",
    "secret",         "secrets",         "token",        "tokens",
    "password",       "credential",      "credentials",  "api_key",
    "apikey",         "private_key",     "signing_key",  "access_key",
};
/* The first few of the names above are exact; these are also suffixes after "_". */
#define FIRST_SUFFIX 4

static const char *const heavy_names[] = {
    "speaker_events", "bot_logs",      "recordings", "status_transition",
    "chat_messages",  "error_details", "last_error",
};

static const char *const source_names[] = {"id", "name", "auto_join", "bot_name"};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

bool data_key_is_secret(const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < COUNT(secret_names); i++) {
        size_t n = strlen(secret_names[i]);
        if (len < n || strcasecmp(key + len - n, secret_names[i]) != 0)
            continue;
        if (len == n || (i >= FIRST_SUFFIX && key[len - n - 1] == '_'))
            return true;
    }
    return false;
}

static bool is_heavy(const char *key)
{
    for (size_t i = 0; i < COUNT(heavy_names); i++)
        if (strcmp(key, heavy_names[i]) == 0)
            return true;
    return false;
}

enum vx_err stored_object(struct arena *a, const char *text, const char *what, int64_t id,
                          struct json_object **out)
{
    /* Not json_read(): its limit on values is for bodies, and merged data may hold more. That
     * json-c also takes single quotes does no harm in what is only read back. */
    struct json_tokener *tok = json_tokener_new_ex(STORED_DEPTH);
    *out = NULL;
    if (tok == NULL)
        return VX_ERR_NO_MEMORY;
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    /* The terminating NUL goes in as well: it ends numbers and makes trailing text an error. */
    size_t len = text != NULL ? strlen(text) : 0;
    struct json_object *o = NULL;
    if (len < INT32_MAX)
        o = json_tokener_parse_ex(tok, text != NULL ? text : "", (int)len + 1);
    bool bad = json_tokener_get_error(tok) != json_tokener_success ||
               !json_object_is_type(o, json_type_object);
    json_tokener_free(tok);
    if (bad) {
        json_object_put(o);
        log_msg(LOG_ERROR_, "corrupt_row", "%s %lld: stored data is not a JSON object", what,
                (long long)id);
        return VX_ERR_INTERNAL;
    }
    *out = arena_own_json(a, o);
    return *out != NULL ? VX_OK : VX_ERR_NO_MEMORY;
}

/* One calendar source reduced to its public names; NULL when it has no id or memory ran out
 * (*bad tells which). */
static struct json_object *reduce_source(struct json_object *src, bool *bad)
{
    struct json_object *v;
    if (!json_object_is_type(src, json_type_object) || !json_object_object_get_ex(src, "id", &v) ||
        v == NULL)
        return NULL;
    struct json_object *o = json_object_new_object();
    for (size_t i = 0; o != NULL && i < COUNT(source_names); i++) {
        if (!json_object_object_get_ex(src, source_names[i], &v))
            continue;
        if (json_object_object_add(o, source_names[i], json_object_get(v)) != 0) {
            json_object_put(v);
            json_object_put(o);
            o = NULL;
        }
    }
    *bad = o == NULL;
    return o;
}

static struct json_object *reduce_sources(struct json_object *list)
{
    struct json_object *out = json_object_new_array();
    if (out == NULL || !json_object_is_type(list, json_type_array))
        return out;
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        bool bad = false;
        struct json_object *one = reduce_source(json_object_array_get_idx(list, i), &bad);
        if (one == NULL && !bad)
            continue;
        if (bad || json_object_array_add(out, one) != 0) {
            json_object_put(one);
            json_object_put(out);
            return NULL;
        }
    }
    return out;
}

struct json_object *meeting_data_project(struct json_object *data, bool slim)
{
    struct json_object *out = json_object_new_object();
    if (out == NULL)
        return NULL;
    json_object_object_foreach(data, key, value)
    {
        if (data_key_is_secret(key) || (slim && is_heavy(key)))
            continue;
        struct json_object *v;
        if (strcmp(key, "calendar_sources") == 0) {
            v = reduce_sources(value);
            if (v == NULL) {
                json_object_put(out);
                return NULL;
            }
        } else {
            v = json_object_get(value);
        }
        if (json_object_object_add(out, key, v) != 0) {
            json_object_put(v);
            json_object_put(out);
            return NULL;
        }
    }
    return out;
}

/* data.sessions of a row that was just made: its one session. */
static int put_sessions(struct json_object *data, const char *session_uid)
{
    struct json_object *list = json_object_new_array();
    if (list != NULL && session_uid != NULL) {
        struct json_object *s = json_object_new_string(session_uid);
        if (s == NULL || json_object_array_add(list, s) != 0) {
            json_object_put(s);
            json_object_put(list);
            return -1;
        }
    }
    return json_put(data, "sessions", list);
}

enum vx_err meeting_row(struct arena *a, const struct meeting *m, enum meeting_view view,
                        struct json_object **out)
{
    struct json_object *stored;
    *out = NULL;
    enum vx_err err = stored_object(a, m->data, "meeting", m->id, &stored);
    if (err != VX_OK)
        return err;
    struct json_object *data = meeting_data_project(stored, view == MEETING_LIST);
    struct json_object *o = json_object_new_object();
    if (data == NULL || o == NULL) {
        json_object_put(data);
        json_object_put(o);
        return VX_ERR_NO_MEMORY;
    }
    int bad = view == MEETING_NEW ? put_sessions(data, m->session_uid) : 0;
    bad |= json_put_int(o, "id", m->id);
    bad |= json_put_int(o, "user_id", m->user_id);
    bad |= json_put_str(o, "platform", m->platform);
    bad |= json_put_str(o, "native_meeting_id", m->native_id);
    bad |= json_put_str(o, "constructed_meeting_url", m->url);
    bad |= json_put_str(o, "status", m->status);
    bad |= json_put_str(o, "bot_container_id", m->workload_id);
    bad |= json_put_time(o, "start_time", m->start_ms);
    bad |= json_put_time(o, "end_time", m->end_ms);
    bad |= json_put_str(o, "completion_reason", m->completion_reason);
    bad |= json_put_str(o, "failure_stage", m->failure_stage);
    if (view != MEETING_NEW)
        if (view != MEETING_NEW)
            bad |= json_put_str(o, "failure_reason", m->failure_reason);
    if (view == MEETING_NEW) {
        bad |= json_put(o, "data", data);
    } else {
        bad |= json_put_bool(o, "shared", 0);
    }
    bad |= json_put_time(o, "created_at", m->created_ms);
    bad |= json_put_time(o, "updated_at", m->updated_ms);
    if (view != MEETING_NEW)
        bad |= json_put(o, "data", data);
    if (bad != 0) {
        json_object_put(o);
        return VX_ERR_NO_MEMORY;
    }
    *out = o;
    return VX_OK;
}

enum vx_err meeting_rows(struct arena *a, const struct meeting *m, size_t n, enum meeting_view view,
                         struct json_object **out)
{
    struct json_object *list = json_object_new_array();
    *out = NULL;
    if (list == NULL)
        return VX_ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        struct json_object *row;
        enum vx_err err = meeting_row(a, &m[i], view, &row);
        if (err == VX_OK && json_object_array_add(list, row) != 0) {
            json_object_put(row);
            err = VX_ERR_NO_MEMORY;
        }
        if (err != VX_OK) {
            json_object_put(list);
            return err;
        }
    }
    *out = list;
    return VX_OK;
}
