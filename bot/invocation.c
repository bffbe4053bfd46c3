/* The contract says what an invocation may hold; what the replay bot cannot do without is checked
 * on top, and what it uses is picked out. */
#include "bot/invocation.h"

#include <stdbool.h>
#include <string.h>

#include "lib/contracts.h"
#include "lib/json_scan.h"
#include "lib/schema.h"

#define CONFIG_MAX      ((size_t)256 * 1024)
#define CONNECTION_MAX  200 /* a segment id is this and a cue number, 255 at most */
#define WAITING_ROOM_MS 300000
#define EVERYONE_MS     120000

/* Text for a header: no control characters. */
static bool header_safe(const char *s)
{
    for (; s != NULL && *s != '\0'; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            return false;
    return true;
}

/* First violation of the contract as text, NULL when there is none. */
static enum vx_err check_contract(struct arena *a, struct json_object *o, const char **why)
{
    struct json_object *schema = contract_find("invocation.v1");
    struct violations found = {.max = 1};
    *why = NULL;
    if (schema == NULL)
        return VX_ERR_INTERNAL;
    enum vx_err err = schema_check(a, schema, o, &found);
    if (err != VX_OK || found.n == 0)
        return err;
    *why = arena_printf(a, "%s: %s", found.v[0].pointer, found.v[0].msg);
    return *why == NULL ? VX_ERR_NO_MEMORY : VX_OK;
}

/* What this bot needs beyond the contract. NULL when it is all there. */
static const char *check_rest(const struct invocation *v)
{
    size_t n = v->connection_id == NULL ? 0 : strlen(v->connection_id);
    if (n == 0 || n > CONNECTION_MAX)
        return "/connectionId: must have 1 to 200 bytes";
    if (v->native_id == NULL)
        return "/nativeMeetingId: Field required";
    if (v->ingest_url != NULL && v->meeting_id <= 0)
        return "/meeting_id: must be positive where transcriptIngestUrl is given";
    if (!header_safe(v->token) || !header_safe(v->internal_secret))
        return "/token, /internalSecret: must not hold control characters";
    if (v->waiting_room_ms < 0 || v->everyone_left_ms < 0)
        return "/automaticLeave: must not hold negative times";
    return NULL;
}

enum vx_err invocation_read(struct arena *a, const char *text, struct invocation *out,
                            const char **why)
{
    struct json_object *o = NULL;
    struct json_fault fault;
    *out = (struct invocation){0};
    *why = NULL;
    if (text == NULL || text[0] == '\0') {
        *why = "VEXA_BOT_CONFIG is not set";
        return VX_ERR_VALIDATION;
    }
    size_t n = strlen(text);
    if (n > CONFIG_MAX) {
        *why = "VEXA_BOT_CONFIG is too long";
        return VX_ERR_VALIDATION;
    }
    enum vx_err err = json_read(a, text, n, &o, &fault);
    if (err == VX_ERR_JSON_INVALID) {
        *why = arena_printf(a, "not JSON: %s at position %zu", fault.message, fault.pos);
        return VX_ERR_VALIDATION;
    }
    if (err != VX_OK)
        return err;
    if (o == NULL || !json_object_is_type(o, json_type_object)) {
        *why = "not a JSON object";
        return VX_ERR_VALIDATION;
    }
    err = check_contract(a, o, why);
    if (err != VX_OK)
        return err;
    if (*why != NULL)
        return VX_ERR_VALIDATION;

    struct json_object *leave = NULL;
    (void)json_object_object_get_ex(o, "automaticLeave", &leave);
    out->platform = json_get_str(o, "platform");
    out->bot_name = json_get_str(o, "botName");
    out->native_id = json_get_str(o, "nativeMeetingId");
    out->connection_id = json_get_str(o, "connectionId");
    out->container_name = json_get_str(o, "container_name");
    out->callback_url = json_get_str(o, "meetingApiCallbackUrl");
    out->ingest_url = json_get_str(o, "transcriptIngestUrl");
    out->command_url = json_get_str(o, "commandStreamUrl");
    out->token = json_get_str(o, "token");
    out->internal_secret = json_get_str(o, "internalSecret");
    out->meeting_id = json_get_int(o, "meeting_id", 0);
    out->waiting_room_ms = leave == NULL
                               ? WAITING_ROOM_MS
                               : json_get_int(leave, "waitingRoomTimeout", WAITING_ROOM_MS);
    out->everyone_left_ms =
        leave == NULL ? EVERYONE_MS : json_get_int(leave, "everyoneLeftTimeout", EVERYONE_MS);
    *why = check_rest(out);
    return *why == NULL ? VX_OK : VX_ERR_VALIDATION;
}
