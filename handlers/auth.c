/* GET /auth/me: who holds this key (spec/gateway-identity.md §1.3). */
#include "handlers/body.h"
#include "handlers/handlers.h"
#include "lib/json_scan.h"

void handle_auth_me(struct request *rq, struct response *rs)
{
    const char *scopes = rq->who.scopes;
    if (scopes == NULL || *scopes == '\0')
        scopes = "legacy";
    struct json_object *o = json_object_new_object();
    if (o != NULL) {
        int bad = json_put_int(o, "user_id", rq->who.user_id);
        bad |= json_put_str(o, "email", rq->who.email != NULL ? rq->who.email : "");
        bad |= json_put(o, "scopes", scopes_json(rq->arena, scopes));
        bad |= json_put_int(o, "max_concurrent", rq->who.max_concurrent_bots);
        if (bad != 0) {
            json_object_put(o);
            o = NULL;
        }
    }
    response_json(rs, 200, o);
}
