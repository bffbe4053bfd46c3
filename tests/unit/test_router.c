/* The router's order of checks, with a table, an access rule and contracts of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fcgi/router.c"

static const char *called; /* pattern of the route whose handler ran */
static struct http_pair idem = {"idempotency-key", NULL};
static bool allowed;
static enum vx_err body_error;
static bool type_is_json;

static void handler(struct request *rq, struct response *rs)
{
    called = rq->route->pattern;
    response_empty(rs);
}

static const struct query_param list_query[] = {{"limit", QUERY_INT, false, 1, 100},
                                                {"all", QUERY_BOOL, false, 0, 0},
                                                {"uid", QUERY_STRING, true, 0, 0},
                                                {0}};
static const struct route table[] = {
    {"GET", "/health", handler, AUTH_PUBLIC, 0, NULL, false, NULL, 200, "", false, NULL},
    {"GET", "/m", handler, AUTH_KEY, 0, NULL, false, list_query, 200, "", false, NULL},
    {"POST", "/m", handler, AUTH_KEY, 0, "c", false, NULL, 200, "", false, NULL},
    {"PUT", "/m", handler, AUTH_KEY, 0, "c", true, NULL, 200, "", false, NULL},
    {"GET", "/m/{a}/{b}", handler, AUTH_PUBLIC, 0, NULL, false, NULL, 200, "", false, NULL},
    {"POST", "/m/share/accept", handler, AUTH_PUBLIC, 0, NULL, false, NULL, 200, "", false, NULL},
    {"GET", "/m/by-id/{id:int}", handler, AUTH_PUBLIC, 0, NULL, false, NULL, 200, "", false, NULL},
    {"DELETE", "/m/{id:int}", NULL, AUTH_KEY, 0, NULL, false, NULL, 200, "", false, NULL},
    {"GET", "/f/{path...}", handler, AUTH_PUBLIC, 0, NULL, false, NULL, 200, "", false, NULL},
    {"POST", "/k", handler, AUTH_KEY, 0, "c", true, NULL, 201, "", true, NULL},
};

const struct route *route_at(size_t i)
{
    return i < sizeof table / sizeof *table ? &table[i] : NULL;
}

bool access_check(const struct route *route, struct request *rq, struct response *rs)
{
    (void)rq;
    if (route->auth == AUTH_PUBLIC || allowed)
        return true;
    response_fail(rs, VX_ERR_MISSING_API_KEY);
    return false;
}

enum vx_err request_read_body(struct web_request *w, size_t limit)
{
    (void)w;
    (void)limit;
    return body_error;
}

bool request_type_is_json(const struct request *rq)
{
    (void)rq;
    return type_is_json;
}

static struct json_object *schema;

struct json_object *contract_find(const char *name)
{
    return strcmp(name, "c") == 0 ? schema : NULL;
}

static struct router *router;
static struct arena *arena;
static struct config *cfg;
static struct web_request w;
static struct response rs;

/* Dispatches; path is split here as request.c would. */
static enum vx_err go(const char *method, const char *path, const char *body)
{
    static struct app app;
    app.cfg = cfg;
    struct http_pair *query = w.rq.query;
    size_t n_query = w.rq.n_query;
    called = NULL;
    memset(&w, 0, sizeof w);
    w.base_path = "/base";
    w.raw_query = n_query ? "q" : NULL;
    w.rq = (struct request){.app = &app, .arena = arena, .method = method, .path = path};
    w.rq.query = query;
    w.rq.n_query = n_query;
    w.rq.headers = &idem;
    w.rq.n_headers = idem.value != NULL;
    w.rq.body = body ? body : "";
    w.rq.body_len = strlen(w.rq.body);
    for (const char *p = path; *p == '/';) {
        size_t n = strcspn(++p, "/");
        w.segments[w.n_segments++] = arena_strndup(arena, p, n);
        p += n;
    }
    rs = (struct response){.arena = arena, .status = 200};
    router_dispatch(router, &w, &rs);
    w.rq.query = NULL;
    w.rq.n_query = 0;
    return rs.err;
}

static const char *header(const char *name)
{
    for (size_t i = 0; i < rs.n_headers; i++)
        if (strcmp(rs.headers[i].name, name) == 0)
            return rs.headers[i].value;
    return "";
}

static const char *list(void)
{
    return rs.detail_list ? json_text(rs.detail_list) : "";
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    allowed = type_is_json = true;
    body_error = VX_OK;
    arena = arena_new(1 << 20);
    cfg = config_defaults();
    schema = json_tokener_parse("{\"type\":\"object\",\"required\":[\"k\"],\"properties\":"
                                "{\"k\":{\"type\":\"string\"}},\"additionalProperties\":false}");
    return arena && cfg && schema && router_new(&router) == VX_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    router_free(router);
    json_object_put(schema);
    config_free(cfg);
    arena_free(arena);
    return 0;
}

static void test_choice(void **state)
{
    (void)state;
    assert_int_equal(go("GET", "/m/by-id/5", NULL), VX_OK);
    assert_string_equal(called, "/m/by-id/{id:int}"); /* literal beats parameter, order aside */
    assert_int_equal(w.rq.int_params[0], 5);
    assert_int_equal(go("GET", "/m/share/accept", NULL), VX_OK);
    assert_string_equal(called, "/m/{a}/{b}"); /* the method counts before the form */
    assert_string_equal(w.rq.params[1], "accept");
    assert_int_equal(go("HEAD", "/health", NULL), VX_OK);
    assert_string_equal(called, "/health");
    assert_int_equal(go("GET", "/f/a/b/c", NULL), VX_OK);
    assert_string_equal(w.rq.params[0], "a/b/c");
    assert_int_equal(go("GET", "/f", NULL), VX_ERR_NOT_FOUND);
}

static void test_not_found(void **state)
{
    (void)state;
    assert_int_equal(go("GET", "/nope", NULL), VX_ERR_NOT_FOUND);
    assert_int_equal(go("GET", "//health", NULL), VX_ERR_NOT_FOUND);
    assert_int_equal(go("GET", "/m//b", NULL), VX_ERR_NOT_FOUND);
    assert_int_equal(go("GET", "/healthy", NULL), VX_ERR_NOT_FOUND);
    allowed = false; /* 405 needs no key */
    assert_int_equal(go("OPTIONS", "/m", NULL), VX_ERR_METHOD_NOT_ALLOWED);
    assert_string_equal(header("Allow"), "GET, HEAD, POST, PUT");
    assert_int_equal(go("PATCH", "/m/share/accept", NULL), VX_ERR_METHOD_NOT_ALLOWED);
    assert_string_equal(header("Allow"), "GET, HEAD, POST");
}

static void test_slash(void **state)
{
    struct http_pair pair = {"q", ""};
    (void)state;
    allowed = false; /* comes before authentication */
    w.rq.query = &pair;
    w.rq.n_query = 1;
    assert_int_equal(go("POST", "/m/", NULL), VX_OK);
    assert_int_equal(rs.status, 307);
    assert_string_equal(header("Location"), "/base/m?q");
    assert_int_equal(go("GET", "/nope/", NULL), VX_ERR_NOT_FOUND);
    assert_int_equal(go("GET", "//m/", NULL), VX_ERR_NOT_FOUND);
}

static void test_order(void **state)
{
    (void)state;
    allowed = false;
    type_is_json = false;
    body_error = VX_ERR_PAYLOAD_TOO_LARGE;
    assert_int_equal(go("POST", "/m", "x"), VX_ERR_MISSING_API_KEY);
    assert_int_equal(go("DELETE", "/m/x", NULL), VX_ERR_MISSING_API_KEY);
    allowed = true;
    assert_int_equal(go("DELETE", "/m/x", NULL), VX_ERR_NOT_IMPLEMENTED);
    assert_string_equal(rs.detail, "DELETE /m/{id} is documented but not built");
    assert_int_equal(go("POST", "/m", "x"), VX_ERR_PAYLOAD_TOO_LARGE);
    body_error = VX_OK;
    assert_int_equal(go("POST", "/m", "x"), VX_ERR_UNSUPPORTED_MEDIA_TYPE);
    assert_int_equal(go("PUT", "/m", ""), VX_OK); /* an empty body is no body, whatever the type */
    type_is_json = true;
    assert_int_equal(go("POST", "/m", "x"), VX_ERR_JSON_INVALID);
    assert_int_equal(go("POST", "/m", "{\"k\":\"v\"}"), VX_OK);
    assert_string_equal(called, "/m");
}

static void test_violations(void **state)
{
    static struct http_pair bad[] = {
        {"limit", "0"}, {"all", "maybe"}, {"zz", "1"}, {"subject", "me"}};
    static struct http_pair good[] = {{"limit", " 1_00 "}, {"all", "ON"}, {"uid", ""}};
    (void)state;
    w.rq.query = bad;
    w.rq.n_query = 4;
    assert_int_equal(go("GET", "/m", NULL), VX_ERR_VALIDATION);
    assert_string_equal(
        list(),
        "[{\"type\":\"greater_than_equal\",\"loc\":[\"query\",\"limit\"],\"msg\":\"Input should be "
        "greater than or equal to 1\",\"input\":\"0\",\"ctx\":{\"ge\":1}},"
        "{\"type\":\"bool_parsing\",\"loc\":[\"query\",\"all\"],\"msg\":\"Input should be a valid "
        "boolean, unable to interpret input\",\"input\":\"maybe\"},"
        "{\"type\":\"missing\",\"loc\":[\"query\",\"uid\"],\"msg\":\"Field required\",\"input\":"
        "null},"
        "{\"type\":\"extra_forbidden\",\"loc\":[\"query\",\"zz\"],\"msg\":\"Extra inputs are not "
        "permitted\",\"input\":\"1\"}]");
    w.rq.query = good;
    w.rq.n_query = 3;
    assert_int_equal(go("GET", "/m", NULL), VX_OK);
    assert_int_equal(go("POST", "/m", "null"), VX_ERR_VALIDATION);
    assert_string_equal(list(), "[{\"type\":\"missing\",\"loc\":[\"body\"],\"msg\":\"Field "
                                "required\",\"input\":null}]");
    assert_int_equal(go("PUT", "/m", "null"), VX_OK);
    assert_int_equal(go("POST", "/m", "{\"k\":"), VX_ERR_JSON_INVALID);
    assert_string_equal(list(), "[{\"type\":\"json_invalid\",\"loc\":[\"body\",5],\"msg\":\"JSON "
                                "decode error\",\"input\":{},\"ctx\":{\"error\":\"Expecting "
                                "value\"}}]");
    assert_int_equal(go("GET", "/m/by-id/x", NULL), VX_ERR_VALIDATION);
    assert_non_null(strstr(list(), "\"int_parsing\",\"loc\":[\"path\",\"id\"]"));
    w.rq.query = bad + 2; /* query and body faults come in one list */
    w.rq.n_query = 1;
    assert_int_equal(go("POST", "/m", "{\"j\":1}"), VX_ERR_VALIDATION);
    assert_non_null(strstr(list(), "[\"query\",\"zz\"]"));
    assert_non_null(strstr(list(), "[\"body\",\"j\"]"));
    assert_null(called);
}

static void test_pattern(void **state)
{
    (void)state;
    assert_string_equal(router_public_pattern(arena, "/a/{b:int}/c/{d}/{e...}"),
                        "/a/{b}/c/{d}/{e}");
}

/* What a good key does needs a store: tests/http/test_idempotency.py. */
static void test_idempotency_key(void **state)
{
    static const struct {
        const char *sent, *key; /* NULL: refused */
    } rows[] = {
        {"a", "a"},       {"\"a\"", "a"},   {"a \"b", "a \"b"}, {"\"a \\\" \\\\\"", "a \" \\"},
        {"a\\n", "a\\n"}, {"", NULL},       {"\"\"", NULL},     {"\"", NULL},
        {"\"a", NULL},    {"\"a\"b", NULL}, {"\"a\\\"", NULL},  {"\"a\\n\"", NULL},
        {"\"a\\", NULL},  {"a\tb", NULL},   {"\x7f", NULL},     {"\xc3\xa9", NULL},
    };
    char text[IDEMPOTENCY_KEY_MAX + 4];
    const char *key;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct violations v = {0};
        struct request rq = {.arena = arena, .headers = &idem, .n_headers = 1};
        idem.value = rows[i].sent;
        assert_int_equal(idempotency_read_key(&rq, &v, &key), VX_OK);
        assert_int_equal(v.n, rows[i].key == NULL);
        assert_int_equal(key != NULL, rows[i].key != NULL);
        if (key)
            assert_string_equal(key, rows[i].key);
    }
    memset(text, 'x', sizeof text);
    text[IDEMPOTENCY_KEY_MAX + 1] = '\0';
    idem.value = text;
    assert_int_equal(go("POST", "/k", "{\"k\":1}"), VX_ERR_VALIDATION);
    assert_null(called);
    assert_non_null(strstr(list(), "[\"header\",\"Idempotency-Key\"]"));
    assert_non_null(strstr(list(), "[\"body\",\"k\"]"));
    assert_int_equal(go("POST", "/m", "{\"k\":\"v\"}"), VX_OK); /* no use for it there */
    assert_string_equal(called, "/m");
    idem.value = NULL;
    assert_int_equal(go("POST", "/k", NULL), VX_OK);
    assert_string_equal(called, "/k");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_choice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_violations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pattern, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idempotency_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
