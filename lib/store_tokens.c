/* API keys: kept as SHA-256 only, looked up by it (spec/gateway-identity.md §3). */
#include "lib/store_users.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/secret.h"
#include "lib/store_sql.h"

#define LAST_USED_STEP_MS 60000

unsigned scopes_parse(const char *scopes)
{
    static const struct {
        const char *word;
        unsigned bit;
    } known[] = {{"bot", SCOPE_BOT}, {"tx", SCOPE_TX}, {"browser", SCOPE_BROWSER}};
    unsigned bits = 0;
    while (scopes != NULL && *scopes != '\0') {
        size_t n = strcspn(scopes, ",");
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if (n == strlen(known[i].word) && memcmp(scopes, known[i].word, n) == 0)
                bits |= known[i].bit;
        scopes += n;
        if (*scopes == ',')
            scopes++;
    }
    return bits;
}

static enum vx_err user_must_exist(struct store_conn *c, int64_t user_id)
{
    int64_t one;
    bool found;
    enum vx_err err = sql_int(c, &one, &found, "SELECT 1 FROM users WHERE id = ?", "i", user_id);
    return err == VX_OK && !found ? VX_ERR_USER_NOT_FOUND : err;
}

struct token_create {
    int64_t user_id, expires_ms, *id;
    unsigned char hash[SECRET_SHA256];
    const char *scopes, *name;
    const struct idempotency_keep *keep;
};

static enum vx_err token_create_run(struct store_conn *w, void *ctx)
{
    struct token_create *j = ctx;
    enum vx_err err = user_must_exist(w, j->user_id);
    if (err != VX_OK)
        return err;
    err = sql_exec(w,
                   "INSERT INTO tokens (user_id, hash, scopes, name, created_ms, expires_ms)"
                   " VALUES (?, ?, ?, ?, ?, ?)",
                   "ibttio", j->user_id, j->hash, sizeof j->hash, j->scopes, j->name,
                   clock_now_ms(), j->expires_ms);
    if (err != VX_OK)
        return err;
    *j->id = sql_last_id(w);
    return idempotency_keep_within(w, j->keep);
}

enum vx_err store_token_create(struct store *st, int64_t user_id, const char *key,
                               const char *scopes, const char *name, int64_t expires_ms,
                               int64_t *id, const struct idempotency_keep *keep)
{
    struct token_create j = {.user_id = user_id,
                             .expires_ms = expires_ms,
                             .id = id,
                             .scopes = scopes,
                             .name = name,
                             .keep = keep};
    if (secret_sha256(key, strlen(key), j.hash) != 0)
        return VX_ERR_SYSTEM;
    return store_write(st, token_create_run, &j);
}

static enum vx_err token_row(sqlite3_stmt *st, struct arena *a, void *row)
{
    enum vx_err err = VX_OK;
    *(struct token *)row = (struct token){
        .id = sqlite3_column_int64(st, 0),
        .user_id = sqlite3_column_int64(st, 1),
        .created_ms = sqlite3_column_int64(st, 2),
        .last_used_ms = sqlite3_column_int64(st, 3),
        .expires_ms = sqlite3_column_int64(st, 4),
        .scopes = sql_text(a, st, 5, &err),
        .name = sql_text(a, st, 6, &err),
    };
    return err;
}

enum vx_err store_token_list(struct store_conn *c, struct arena *a, int64_t user_id,
                             struct token **out, size_t *n)
{
    sqlite3_stmt *st;
    void *rows;
    *out = NULL;
    *n = 0;
    enum vx_err err = user_must_exist(c, user_id);
    if (err != VX_OK)
        return err;
    err = sql_begin(c, &st,
                    "SELECT id, user_id, created_ms, last_used_ms, expires_ms, scopes, name"
                    " FROM tokens WHERE user_id = ? ORDER BY id",
                    "i", user_id);
    if (err != VX_OK)
        return err;
    err = sql_rows(c, a, st, sizeof **out, token_row, &rows, n);
    *out = rows;
    return err;
}

static enum vx_err token_delete_run(struct store_conn *w, void *ctx)
{
    const int64_t *id = ctx;
    enum vx_err err = sql_exec(w, "DELETE FROM tokens WHERE id = ?", "i", *id);
    return err == VX_OK && sql_changes(w) == 0 ? VX_ERR_TOKEN_NOT_FOUND : err;
}

enum vx_err store_token_delete(struct store *st, int64_t id)
{
    return store_write(st, token_delete_run, &id);
}

struct token_used {
    int64_t id, now;
};

static enum vx_err token_used_run(struct store_conn *w, void *ctx)
{
    const struct token_used *j = ctx;
    /* Guarded again: many requests of one key may have queued this note. */
    return sql_exec(w,
                    "UPDATE tokens SET last_used_ms = ?1"
                    " WHERE id = ?2 AND (last_used_ms IS NULL OR last_used_ms < ?3)",
                    "iii", j->now, j->id, j->now - LAST_USED_STEP_MS);
}

/* Losing this note is allowed, so every failure is ignored. */
static void token_note_used(struct store *st, int64_t id, int64_t now)
{
    struct token_used *j = malloc(sizeof *j);
    if (j == NULL)
        return;
    *j = (struct token_used){id, now};
    store_write_later(st, token_used_run, j, free);
}

enum vx_err store_token_identify(struct store_conn *c, struct arena *a, const char *key,
                                 struct identity *out)
{
    unsigned char hash[SECRET_SHA256];
    sqlite3_stmt *st;
    bool row;
    int64_t last_used = 0, now = clock_now_ms();
    if (secret_sha256(key, strlen(key), hash) != 0)
        return VX_ERR_SYSTEM;
    enum vx_err err = sql_begin(c, &st,
                                "SELECT t.id, t.user_id, t.expires_ms, t.last_used_ms, t.scopes,"
                                " u.email, u.max_concurrent_bots"
                                " FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.hash = ?",
                                "b", hash, sizeof hash);
    if (err != VX_OK)
        return err;
    err = sql_step(c, st, &row);
    if (err == VX_OK && !row)
        err = VX_ERR_INVALID_API_KEY;
    if (err == VX_OK) {
        *out = (struct identity){
            .token_id = sqlite3_column_int64(st, 0),
            .user_id = sqlite3_column_int64(st, 1),
            .expires_ms = sqlite3_column_int64(st, 2),
            .scopes = sql_text(a, st, 4, &err),
            .email = sql_text(a, st, 5, &err),
            .max_concurrent_bots = sqlite3_column_int64(st, 6),
        };
        last_used = sqlite3_column_int64(st, 3);
    }
    sql_end(st);
    if (err != VX_OK)
        return err;
    if (out->expires_ms != 0 && out->expires_ms <= now)
        return VX_ERR_INVALID_API_KEY;
    out->scope_bits = scopes_parse(out->scopes);
    if (last_used < now - LAST_USED_STEP_MS)
        token_note_used(c->store, out->token_id, now);
    return VX_OK;
}

enum vx_err store_token_alive(struct store_conn *c, int64_t token_id, bool *alive)
{
    int64_t one;
    return sql_int(c, &one, alive,
                   "SELECT 1 FROM tokens"
                   " WHERE id = ? AND (expires_ms IS NULL OR expires_ms > ?)",
                   "ii", token_id, clock_now_ms());
}
