/* Users and keys: find or create, merges, identity, expiry, revocation. */
#include "lib/clock.h"
#include "tests/unit/store_fixture.h"

static void test_find_or_create(void **state)
{
    struct fixture *f = *state;
    struct user u, again;
    bool created;
    assert_int_equal(store_user_create(f->st, f->a, "cy@example.org", "Cy", 5, &u, &created), 0);
    assert_true(created);
    assert_string_equal(u.data, "{}");
    assert_int_equal(store_user_create(f->st, f->a, "cy@example.org", "No", 9, &again, &created),
                     0);
    assert_false(created);
    assert_int_equal(again.id, u.id);
    assert_string_equal(again.name, "Cy");
    assert_int_equal(again.max_concurrent_bots, 5);
    assert_int_equal(store_user_by_email(f->db, f->a, "CY@example.org", &u), VX_ERR_USER_NOT_FOUND);
    assert_int_equal(store_user_by_id(f->db, f->a, 12345, &u), VX_ERR_USER_NOT_FOUND);
}

static void test_update_merges(void **state)
{
    struct fixture *f = *state;
    struct user u;
    char *big = arena_alloc(f->a, 17000);
    assert_int_equal(store_user_update(f->st, f->a, f->user, -1, "{\"a\":1,\"b\":2}", &u), VX_OK);
    assert_int_equal(u.max_concurrent_bots, 3);
    assert_int_equal(store_user_update(f->st, f->a, f->user, 0, "{\"b\":null,\"c\":{}}", &u),
                     VX_OK);
    assert_string_equal(u.data, "{\"a\":1,\"b\":null,\"c\":{}}");
    assert_int_equal(u.max_concurrent_bots, 0);
    memset(big, 'x', 16990);
    memcpy(big, "{\"k\":\"", 6);
    memcpy(big + 16988, "\"}", 3);
    assert_int_equal(store_user_update(f->st, f->a, f->user, 7, big, &u), VX_ERR_PAYLOAD_TOO_LARGE);
    assert_int_equal(store_user_by_id(f->db, f->a, f->user, &u), VX_OK);
    assert_int_equal(u.max_concurrent_bots, 0); /* nothing of a refused update stays */
    assert_int_equal(store_user_update(f->st, f->a, 999, 1, NULL, &u), VX_ERR_USER_NOT_FOUND);
    fixture_sql(f, "UPDATE users SET data = '[1'");
    assert_int_equal(store_user_update(f->st, f->a, f->user, -1, "{\"a\":1}", &u), VX_ERR_INTERNAL);
}

static void test_identity(void **state)
{
    struct fixture *f = *state;
    struct identity who;
    struct token *list;
    size_t n;
    int64_t id, gone;
    bool alive;
    assert_int_equal(store_token_create(f->st, 999, "k", "bot", NULL, 0, &id, NULL),
                     VX_ERR_USER_NOT_FOUND);
    assert_int_equal(
        store_token_create(f->st, f->user, "vxa_bot_1", "bot,tx,bot,foo", "cli", 0, &id, NULL),
        VX_OK);
    assert_int_equal(store_token_create(f->st, f->user, "vxa_tx_old", "tx", NULL,
                                        clock_now_ms() - 1, &gone, NULL),
                     VX_OK);
    assert_int_equal(store_token_identify(f->db, f->a, "vxa_bot_1", &who), VX_OK);
    assert_int_equal(who.user_id, f->user);
    assert_int_equal(who.token_id, id);
    assert_int_equal(who.scope_bits, SCOPE_BOT | SCOPE_TX);
    assert_string_equal(who.scopes, "bot,tx,bot,foo");
    assert_string_equal(who.email, "ada@example.org");
    assert_int_equal(who.max_concurrent_bots, 3);
    assert_int_equal(store_token_identify(f->db, f->a, "vxa_bot_2", &who), VX_ERR_INVALID_API_KEY);
    assert_int_equal(store_token_identify(f->db, f->a, "", &who), VX_ERR_INVALID_API_KEY);
    assert_int_equal(store_token_identify(f->db, f->a, "vxa_tx_old", &who), VX_ERR_INVALID_API_KEY);
    assert_int_equal(store_token_alive(f->db, id, &alive), VX_OK);
    assert_true(alive);
    assert_int_equal(store_token_alive(f->db, gone, &alive), VX_OK);
    assert_false(alive);
    /* The later-write was queued before this one, so it is done when this one is. */
    fixture_sql(f, "SELECT 1");
    assert_int_equal(store_token_list(f->db, f->a, f->user, &list, &n), VX_OK);
    assert_int_equal(n, 2);
    int64_t used = list[0].last_used_ms;
    assert_true(used > 0);
    assert_int_equal(list[1].last_used_ms, 0);
    assert_string_equal(list[0].name, "cli");
    struct store_stats before, after;
    store_stats(f->st, &before);
    assert_int_equal(store_token_identify(f->db, f->a, "vxa_bot_1", &who), VX_OK);
    store_stats(f->st, &after);
    assert_int_equal(after.writes + after.queued, before.writes + before.queued);
    assert_int_equal(store_token_list(f->db, f->a, 999, &list, &n), VX_ERR_USER_NOT_FOUND);
    assert_int_equal(store_token_list(f->db, f->a, f->other, &list, &n), VX_OK);
    assert_int_equal(n, 0);

    assert_int_equal(store_token_delete(f->st, id), VX_OK);
    assert_int_equal(store_token_delete(f->st, id), VX_ERR_TOKEN_NOT_FOUND);
    assert_int_equal(store_token_identify(f->db, f->a, "vxa_bot_1", &who), VX_ERR_INVALID_API_KEY);
    assert_int_equal(store_token_alive(f->db, id, &alive), VX_OK);
    assert_false(alive);
}

static void test_key_is_not_in_the_file(void **state)
{
    struct fixture *f = *state;
    static const char *const tails[] = {"", "-wal"};
    static char bytes[1 << 20];
    char path[128];
    int64_t id;
    assert_int_equal(
        store_token_create(f->st, f->user, "vxa_bot_NEEDLE", "bot", NULL, 0, &id, NULL), 0);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s%s", f->path, tails[i]);
        FILE *in = fopen(path, "rb");
        assert_non_null(in);
        size_t n = fread(bytes, 1, sizeof bytes, in);
        fclose(in);
        assert_null(memmem(bytes, n, "NEEDLE", 6));
    }
}

/* An infrastructure fault is never an auth fault. */
static void test_fault_is_not_a_bad_key(void **state)
{
    struct fixture *f = *state;
    struct identity who;
    fixture_sql(f, "ALTER TABLE tokens RENAME TO hidden");
    enum vx_err err = store_token_identify(f->db, f->a, "vxa_bot_1", &who);
    assert_true(err != VX_OK && err != VX_ERR_INVALID_API_KEY);
}

static void test_scopes(void **state)
{
    (void)state;
    assert_int_equal(scopes_parse("bot,tx,browser"), SCOPE_BOT | SCOPE_TX | SCOPE_BROWSER);
    assert_int_equal(scopes_parse("botx,,BOT, tx"), 0);
    assert_int_equal(scopes_parse(""), 0);
    assert_int_equal(scopes_parse(NULL), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(test_find_or_create),
        T(test_update_merges),
        T(test_identity),
        T(test_key_is_not_in_the_file),
        T(test_fault_is_not_a_bad_key),
        cmocka_unit_test(test_scopes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
