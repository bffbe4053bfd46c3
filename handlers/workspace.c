/* The agent workspace, for reading: its files, how it stands against its last commit, and making
 * the first one. A user names only their own: the id comes from the key, slug may only repeat it.
 */
#include <stdio.h>
#include <string.h>

#include "handlers/handlers.h"
#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/py_text.h"
#include "lib/workspace.h"

/* The caller's workspace; NULL when the response is the refusal. */
static struct workspace *open_own(struct request *rq, struct response *rs, bool *seeded)
{
    const char *slug = request_query(rq, "slug");
    struct workspace *ws = NULL;
    char mine[32];
    snprintf(mine, sizeof mine, "%lld", (long long)rq->who.user_id);
    if (slug != NULL && *slug != '\0' && strcmp(slug, mine) != 0) {
        response_fail(rs, VX_ERR_WORKSPACE_FORBIDDEN);
        return NULL;
    }
    enum vx_err err = workspace_open(rq->app->in->dir, rq->who.user_id, &ws, seeded);
    if (err != VX_OK)
        response_fail(rs, err);
    return ws;
}

void handle_workspace_tree(struct request *rq, struct response *rs)
{
    struct workspace *ws = open_own(rq, rs, NULL);
    struct json_object *o, *files = NULL;
    bool cut = false;
    if (ws == NULL)
        return;
    enum vx_err err = workspace_files(ws, request_query_bool(rq, "hidden", false), &files, &cut);
    workspace_close(ws);
    if (err != VX_OK) {
        response_fail(rs, err);
        return;
    }
    o = json_object_new_object();
    if (o == NULL || json_put(o, "files", json_object_get(files)) != 0 ||
        json_put_bool(o, "truncated", cut) != 0) {
        json_object_put(o);
        o = NULL;
    }
    json_object_put(files);
    response_json(rs, 200, o);
}

void handle_workspace_file(struct request *rq, struct response *rs)
{
    const char *path = request_query(rq, "path");
    struct workspace *ws = open_own(rq, rs, NULL);
    struct json_object *o;
    struct buf text;
    if (ws == NULL)
        return;
    buf_init(&text, WORKSPACE_FILE_MAX + 1);
    enum vx_err err = workspace_read(ws, path, &text);
    workspace_close(ws);
    if (err == VX_OK && text.len > 0 && utf8_check(text.data, text.len) != text.len)
        err = VX_ERR_NOT_TEXT;
    if (err == VX_ERR_PAYLOAD_TOO_LARGE) {
        response_fail_text(rs, err, "File is larger than %d bytes", WORKSPACE_FILE_MAX);
        response_extra(rs, "limit", json_object_new_int(WORKSPACE_FILE_MAX));
    } else if (err != VX_OK) {
        response_fail(rs, err);
    } else {
        o = json_object_new_object();
        if (o == NULL || json_put_str(o, "path", path) != 0 ||
            json_put(o, "content",
                     json_object_new_string_len(text.len > 0 ? text.data : "", (int)text.len)) !=
                0) {
            json_object_put(o);
            o = NULL;
        }
        response_json(rs, 200, o);
    }
    buf_free(&text);
}

static void answer(struct response *rs, enum vx_err err, struct json_object *o)
{
    if (err != VX_OK)
        response_fail(rs, err);
    else
        response_json(rs, 200, o);
}

void handle_workspace_git(struct request *rq, struct response *rs)
{
    struct workspace *ws = open_own(rq, rs, NULL);
    struct json_object *o = NULL;
    if (ws == NULL)
        return;
    enum vx_err err = workspace_git_state(ws, clock_now_ms(), &o);
    workspace_close(ws);
    answer(rs, err, o);
}

void handle_workspace_git_show(struct request *rq, struct response *rs)
{
    const char *path = request_query(rq, "path");
    struct workspace *ws;
    struct json_object *o = NULL;
    if (path != NULL && *path != '\0' && !workspace_path_ok(path)) {
        response_fail(rs, VX_ERR_INVALID_PATH);
        return;
    }
    ws = open_own(rq, rs, NULL);
    if (ws == NULL)
        return;
    enum vx_err err = workspace_git_show(ws, request_query(rq, "sha"),
                                         path != NULL && *path != '\0' ? path : NULL, &o);
    workspace_close(ws);
    answer(rs, err, o);
}

void handle_workspace_init(struct request *rq, struct response *rs)
{
    bool seeded = false;
    struct workspace *ws = open_own(rq, rs, &seeded);
    struct json_object *o;
    if (ws == NULL)
        return;
    o = json_object_new_object();
    if (o == NULL || json_put_str(o, "workspace", workspace_path(ws)) != 0 ||
        json_put_bool(o, "seeded", seeded) != 0 ||
        json_put_bool(o, "already_initialized", !seeded) != 0 ||
        json_put_bool(o, "system_seeded", false) != 0) { /* there is no second one */
        json_object_put(o);
        o = NULL;
    }
    workspace_close(ws);
    response_json(rs, 201, o);
}
