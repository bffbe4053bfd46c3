/* Users and their API keys (spec/gateway-identity.md §2.2, §2.3, §3). */
#ifndef VX_STORE_USERS_H
#define VX_STORE_USERS_H

#include "lib/store.h"
#include "lib/store_idempotency.h"

enum scope_bits { SCOPE_BOT = 1, SCOPE_TX = 2, SCOPE_BROWSER = 4 };

struct user {
    int64_t id, max_concurrent_bots, created_ms;
    const char *email, *name /* may be NULL */, *data /* JSON object text */;
};

struct token {
    int64_t id, user_id, created_ms, last_used_ms /* 0 never */, expires_ms /* 0 never */;
    const char *scopes; /* "bot,tx": order and duplicates as minted */
    const char *name;   /* may be NULL */
};

/* Who is calling: the answer of an API key. */
struct identity {
    int64_t user_id, token_id, max_concurrent_bots, expires_ms /* 0 never */;
    const char *email, *scopes;
    unsigned scope_bits;
};

/* Find or create by email. *created tells which. Existing rows are returned unchanged. Strings of
 * *out live in a. */
enum vx_err store_user_create(struct store *st, struct arena *a, const char *email,
                              const char *name, int64_t max_bots, struct user *out, bool *created);
/* VX_ERR_USER_NOT_FOUND when absent. */
enum vx_err store_user_by_id(struct store_conn *c, struct arena *a, int64_t id, struct user *out);
enum vx_err store_user_by_email(struct store_conn *c, struct arena *a, const char *email,
                                struct user *out);
/* Sets max_concurrent_bots when max_bots >= 0 and merges the top-level keys of data (JSON object
 * text, may be NULL) into the stored object; VX_ERR_PAYLOAD_TOO_LARGE when the merged object
 * would pass 16 KiB. Atomic. */
enum vx_err store_user_update(struct store *st, struct arena *a, int64_t id, int64_t max_bots,
                              const char *data, struct user *out);

/* Stores the SHA-256 of key. expires_ms 0 = never. keep is asked when *id is known; NULL: nothing
 * to keep. */
enum vx_err store_token_create(struct store *st, int64_t user_id, const char *key,
                               const char *scopes, const char *name, int64_t expires_ms,
                               int64_t *id, const struct idempotency_keep *keep);
/* Rows of a user ordered by id; VX_ERR_USER_NOT_FOUND for an unknown user. */
enum vx_err store_token_list(struct store_conn *c, struct arena *a, int64_t user_id,
                             struct token **out, size_t *n);
/* VX_ERR_TOKEN_NOT_FOUND when absent. Effective with the next request of every process. */
enum vx_err store_token_delete(struct store *st, int64_t id);
/* Who holds this key. VX_ERR_INVALID_API_KEY when unknown or expired. Notes last_used_at at most
 * once a minute, without waiting. */
enum vx_err store_token_identify(struct store_conn *c, struct arena *a, const char *key,
                                 struct identity *out);
/* True while the token exists and has not expired (used by open streams). */
enum vx_err store_token_alive(struct store_conn *c, int64_t token_id, bool *alive);

/* "bot,tx" -> bits; unknown words grant nothing. */
unsigned scopes_parse(const char *scopes);

#endif
