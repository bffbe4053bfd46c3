/* Meeting tokens: a token signed elsewhere is read, a token changed anywhere is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/meeting_token.h"
#include "lib/secret.h"

#define KEY "signing-key-of-this-test"

static struct arena *a;

static int make_arena(void **state)
{
    (void)state;
    a = arena_new(1 << 20);
    return a ? 0 : -1;
}

static int drop_arena(void **state)
{
    (void)state;
    arena_free(a);
    return 0;
}

static const struct meeting_claims claims = {.meeting_id = 12,
                                             .user_id = 3,
                                             .platform = "google_meet",
                                             .native_id = "abc-defg-hij",
                                             .session_uid = "b2c6",
                                             .exp_s = 2000,
                                             .iat_s = 1000};

/* A token over any header and claims, rightly signed with key. */
static const char *forge(const char *key, const char *head, const char *body)
{
    char h[512], b[512], sig[64];
    unsigned char mac[SECRET_SHA256];
    secret_b64url_encode(head, strlen(head), h);
    secret_b64url_encode(body, strlen(body), b);
    char *part = arena_printf(a, "%s.%s", h, b);
    assert_int_equal(secret_hmac_sha256(key, strlen(key), part, strlen(part), mac), 0);
    secret_b64url_encode(mac, sizeof mac, sig);
    return arena_printf(a, "%s.%s", part, sig);
}

static enum vx_err verify(const char *token)
{
    struct meeting_claims out;
    return meeting_token_verify(a, KEY, token, 1500, &out);
}

static void round_trip(void **state)
{
    (void)state;
    struct meeting_claims out;
    const char *token = meeting_token_sign(a, KEY, &claims);
    assert_non_null(token);
    assert_int_equal(meeting_token_verify(a, KEY, token, 1500, &out), VX_OK);
    assert_int_equal(out.meeting_id, 12);
    assert_int_equal(out.user_id, 3);
    assert_string_equal(out.platform, "google_meet");
    assert_string_equal(out.native_id, "abc-defg-hij");
    assert_string_equal(out.session_uid, "b2c6");
    assert_int_equal(out.exp_s, 2000);
    assert_int_equal(out.iat_s, 1000);
    assert_int_equal(meeting_token_verify(a, KEY, token, 2000, &out), VX_OK);
    assert_int_equal(meeting_token_verify(a, KEY, token, 2001, &out), VX_ERR_MEETING_TOKEN_EXPIRED);
    assert_int_equal(meeting_token_verify(a, "another", token, 2001, &out),
                     VX_ERR_INVALID_MEETING_TOKEN);
    assert_null(meeting_token_sign(a, "", &claims));
    assert_null(meeting_token_sign(a, NULL, &claims));
    assert_int_equal(meeting_token_verify(a, "", token, 1500, &out), VX_ERR_INVALID_MEETING_TOKEN);
}

/* Signed by python3: hmac, base64.urlsafe_b64encode. */
static void foreign_token(void **state)
{
    (void)state;
    struct meeting_claims out;
    static const char token[] =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJtZWV0aW5nX2lkIjo3LCJ1c2VyX2lkIjoyLCJwbGF"
        "0Zm9ybSI6ImppdHNpIiwibmF0aXZlX21lZXRpbmdfaWQiOiJhLcOcbsOvIiwic2NvcGUiOiJ0cmFuc2N"
        "yaWJlOndyaXRlIiwiaXNzIjoibWVldGluZy1hcGkiLCJhdWQiOiJ0cmFuc2NyaXB0aW9uLWNvbGxlY3R"
        "vciIsImlhdCI6MTAwMCwiZXhwIjoyMDAwLCJqdGkiOiJ4In0.lNYQPixMgpwO-yDmpcRopXZgvgB5p04"
        "T58hykIatlGg";
    assert_int_equal(meeting_token_verify(a, KEY, token, 1500, &out), VX_OK);
    assert_int_equal(out.meeting_id, 7);
    assert_null(out.session_uid);
    assert_string_equal(out.native_id, "a-Ünï");
}

static void every_changed_character(void **state)
{
    (void)state;
    const char *token = meeting_token_sign(a, KEY, &claims);
    size_t n = strlen(token);
    char *copy = arena_strdup(a, token);
    for (size_t i = 0; i < n; i++) {
        copy[i] = token[i] == 'A' ? 'B' : 'A';
        if (verify(copy) != VX_ERR_INVALID_MEETING_TOKEN)
            fail_msg("changed at %zu", i);
        copy[i] = '\0';
        if (verify(copy) != VX_ERR_INVALID_MEETING_TOKEN)
            fail_msg("cut at %zu", i);
        copy[i] = token[i];
    }
}

static void headers(void **state)
{
    (void)state;
    const char *body = "{\"meeting_id\":1,\"user_id\":1,\"platform\":\"zoom\","
                       "\"native_meeting_id\":\"1\",\"exp\":2000}";
    assert_int_equal(verify(forge(KEY, "{\"alg\":\"HS256\"}", body)), VX_OK);
    static const char *const bad[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":\"hs256\"}",
        "{\"typ\":\"JWT\"}",
        "{\"alg\":1}",
        "[]",
        "null",
        "",
        "{\"alg\":\"HS256\",\"crit\":[\"x\"]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(verify(forge(KEY, bad[i], body)), VX_ERR_INVALID_MEETING_TOKEN);
}

static void bodies(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "null",
        "not json",
        "{\"meeting_id\":1,\"user_id\":1,\"platform\":\"zoom\",\"native_meeting_id\":\"1\"}",
        "{\"meeting_id\":\"1\",\"user_id\":1,\"platform\":\"zoom\",\"native_meeting_id\":\"1\","
        "\"exp\":2000}",
        "{\"meeting_id\":0,\"user_id\":1,\"platform\":\"zoom\",\"native_meeting_id\":\"1\","
        "\"exp\":2000}",
        "{\"meeting_id\":1,\"user_id\":1,\"platform\":\"zoom\",\"native_meeting_id\":\"1\","
        "\"exp\":\"never\"}",
        "{\"meeting_id\":1,\"user_id\":1,\"native_meeting_id\":\"1\",\"exp\":2000}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(verify(forge(KEY, "{\"alg\":\"HS256\"}", bad[i])),
                         VX_ERR_INVALID_MEETING_TOKEN);
}

static void garbage(void **state)
{
    (void)state;
    char big[8192];
    memset(big, '.', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    static const char *const bad[] = {"", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "é.é.é"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(verify(bad[i]), VX_ERR_INVALID_MEETING_TOKEN);
    assert_int_equal(verify(NULL), VX_ERR_INVALID_MEETING_TOKEN);
    assert_int_equal(verify(big), VX_ERR_INVALID_MEETING_TOKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(foreign_token),
        cmocka_unit_test(headers),    cmocka_unit_test(every_changed_character),
        cmocka_unit_test(bodies),     cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
