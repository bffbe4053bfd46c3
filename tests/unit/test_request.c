/* Reading a request from FastCGI parameters, with a fake of libfcgi's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fcgi/request.c"

static const char *params[128];
static struct fcgx_body next_body;

const char *fcgx_param_at(const struct fcgx *f, size_t i)
{
    (void)f;
    return i < 127 ? params[i] : NULL;
}

enum vx_err fcgx_read_body(struct fcgx *f, struct arena *a, size_t limit, struct fcgx_body *out)
{
    (void)f;
    (void)a;
    *out = next_body;
    out->too_large = next_body.len > limit;
    return VX_OK;
}

static struct arena *arena;
static struct web_request w;

/* Reads METHOD uri; further parameters are in params[2…] already. */
static enum vx_err read_uri(const char *base, const char *uri)
{
    static char text[32768];
    const char *detail;
    snprintf(text, sizeof text, "REQUEST_URI=%s", uri);
    params[0] = "REQUEST_METHOD=GET";
    params[1] = text;
    memset(&w, 0, sizeof w);
    w.rq.arena = arena;
    w.base_path = base;
    return request_read(&w, &detail);
}

static int setup(void **state)
{
    (void)state;
    memset(params, 0, sizeof params);
    memset(&next_body, 0, sizeof next_body);
    arena = arena_new(1 << 20);
    return arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void test_segments(void **state)
{
    (void)state;
    assert_int_equal(read_uri("", "/bots/a%2Fb/caf%C3%A9"), VX_OK);
    assert_int_equal(w.n_segments, 3);
    assert_string_equal(w.segments[1], "a/b"); /* an escaped slash splits nothing */
    assert_string_equal(w.segments[2], "caf\xc3\xa9");
    assert_int_equal(read_uri("", "/a%252Fb"), VX_OK);
    assert_string_equal(w.segments[0], "a%2Fb"); /* decoded once */
    assert_int_equal(read_uri("", "/"), VX_OK);
    assert_int_equal(w.n_segments, 1);
    assert_string_equal(w.segments[0], "");
    assert_int_equal(read_uri("", "/a+b/"), VX_OK);
    assert_string_equal(w.segments[0], "a+b"); /* a plus is a space in queries only */
    assert_int_equal(w.n_segments, 2);
}

static void test_bad_paths(void **state)
{
    static const char *const bad[] = {"/%",   "/%4",  "/%zz",    "/%00",       "/a%0Ab",
                                      "/%7f", "/%ff", "/%c0%af", "/%ed%a0%80", "/%f5%80%80%80",
                                      "*",    "bots", "/\x01",   "/\xc3"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (read_uri("", bad[i]) != VX_ERR_BAD_REQUEST)
            fail_msg("%s was taken", bad[i]);
    static char longest[REQUEST_PATH_MAX + 2] = "/";
    memset(longest + 1, 'a', REQUEST_PATH_MAX - 1);
    assert_int_equal(read_uri("", longest), VX_OK);
    longest[REQUEST_PATH_MAX] = 'a';
    assert_int_equal(read_uri("", longest), VX_ERR_BAD_REQUEST);
}

static void test_absolute_and_base(void **state)
{
    (void)state;
    assert_int_equal(read_uri("", "HTTP://host:1/health?x=1#y"), VX_OK);
    assert_string_equal(w.rq.path, "/health");
    assert_string_equal(w.raw_query, "x=1");
    assert_int_equal(read_uri("", "http://host?x"), VX_OK);
    assert_string_equal(w.rq.path, "/");
    assert_int_equal(read_uri("/vexa", "/vexa/bots"), VX_OK);
    assert_string_equal(w.rq.path, "/bots");
    assert_int_equal(read_uri("/vexa", "/vexa"), VX_OK);
    assert_string_equal(w.rq.path, "/");
    assert_int_equal(read_uri("/vexa", "/vexation"), VX_ERR_NOT_FOUND);
    assert_int_equal(read_uri("/vexa", "/bots"), VX_ERR_NOT_FOUND);
}

static void test_query(void **state)
{
    (void)state;
    assert_int_equal(read_uri("", "/x?a=1&b&&a=2+3%2B&c=%0A&=e"), VX_OK);
    assert_null(w.query_fault);
    assert_int_equal(w.rq.n_query, 4);
    assert_string_equal(request_query(&w.rq, "a"), "2 3+"); /* the last one */
    assert_string_equal(request_query(&w.rq, "b"), "");
    assert_string_equal(request_query(&w.rq, "c"), "\n");
    assert_null(request_query(&w.rq, "d"));
    assert_int_equal(read_uri("", "/x?a=%"), VX_OK); /* told after authentication */
    assert_non_null(w.query_fault);
    assert_int_equal(read_uri("", "/x?%00=1"), VX_OK);
    assert_non_null(w.query_fault);
    char text[1024] = "/x?";
    for (int i = 0; i < REQUEST_PARAMS_MAX; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "&p%d=", i);
    assert_int_equal(read_uri("", text), VX_OK);
    assert_null(w.query_fault);
    snprintf(text + strlen(text), sizeof text - strlen(text), "&more=");
    assert_int_equal(read_uri("", text), VX_OK);
    assert_non_null(w.query_fault);
}

static void test_headers(void **state)
{
    (void)state;
    params[2] = "HTTP_X_API_KEY=first";
    params[3] = "HTTP_X_API_KEY= \tlast ";
    params[4] = "HTTP_PROXY=evil";
    params[5] = "HTTP_X_REQUEST_ID=abc.DEF_1-2";
    params[6] = "HTTP_X_TRACE_ID=a b";
    params[7] = "CONTENT_TYPE=";
    params[8] = "no equals sign";
    assert_int_equal(read_uri("", "/x"), VX_OK);
    assert_string_equal(request_header(&w.rq, "x-api-key"), "last");
    assert_null(request_header(&w.rq, "proxy"));
    assert_string_equal(w.rq.request_id, "abc.DEF_1-2");
    assert_int_equal(strlen(w.rq.trace_id), 32); /* a blank is not of the form: a new one */
    assert_null(w.rq.content_type);
    params[5] = "HTTP_X_REQUEST_ID=a/b";
    assert_int_equal(read_uri("", "/x"), VX_OK);
    assert_int_equal(strlen(w.rq.request_id), 32);
    for (int i = 2; i < 120; i++)
        params[i] = "HTTP_X=y";
    assert_int_equal(read_uri("", "/x"), VX_ERR_BAD_REQUEST);
}

static void test_misconfigured(void **state)
{
    const char *detail;
    (void)state;
    memset(&w, 0, sizeof w);
    w.rq.arena = arena;
    w.base_path = "";
    assert_int_equal(request_read(&w, &detail), VX_ERR_SERVER_MISCONFIGURED);
    params[0] = "REQUEST_METHOD=GET";
    memset(&w, 0, sizeof w);
    w.rq.arena = arena;
    w.base_path = "";
    assert_int_equal(request_read(&w, &detail), VX_ERR_SERVER_MISCONFIGURED);
    assert_non_null(strstr(detail, "REQUEST_URI"));
}

static void test_body(void **state)
{
    char text[] = "{}";
    (void)state;
    params[2] = "CONTENT_LENGTH=2";
    assert_int_equal(read_uri("", "/x"), VX_OK);
    next_body = (struct fcgx_body){.data = text, .len = 2};
    assert_int_equal(request_read_body(&w, 2), VX_OK);
    assert_int_equal(w.rq.body_len, 2);
    assert_int_equal(request_read_body(&w, 1), VX_ERR_PAYLOAD_TOO_LARGE);
    next_body.len = 1; /* shorter than announced: the client went away */
    assert_int_equal(request_read_body(&w, 2), VX_ERR_BAD_REQUEST);
}

static void test_types(void **state)
{
    static const char *const yes[] = {NULL,
                                      "application/json",
                                      "Application/JSON;charset=x",
                                      "text/plain",
                                      "application/x-www-form-urlencoded",
                                      "application/problem+json ; a=b"};
    static const char *const no[] = {"text/html", "multipart/form-data; boundary=x",
                                     "application/+json", "text/x+json", "application/jsonx"};
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(request_type_is_json(&(struct request){.content_type = yes[i]}));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(request_type_is_json(&(struct request){.content_type = no[i]}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_absolute_and_base, setup, teardown),
        cmocka_unit_test_setup_teardown(test_query, setup, teardown),
        cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misconfigured, setup, teardown),
        cmocka_unit_test_setup_teardown(test_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_types, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
