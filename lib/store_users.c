/* Users: find or create, read, update. */
#include "lib/store_users.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/log.h"
#include "lib/store_sql.h"

#define USER_DATA_MAX (16 * 1024)
#define USER_SELECT   "SELECT id, email, name, max_concurrent_bots, data, created_ms FROM users"

/* Takes the first row of a started statement and ends it. */
static enum vx_err user_take(struct store_conn *c, struct arena *a, sqlite3_stmt *st,
                             struct user *out)
{
    bool row;
    enum vx_err err = sql_step(c, st, &row);
    if (err == VX_OK && !row)
        err = VX_ERR_USER_NOT_FOUND;
    if (err == VX_OK) {
        *out = (struct user){
            .id = sqlite3_column_int64(st, 0),
            .email = sql_text(a, st, 1, &err),
            .name = sql_text(a, st, 2, &err),
            .max_concurrent_bots = sqlite3_column_int64(st, 3),
            .data = sql_text(a, st, 4, &err),
            .created_ms = sqlite3_column_int64(st, 5),
        };
    }
    sql_end(st);
    return err;
}

enum vx_err store_user_by_id(struct store_conn *c, struct arena *a, int64_t id, struct user *out)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(c, &st, USER_SELECT " WHERE id = ?", "i", id);
    return err != VX_OK ? err : user_take(c, a, st, out);
}

enum vx_err store_user_by_email(struct store_conn *c, struct arena *a, const char *email,
                                struct user *out)
{
    sqlite3_stmt *st;
    enum vx_err err = sql_begin(c, &st, USER_SELECT " WHERE email = ?", "t", email);
    return err != VX_OK ? err : user_take(c, a, st, out);
}

struct user_create {
    struct arena *a;
    const char *email, *name;
    int64_t max_bots;
    struct user *out;
    bool created;
};

static enum vx_err user_create_run(struct store_conn *w, void *ctx)
{
    struct user_create *j = ctx;
    j->created = false;
    enum vx_err err = store_user_by_email(w, j->a, j->email, j->out);
    if (err != VX_ERR_USER_NOT_FOUND)
        return err;
    err = sql_exec(w,
                   "INSERT INTO users (email, name, max_concurrent_bots, data, created_ms)"
                   " VALUES (?, ?, ?, '{}', ?)",
                   "ttii", j->email, j->name, j->max_bots, clock_now_ms());
    if (err != VX_OK)
        return err;
    j->created = true;
    return store_user_by_id(w, j->a, sql_last_id(w), j->out);
}

enum vx_err store_user_create(struct store *st, struct arena *a, const char *email,
                              const char *name, int64_t max_bots, struct user *out, bool *created)
{
    struct user_create j = {a, email, name, max_bots, out, false};
    enum vx_err err = store_write(st, user_create_run, &j);
    *created = err == VX_OK && j.created;
    return err;
}

struct user_update {
    struct arena *a;
    int64_t id, max_bots;
    const char *data;
    struct user *out;
};

/* The stored object with the keys of patch laid over it. VX_ERR_INTERNAL when the row is damaged.
 */
static enum vx_err user_merge(struct arena *a, const struct user *u, const char *patch_text,
                              const char **merged)
{
    struct json_fault fault;
    struct json_object *data = NULL, *patch = NULL;
    enum vx_err err = json_read(a, u->data, strlen(u->data), &data, &fault);
    if (err == VX_ERR_JSON_INVALID ||
        (err == VX_OK && !json_object_is_type(data, json_type_object))) {
        log_msg(LOG_ERROR_, "corrupt_row", "user %lld: data is not a JSON object",
                (long long)u->id);
        return VX_ERR_INTERNAL;
    }
    if (err == VX_OK)
        err = json_read(a, patch_text, strlen(patch_text), &patch, &fault);
    if (err != VX_OK)
        return err;
    if (!json_object_is_type(patch, json_type_object))
        return VX_ERR_VALIDATION;
    json_object_object_foreach(patch, key, value)
    {
        if (value == NULL ? json_put_null(data, key) : json_put(data, key, json_object_get(value)))
            return VX_ERR_NO_MEMORY;
    }
    const char *text = json_text(data);
    if (text == NULL)
        return VX_ERR_NO_MEMORY;
    if (strlen(text) > USER_DATA_MAX)
        return VX_ERR_PAYLOAD_TOO_LARGE;
    *merged = text;
    return VX_OK;
}

static enum vx_err user_update_run(struct store_conn *w, void *ctx)
{
    struct user_update *j = ctx;
    enum vx_err err = store_user_by_id(w, j->a, j->id, j->out);
    if (err != VX_OK)
        return err;
    if (j->data != NULL) {
        const char *merged;
        err = user_merge(j->a, j->out, j->data, &merged);
        if (err == VX_OK)
            err = sql_exec(w, "UPDATE users SET data = ? WHERE id = ?", "ti", merged, j->id);
        if (err != VX_OK)
            return err;
    }
    if (j->max_bots >= 0) {
        err = sql_exec(w, "UPDATE users SET max_concurrent_bots = ? WHERE id = ?", "ii",
                       j->max_bots, j->id);
        if (err != VX_OK)
            return err;
    }
    return store_user_by_id(w, j->a, j->id, j->out);
}

enum vx_err store_user_update(struct store *st, struct arena *a, int64_t id, int64_t max_bots,
                              const char *data, struct user *out)
{
    struct user_update j = {a, id, max_bots, data, out};
    return store_write(st, user_update_run, &j);
}
