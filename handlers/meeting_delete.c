/* DELETE /meetings/{meeting_id:int} and DELETE /meetings/{platform}/{native_meeting_id}
 * (spec/meetings.md §1.7, §1.8). A deleted meeting is absent from then on: a second DELETE is 404.
 */
#include <string.h>

#include "handlers/handlers.h"
#include "lib/json_scan.h"
#include "lib/store_meetings.h"

/* Fills *m; false: the response is the refusal. */
static bool delete_meeting(struct request *rq, struct response *rs, int64_t id, struct meeting *m)
{
    enum vx_err err = store_meeting_delete(rq->app->store, rq->arena, rq->who.user_id, id, m);
    if (err == VX_OK)
        return true;
    if (err == VX_ERR_INVALID_STATE) {
        response_fail_text(rs, err,
                           "Meeting artifacts can only be deleted after the lifecycle is terminal");
        response_extra(rs, "meeting_id", json_object_new_int64(m->id));
        response_extra(rs, "status", json_object_new_string(m->status));
        return false;
    }
    response_fail(rs, err);
    return false;
}

void handle_meeting_delete(struct request *rq, struct response *rs)
{
    struct meeting m;
    if (delete_meeting(rq, rs, rq->int_params[0], &m))
        response_empty(rs);
}

void handle_meeting_delete_by_native(struct request *rq, struct response *rs)
{
    const char *platform = rq->params[0], *native_id = rq->params[1];
    struct meeting m;
    enum vx_err err =
        store_meeting_by_native(rq->db, rq->arena, rq->who.user_id, platform, native_id, &m);
    if (err == VX_ERR_MEETING_NOT_FOUND) {
        response_fail_text(rs, err, "Meeting not found for platform %s and ID %s", platform,
                           native_id);
        return;
    }
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    if (!delete_meeting(rq, rs, m.id, &m))
        return;
    struct json_object *o = json_object_new_object();
    int bad = json_put_str(o, "status", "deleted");
    bad |= json_put_int(o, "id", m.id);
    bad |= json_put_str(o, "platform", m.platform);
    bad |= json_put_str(o, "native_meeting_id", m.native_id);
    if (lifecycle_is_terminal(m.status)) {
        bad |= json_put_str(o, "deleted", "completed_meeting_artifacts");
        bad |= json_put_int(o, "objects_deleted", 0); /* no recordings are stored */
        bad |= json_put_str(o, "backup_residuals", "expire_under_deployment_retention_policy");
    }
    if (bad != 0) {
        json_object_put(o);
        o = NULL;
    }
    response_json(rs, 200, o);
}
