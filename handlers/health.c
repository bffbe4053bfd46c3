/* GET /health and GET /ready (shapes.md "HTTP, everywhere"). */
#include "handlers/handlers.h"
#include "lib/json_scan.h"
#include "lib/store_events.h"
#include "lib/store_schema.h"
#include "lib/store_workloads.h"

/* A runner that was not seen for this long counts as gone. */
#define RUNNER_SEEN_MS 15000

void handle_health(struct request *rq, struct response *rs)
{
    (void)rq;
    struct json_object *o = json_object_new_object();
    if (o != NULL &&
        (json_put_str(o, "status", "ok") != 0 || json_put_str(o, "service", "vexa") != 0)) {
        json_object_put(o);
        o = NULL;
    }
    response_json(rs, 200, o);
}

struct readiness {
    bool database, schema, runner;
    int version;
    int64_t age_ms; /* -1 = never seen */
};

/* {"ok":…, name: value} */
static struct json_object *check_object(bool ok, const char *name, struct json_object *value)
{
    struct json_object *o = json_object_new_object();
    if (o == NULL) {
        json_object_put(value);
        return NULL;
    }
    int bad = json_put_bool(o, "ok", ok);
    if (name != NULL)
        bad |= value != NULL ? json_put(o, name, value) : json_put_null(o, name);
    if (bad != 0) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

static struct json_object *checks_object(const struct readiness *r)
{
    struct json_object *o = json_object_new_object();
    if (o == NULL)
        return NULL;
    struct json_object *age = r->age_ms >= 0 ? json_number((double)r->age_ms / 1000.0) : NULL;
    int bad = json_put(o, "database", check_object(r->database, NULL, NULL));
    bad |=
        json_put(o, "schema", check_object(r->schema, "version", json_object_new_int(r->version)));
    bad |= json_put(o, "runner", check_object(r->runner, "seen_seconds_ago", age));
    if (bad != 0) {
        json_object_put(o);
        return NULL;
    }
    return o;
}

void handle_ready(struct request *rq, struct response *rs)
{
    struct readiness r = {.age_ms = -1, .version = store_schema_version(rq->app->store)};
    int64_t tip;

    /* Two real reads: the file must open, its pages must come. */
    r.database = store_runner_age(rq->db, &r.age_ms) == VX_OK && events_tip(rq->db, &tip) == VX_OK;
    r.schema = r.version == store_schema_latest;
    r.runner = r.database && r.age_ms >= 0 && r.age_ms <= RUNNER_SEEN_MS;

    struct json_object *checks = checks_object(&r);
    if (checks == NULL) {
        response_fail(rs, VX_ERR_NO_MEMORY);
        return;
    }
    if (r.database && r.schema && r.runner) {
        struct json_object *o = json_object_new_object();
        if (o == NULL || json_put_str(o, "status", "ready") != 0) {
            json_object_put(checks);
            json_object_put(o);
            o = NULL;
        } else if (json_put(o, "checks", checks) != 0) {
            json_object_put(o);
            o = NULL;
        }
        response_json(rs, 200, o);
        return;
    }
    const char *why = !r.database     ? "the database cannot be read"
                      : !r.schema     ? "the database has another schema than this program"
                      : r.age_ms >= 0 ? "the runner has not been seen for more than 15 seconds"
                                      : "no runner has ever been seen";
    response_fail_text(rs, VX_ERR_NOT_READY, "The instance is not ready: %s", why);
    response_extra(rs, "status", json_object_new_string("not_ready"));
    response_extra(rs, "checks", checks);
}
