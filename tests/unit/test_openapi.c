/* /openapi.json against what it is made of: every route is in it, every reference leads somewhere,
 * what is built says what it answers, what is not says 501. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "handlers/handlers.h"
#include "handlers/routes.h"
#include "lib/config.h"
#include "lib/contracts.h"
#include "lib/json_scan.h"

static struct arena *arena;
static struct json_object *doc;

static int set_up(void **state)
{
    struct config *cfg = config_defaults();
    struct app app = {.cfg = cfg};
    struct request rq = {.app = &app};
    struct response rs = {0};

    (void)state;
    arena = arena_new((size_t)16 << 20);
    if (cfg == NULL || arena == NULL || contracts_init() != VX_OK)
        return -1;
    rq.arena = rs.arena = arena;
    handle_openapi(&rq, &rs);
    config_free(cfg);
    doc = rs.json;
    return rs.err == VX_OK && rs.status == 200 && doc != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    contracts_free();
    return 0;
}

static struct json_object *get(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;

    json_object_object_get_ex(o, key, &v);
    return v;
}

/* Every "#/a/b/c" below o names something of the document. */
static size_t check_refs(struct json_object *o)
{
    size_t found = 0;

    if (json_object_is_type(o, json_type_array))
        for (size_t i = 0; i < json_object_array_length(o); i++)
            found += check_refs(json_object_array_get_idx(o, i));
    if (!json_object_is_type(o, json_type_object))
        return found;
    if (json_get_str(o, "$ref") != NULL) {
        struct json_object *target = NULL;
        const char *ref = json_get_str(o, "$ref");
        assert_int_equal(ref[0], '#');
        if (json_pointer_get(doc, ref + 1, &target) != 0)
            fail_msg("%s leads nowhere", ref);
        found++;
    }
    json_object_object_foreach(o, key, member)
    {
        (void)key;
        found += check_refs(member);
    }
    return found;
}

static void references_lead_somewhere(void **state)
{
    (void)state;
    assert_true(check_refs(doc) > 100);
    assert_null(strstr(json_text(doc), "$defs"));
    assert_null(strstr(json_text(doc), "$schema"));
}

/* The operation of a row: the pattern's types and dots are not part of the path. */
static struct json_object *operation(const struct route *r)
{
    char path[256], method[16];
    size_t n = 0;
    bool skip = false;

    for (const char *p = r->pattern; *p != '\0'; p++) {
        if (*p == ':' || *p == '.')
            skip = strchr(r->pattern, '{') != NULL && p > strchr(r->pattern, '{');
        if (*p == '}')
            skip = false;
        if (!skip)
            path[n++] = *p;
    }
    path[n] = '\0';
    for (n = 0; r->method[n] != '\0'; n++)
        method[n] = (char)tolower((unsigned char)r->method[n]);
    method[n] = '\0';
    return get(get(get(doc, "paths"), path), method);
}

static void every_route_is_there(void **state)
{
    const struct route *r;

    (void)state;
    for (size_t i = 0; (r = route_at(i)) != NULL; i++) {
        struct json_object *o = operation(r), *responses = get(o, "responses"), *ok;
        char status[16];
        if (o == NULL)
            fail_msg("%s %s is not in the document", r->method, r->pattern);
        assert_int_equal(get(o, "requestBody") != NULL, r->contract != NULL);
        assert_int_equal(json_object_array_length(get(o, "security")) != 0, r->auth != AUTH_PUBLIC);
        assert_int_equal(get(responses, "401") != NULL,
                         r->auth == AUTH_KEY || r->auth == AUTH_MEETING_TOKEN);
        snprintf(status, sizeof status, "%d", r->success);
        ok = get(responses, status);
        if (r->handler == NULL) {
            assert_non_null(get(responses, "501"));
            assert_null(ok);
            continue;
        }
        assert_non_null(ok);
        if (r->success != 204 && r->handler != handle_openapi && get(ok, "content") == NULL)
            fail_msg("%s %s does not say what it answers", r->method, r->pattern);
    }
}

static void ids_are_unique(void **state)
{
    struct json_object *seen = json_object_new_object();

    (void)state;
    json_object_object_foreach(get(doc, "paths"), path, item)
    {
        (void)path;
        json_object_object_foreach(item, method, op)
        {
            const char *id = json_get_str(op, "operationId");
            (void)method;
            assert_non_null(id);
            if (get(seen, id) != NULL)
                fail_msg("%s twice", id);
            json_put_bool(seen, id, 1);
        }
    }
    json_object_put(seen);
}

static void bodies_and_parameters(void **state)
{
    struct json_object *v = NULL;

    (void)state;
    assert_int_equal(json_pointer_get(doc,
                                      "/paths/~1admin~1users~1{user_id}/get/parameters/0/schema/"
                                      "type",
                                      &v),
                     0);
    assert_string_equal(json_object_get_string(v), "integer");
    assert_int_equal(json_pointer_get(doc,
                                      "/paths/~1bots/post/requestBody/content/application~1json/"
                                      "schema/$ref",
                                      &v),
                     0);
    assert_string_equal(json_object_get_string(v), "#/components/schemas/bots.create.v1");
    assert_int_equal(json_pointer_get(doc,
                                      "/components/schemas/transcripts.ingest.v1/properties/"
                                      "segments/items/$ref",
                                      &v),
                     0);
    assert_string_equal(json_object_get_string(v),
                        "#/components/schemas/transcripts.ingest.v1.segment");
    /* the contract itself was only copied */
    assert_int_equal(json_pointer_get(contract_find("transcripts.ingest.v1"),
                                      "/properties/segments/items/$ref", &v),
                     0);
    assert_string_equal(json_object_get_string(v), "#/$defs/segment");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_lead_somewhere),
        cmocka_unit_test(every_route_is_there),
        cmocka_unit_test(ids_are_unique),
        cmocka_unit_test(bodies_and_parameters),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
