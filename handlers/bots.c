/* DELETE /bots/{platform}/{native_meeting_id} and GET …/chat (spec/meetings.md §1.5, §1.6). */
#include <string.h>
#include <strings.h>

#include "handlers/body.h"
#include "handlers/handlers.h"
#include "lib/config.h"
#include "lib/json_scan.h"
#include "lib/meeting_url.h"
#include "lib/store_meetings.h"

#define TEXT_MAX 255

/* Does the client ask for the body with `Prefer: return=representation` (RFC 7240)? */
static bool wants_representation(const char *prefer)
{
    static const char want[] = "return=representation";
    while (prefer != NULL && *prefer != '\0') {
        prefer += strspn(prefer, " \t,");
        size_t n = strcspn(prefer, ",");
        size_t word = strcspn(prefer, ",; \t");
        if (word == strlen(want) && strncasecmp(prefer, want, word) == 0)
            return true;
        prefer += n;
    }
    return false;
}

static struct json_object *id_array(const int64_t *ids, size_t n)
{
    struct json_object *list = json_object_new_array();
    for (size_t i = 0; list != NULL && i < n; i++) {
        struct json_object *v = json_object_new_int64(ids[i]);
        if (v == NULL || json_object_array_add(list, v) != 0) {
            json_object_put(v);
            json_object_put(list);
            return NULL;
        }
    }
    return list;
}

static struct json_object *stop_body(const struct stop_result *r, const char *native_id)
{
    struct json_object *o = json_object_new_object();
    int bad = json_put_str(o, "status", "stopping");
    bad |= json_put_int(o, "meeting_id", r->meeting_id);
    bad |= json_put_str(o, "native_meeting_id", native_id);
    bad |= json_put(o, "also_stopped", id_array(r->also_stopped, r->n_also));
    bad |= json_put(o, "cancelled", id_array(r->cancelled, r->n_cancelled));
    if (bad == 0)
        return o;
    json_object_put(o);
    return NULL;
}

void handle_bot_stop(struct request *rq, struct response *rs)
{
    const char *platform = rq->params[0], *native_id = rq->params[1];
    if (!platform_is_known(platform) && strcmp(platform, "browser_session") != 0) {
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "unsupported platform '%s' — must be one of: browser_session, "
                           "google_meet, jitsi, teams, zoom",
                           text_cut(rq->arena, platform, TEXT_MAX));
        return;
    }
    struct stop_result r = {0};
    enum vx_err err = store_meeting_stop(rq->app->store, rq->who.user_id, platform, native_id, &r);
    if (err == VX_ERR_MEETING_NOT_FOUND) {
        response_fail_text(rs, err, "No active meeting for this bot");
        return;
    }
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    bool preferred = wants_representation(request_header(rq, "prefer"));
    if (preferred)
        response_header(rs, "Preference-Applied", "return=representation");
    if (preferred || config_int(rq->app->cfg, CFG_COMPAT_STOP_RESPONSE) == 200)
        response_json(rs, 200, stop_body(&r, native_id));
    else
        response_empty(rs);
}

void handle_bot_chat(struct request *rq, struct response *rs)
{
    struct meeting m;
    enum vx_err err = store_meeting_by_native(rq->db, rq->arena, rq->who.user_id, rq->params[0],
                                              rq->params[1], &m);
    if (err == VX_ERR_MEETING_NOT_FOUND) {
        response_fail_text(rs, err, "Meeting not found for platform %s and ID %s", rq->params[0],
                           rq->params[1]);
        return;
    }
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    struct json_object *o = json_object_new_object();
    if (json_put(o, "messages", json_object_new_array()) != 0) {
        json_object_put(o);
        o = NULL;
    }
    response_json(rs, 200, o);
}
