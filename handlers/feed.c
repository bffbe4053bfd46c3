/* GET /meetings/stream: one stream of the user's own feed, or of up to 50 topics the caller names.
 * Every topic is checked by itself, in the order given; the first one refused is the answer, by
 * name, before the stream opens. */
#include <string.h>

#include "handlers/handlers.h"
#include "handlers/stream_spec.h"
#include "lib/int_text.h"
#include "lib/store_events.h"
#include "lib/store_meetings.h"

#define NAME_MAX_BYTES 255

/* Is the name of this kind ("meeting/")? Then *rest is what follows. */
static bool is_kind(const char *name, const char *kind, const char **rest)
{
    size_t n = strlen(kind);
    *rest = name + n;
    return strncmp(name, kind, n) == 0 && (*rest)[0] != '\0';
}

/* A row id as we print it: no sign, no leading zero. */
static bool is_row_id(const char *text, int64_t *id)
{
    return text[0] >= '1' && text[0] <= '9' && strspn(text, "0123456789") == strlen(text) &&
           int_text_parse(text, id) == INT_TEXT_OK;
}

/* The log's topic of this name, NULL when the response is its refusal. */
static const char *own_topic(struct request *rq, struct response *rs, const char *name)
{
    const char *rest;
    int64_t id;
    const char *mine = arena_printf(rq->arena, "user/%lld", (long long)rq->who.user_id);
    if (mine == NULL) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return NULL;
    }
    if (strcmp(name, "user") == 0 || strcmp(name, mine) == 0)
        return mine;
    if (is_kind(name, "meeting/", &rest) && is_row_id(rest, &id)) {
        struct meeting m;
        enum vx_err err = store_meeting_by_id(rq->db, rq->arena, rq->who.user_id, id, &m);
        if (err == VX_OK)
            return name;
        if (err == VX_ERR_MEETING_NOT_FOUND)
            response_fail_text(rs, VX_ERR_MEETING_FORBIDDEN, "not authorized for this meeting: %s",
                               name);
        else
            response_fail(rs, err);
        return NULL;
    }
    if (is_kind(name, "unit/", &rest))
        response_fail_text(rs, VX_ERR_UNIT_NOT_FOUND, "Unit not found: %s", name);
    else if (is_kind(name, "user/", &rest))
        response_fail_text(rs, VX_ERR_USER_NOT_FOUND, "User not found: %s", name);
    else
        response_fail_text(rs, VX_ERR_VALIDATION,
                           "unknown topic '%s' — must be user, meeting/<id> or unit/<id>", name);
    return NULL;
}

static bool has_topic(const struct stream_spec *spec, const char *topic)
{
    for (size_t i = 0; i < spec->n_topics; i++)
        if (strcmp(spec->topics[i], topic) == 0)
            return true;
    return false;
}

/* The list's topics, each once. False: the response is the refusal. */
static bool take_topics(struct request *rq, struct response *rs, const char *list,
                        struct stream_spec *spec)
{
    size_t named = 1;
    for (const char *p = list; *p != '\0'; p++)
        named += *p == ',';
    if (named > STREAM_TOPICS_MAX) {
        response_fail_text(rs, VX_ERR_VALIDATION, "topics must be at most %d", STREAM_TOPICS_MAX);
        return false;
    }
    for (const char *p = list;; p++) {
        size_t n = strcspn(p, ",");
        if (n > NAME_MAX_BYTES) {
            response_fail_text(rs, VX_ERR_VALIDATION, "a topic must have at most %d bytes",
                               NAME_MAX_BYTES);
            return false;
        }
        const char *name = arena_strndup(rq->arena, p, n);
        if (name == NULL) {
            response_fail(rs, VX_ERR_NO_MEMORY);
            return false;
        }
        const char *topic = own_topic(rq, rs, name);
        if (topic == NULL)
            return false;
        if (!has_topic(spec, topic))
            spec->topics[spec->n_topics++] = topic;
        p += n;
        if (*p == '\0')
            return true;
    }
}

void handle_feed(struct request *rq, struct response *rs)
{
    const char *list = request_query(rq, "topics");
    struct stream_spec *spec = arena_alloc(rq->arena, sizeof *spec);
    if (spec != NULL && !stream_form(rq, rs, spec))
        return;
    enum vx_err err = spec != NULL ? store_snapshot_begin(rq->db) : VX_ERR_NO_MEMORY;
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    spec->user_id = rq->who.user_id;
    spec->token_id = rq->who.token_id;
    spec->expires_ms = rq->who.expires_ms;
    if (take_topics(rq, rs, list != NULL && *list != '\0' ? list : "user", spec)) {
        err = stream_start(rq, request_query_int(rq, "replay", -1), spec);
        if (err != VX_OK)
            response_fail(rs, err);
        else
            rs->stream = spec;
    }
    store_snapshot_end(rq->db);
}
