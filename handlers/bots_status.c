/* GET /bots/status: what runs now and what failed lately (shapes.md "Bots and meetings"). A bot
 * that could not join is seen here, not on POST /bots. */
#include "handlers/handlers.h"
#include "handlers/meeting_json.h"
#include "lib/clock.h"
#include "lib/config.h"
#include "lib/json_scan.h"

/* Takes both lists over. NULL when out of memory. */
static struct json_object *status_body(struct json_object *running, size_t n,
                                       struct json_object *failed)
{
    struct json_object *o = json_object_new_object();
    int bad = json_put(o, "running", json_object_get(running));
    bad |= json_put(o, "running_bots", running);
    bad |= json_put_int(o, "count", (int64_t)n);
    bad |= json_put(o, "failed", failed);
    if (bad == 0)
        return o;
    json_object_put(o);
    return NULL;
}

void handle_bots_status(struct request *rq, struct response *rs)
{
    const char *platform = request_query(rq, "platform");
    int64_t since = clock_now_ms() - config_int(rq->app->cfg, CFG_BOTS_FAILED_WINDOW) * 1000;
    struct meeting *run, *fail;
    size_t n_run = 0, n_fail = 0;
    struct json_object *running = NULL, *failed = NULL;

    /* One snapshot: a meeting that fails in between must not be in neither list. */
    enum vx_err err = store_snapshot_begin(rq->db);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    err = store_meeting_running(rq->db, rq->arena, rq->who.user_id, platform, &run, &n_run);
    if (err == VX_OK)
        err = store_meeting_failed(rq->db, rq->arena, rq->who.user_id, platform, since, &fail,
                                   &n_fail);
    store_snapshot_end(rq->db);

    if (err == VX_OK)
        err = meeting_rows(rq->arena, run, n_run, MEETING_LIST, &running);
    if (err == VX_OK)
        err = meeting_rows(rq->arena, fail, n_fail, MEETING_LIST, &failed);
    if (err != VX_OK) {
        json_object_put(running);
        response_fail(rs, err);
        return;
    }
    response_json(rs, 200, status_body(running, n_run, failed));
}
