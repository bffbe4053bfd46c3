/* Idempotency keys: one row for each request that came with a key. The row is there before the work
 * begins, in progress under a lease; a 2xx answer stays in it for a day, any other answer and a
 * lease that ran out free the key again. */
#ifndef VX_STORE_IDEMPOTENCY_H
#define VX_STORE_IDEMPOTENCY_H

#include "lib/secret.h"
#include "lib/store.h"

#define IDEMPOTENCY_LEASE_MS ((int64_t)60 * 1000)           /* of work in progress */
#define IDEMPOTENCY_KEEP_MS  ((int64_t)24 * 60 * 60 * 1000) /* of an answer */

/* What a key belongs to. All strings are borrowed for the call. */
struct idempotency_scope {
    int64_t user_id; /* 0: the admin */
    const char *method, *path, *key;
};

/* What a key leads to. */
struct idempotency_outcome {
    int64_t claim;    /* not 0: the work is the caller's, who ends it with keep or free */
    int status;       /* else the answer that was kept */
    const char *body; /* in the arena; "" = none */
};

/* Claims the key for a request with this fingerprint. VX_ERR_IDEMPOTENCY_MISMATCH when the key was
 * used with another one, VX_ERR_IDEMPOTENCY_IN_PROGRESS while the first still runs. An answer that
 * was kept is found without a write. */
enum vx_err store_idempotency_claim(struct store *st, struct store_conn *rd, struct arena *a,
                                    const struct idempotency_scope *scope,
                                    const unsigned char fingerprint[SECRET_SHA256],
                                    struct idempotency_outcome *out);
/* Keeps the answer of a claim. VX_ERR_INVALID_STATE when its lease ran out and the key went on. */
enum vx_err store_idempotency_keep(struct store *st, int64_t claim, int status, const char *body);
/* The same inside the transaction that does the work, so that a kill leaves both or neither. */
struct idempotency_keep {
    int64_t claim;
    int status;
    const char *(*body)(void *ctx); /* asked when the work is done, on the writer's thread; NULL =
                                       no memory */
    void *ctx;
};
/* For lib/store_*.c, as the last step of a write; keep NULL: nothing to do. When the claim's lease
 * ran out it fails with VX_ERR_IDEMPOTENCY_IN_PROGRESS, and the work with it. */
enum vx_err idempotency_keep_within(struct store_conn *w, const struct idempotency_keep *keep);
/* Frees the key of a claim: the request may be tried again. */
enum vx_err store_idempotency_free(struct store *st, int64_t claim);
/* Erases at most 1,000 rows whose time is over. *more: there may be further ones. */
enum vx_err store_idempotency_sweep(struct store *st, struct store_conn *rd, bool *more);

#endif
