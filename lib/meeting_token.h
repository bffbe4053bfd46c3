/* The meeting's token a bot talks with: JWT HS256 (spec/meetings.md §7.4; shapes.md). */
#ifndef VX_MEETING_TOKEN_H
#define VX_MEETING_TOKEN_H

#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"

struct meeting_claims {
    int64_t meeting_id, user_id;
    const char *platform, *native_id, *session_uid; /* session_uid may be NULL */
    int64_t exp_s, iat_s;
};

/* Text in the arena; NULL when key is empty or memory ran out. */
const char *meeting_token_sign(struct arena *a, const char *key, const struct meeting_claims *c);
/* VX_ERR_INVALID_MEETING_TOKEN (malformed, alg not HS256, signature) or
 * VX_ERR_MEETING_TOKEN_EXPIRED (now > exp). Only after the signature is right are claims read. */
enum vx_err meeting_token_verify(struct arena *a, const char *key, const char *token, int64_t now_s,
                                 struct meeting_claims *out);

#endif
