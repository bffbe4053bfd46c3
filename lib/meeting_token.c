/* JWT HS256, both ways. Nothing of a token is parsed before its signature is right, and the
 * algorithm is never taken from the token: the header is only checked to name ours. */
#include "lib/meeting_token.h"

#include <stdbool.h>
#include <string.h>

#include "lib/json_scan.h"
#include "lib/secret.h"

#define TOKEN_MAX    4096
#define SIG_TEXT_MAX (4 * ((SECRET_SHA256 + 2) / 3) + 1)

static const char header_json[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";

static char *b64url(struct arena *a, const char *text)
{
    size_t n = strlen(text);
    char *out = arena_alloc(a, 4 * ((n + 2) / 3) + 1);
    if (out)
        secret_b64url_encode(text, n, out);
    return out;
}

/* The signature of n bytes as base64url. */
static int sign_text(const char *key, const char *data, size_t n, char out[SIG_TEXT_MAX])
{
    unsigned char mac[SECRET_SHA256];
    if (secret_hmac_sha256(key, strlen(key), data, n, mac) != 0)
        return -1;
    secret_b64url_encode(mac, sizeof mac, out);
    return 0;
}

/* The claims as compact JSON, owned by the arena. */
static const char *claims_json(struct arena *a, const struct meeting_claims *c)
{
    char jti[37];
    struct json_object *o = arena_own_json(a, json_object_new_object());
    if (!o || secret_uuid(jti) != 0)
        return NULL;
    if (json_put_int(o, "meeting_id", c->meeting_id) != 0 ||
        json_put_int(o, "user_id", c->user_id) != 0 ||
        json_put_str(o, "platform", c->platform) != 0 ||
        json_put_str(o, "native_meeting_id", c->native_id) != 0 ||
        (c->session_uid && json_put_str(o, "session_uid", c->session_uid) != 0) ||
        json_put_str(o, "scope", "transcribe:write") != 0 ||
        json_put_str(o, "iss", "meeting-api") != 0 ||
        json_put_str(o, "aud", "transcription-collector") != 0 ||
        json_put_int(o, "iat", c->iat_s) != 0 || json_put_int(o, "exp", c->exp_s) != 0 ||
        json_put_str(o, "jti", jti) != 0)
        return NULL;
    return json_text(o);
}

const char *meeting_token_sign(struct arena *a, const char *key, const struct meeting_claims *c)
{
    if (!key || !*key)
        return NULL;
    const char *claims = claims_json(a, c);
    if (!claims)
        return NULL;
    const char *head = b64url(a, header_json), *body = b64url(a, claims);
    if (!head || !body)
        return NULL;
    const char *signed_part = arena_printf(a, "%s.%s", head, body);
    char sig[SIG_TEXT_MAX];
    if (!signed_part || sign_text(key, signed_part, strlen(signed_part), sig) != 0)
        return NULL;
    return arena_printf(a, "%s.%s", signed_part, sig);
}

/* Decodes and parses one part. VX_ERR_INVALID_MEETING_TOKEN unless it is a JSON object. */
static enum vx_err read_part(struct arena *a, const char *s, size_t n, struct json_object **out)
{
    unsigned char *raw = arena_alloc(a, n + 1);
    if (!raw)
        return VX_ERR_NO_MEMORY;
    long len = secret_b64url_decode(s, n, raw, n + 1);
    struct json_fault fault;
    struct json_object *o = NULL;
    if (len < 0)
        return VX_ERR_INVALID_MEETING_TOKEN;
    enum vx_err err = json_read(a, (const char *)raw, (size_t)len, &o, &fault);
    if (err == VX_ERR_NO_MEMORY)
        return err;
    if (err != VX_OK || !json_object_is_type(o, json_type_object))
        return VX_ERR_INVALID_MEETING_TOKEN;
    *out = o;
    return VX_OK;
}

static bool is_int(struct json_object *o, const char *key)
{
    struct json_object *v;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_int);
}

/* Takes the claims over; the strings stay in the arena's tree. */
static enum vx_err take_claims(struct json_object *o, struct meeting_claims *out)
{
    *out = (struct meeting_claims){
        .meeting_id = json_get_int(o, "meeting_id", 0),
        .user_id = json_get_int(o, "user_id", 0),
        .platform = json_get_str(o, "platform"),
        .native_id = json_get_str(o, "native_meeting_id"),
        .session_uid = json_get_str(o, "session_uid"),
        .exp_s = json_get_int(o, "exp", 0),
        .iat_s = json_get_int(o, "iat", 0),
    };
    if (!is_int(o, "meeting_id") || !is_int(o, "user_id") || !is_int(o, "exp") ||
        out->meeting_id <= 0 || out->user_id <= 0 || !out->platform || !out->native_id)
        return VX_ERR_INVALID_MEETING_TOKEN;
    return VX_OK;
}

enum vx_err meeting_token_verify(struct arena *a, const char *key, const char *token, int64_t now_s,
                                 struct meeting_claims *out)
{
    if (!key || !*key || !token || strnlen(token, TOKEN_MAX + 1) > TOKEN_MAX)
        return VX_ERR_INVALID_MEETING_TOKEN;
    const char *dot1 = strchr(token, '.');
    const char *dot2 = dot1 ? strchr(dot1 + 1, '.') : NULL;
    if (!dot2 || strchr(dot2 + 1, '.'))
        return VX_ERR_INVALID_MEETING_TOKEN;

    char sig[SIG_TEXT_MAX];
    if (sign_text(key, token, (size_t)(dot2 - token), sig) != 0)
        return VX_ERR_SYSTEM;
    if (!secret_equal(sig, dot2 + 1))
        return VX_ERR_INVALID_MEETING_TOKEN;

    struct json_object *head, *claims;
    enum vx_err err = read_part(a, token, (size_t)(dot1 - token), &head);
    if (err != VX_OK)
        return err;
    const char *alg = json_get_str(head, "alg");
    /* "crit" lists extensions a verifier must know (RFC 7515 §4.1.11); we know none. */
    if (!alg || strcmp(alg, "HS256") != 0 || json_object_object_get_ex(head, "crit", NULL))
        return VX_ERR_INVALID_MEETING_TOKEN;
    err = read_part(a, dot1 + 1, (size_t)(dot2 - dot1 - 1), &claims);
    if (err != VX_OK)
        return err;
    err = take_claims(claims, out);
    if (err != VX_OK)
        return err;
    return now_s > out->exp_s ? VX_ERR_MEETING_TOKEN_EXPIRED : VX_OK;
}
