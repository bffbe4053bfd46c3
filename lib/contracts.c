/* Owns the parsed contracts, and the check that each stays within what lib/schema.c understands:
 * a keyword misspelled in contracts/ stops the program at its start instead of checking nothing. */
#include "lib/contracts.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/contracts_data.h"
#include "lib/json_scan.h"
#include "lib/log.h"

/* Written by contracts_init() before threads start, read-only afterwards. */
static struct {
    struct arena *arena;
    struct json_object **roots; /* as contract_files[] */
} parsed;

struct lint {
    struct json_object *root;
    const char *why; /* first fault */
    const char *where;
};

static bool lint_schema(struct lint *l, struct json_object *schema, const char *where);

static bool refuse(struct lint *l, const char *why, const char *where)
{
    l->why = why;
    l->where = where;
    return false;
}

static bool is_word(struct json_object *o)
{
    static const char *const words[] = {"string", "integer", "number", "boolean",
                                        "array",  "object",  "null"};

    if (!json_object_is_type(o, json_type_string))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(json_object_get_string(o), words[i]) == 0)
            return true;
    return false;
}

static bool all(struct json_object *array, bool (*fits)(struct json_object *))
{
    if (!json_object_is_type(array, json_type_array) || json_object_array_length(array) == 0)
        return false;
    for (size_t i = 0; i < json_object_array_length(array); i++)
        if (!fits(json_object_array_get_idx(array, i)))
            return false;
    return true;
}

static bool is_string(struct json_object *o)
{
    return json_object_is_type(o, json_type_string);
}

/* A literal the validator can show in a message. */
static bool is_literal(struct json_object *o)
{
    return o == NULL || is_string(o) || json_object_is_type(o, json_type_int) ||
           json_object_is_type(o, json_type_boolean);
}

static bool is_number(struct json_object *o)
{
    return json_object_is_type(o, json_type_int) || json_object_is_type(o, json_type_double);
}

static bool is_size(struct json_object *o)
{
    return json_object_is_type(o, json_type_int) && json_object_get_int64(o) >= 0;
}

static bool lint_ref(struct lint *l, struct json_object *ref, const char *where)
{
    const char *text = is_string(ref) ? json_object_get_string(ref) : "";
    struct json_object *defs = NULL;
    size_t n = strlen(text);

    json_object_object_get_ex(l->root, "$defs", &defs);
    if (strncmp(text, "#/$defs/", 8) == 0)
        return json_object_object_get_ex(defs, text + 8, NULL)
                   ? true
                   : refuse(l, "$ref names no $defs entry", where);
    for (size_t i = 0; i < contract_files_count; i++)
        if (n == strlen(contract_files[i].name) + 5 &&
            strncmp(contract_files[i].name, text, n - 5) == 0 && strcmp(text + n - 5, ".json") == 0)
            return true;
    return refuse(l, "$ref names no contract", where);
}

static bool lint_map(struct lint *l, struct json_object *map, const char *where)
{
    if (!json_object_is_type(map, json_type_object))
        return refuse(l, "not an object", where);
    json_object_object_foreach(map, name, schema)
    {
        if (!lint_schema(l, schema, name))
            return false;
    }
    return true;
}

static bool lint_list(struct lint *l, struct json_object *list, const char *where)
{
    if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) < 2)
        return refuse(l, "not a list of two or more", where);
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!lint_schema(l, json_object_array_get_idx(list, i), where))
            return false;
    return true;
}

static bool lint_keyword(struct lint *l, const char *name, struct json_object *v)
{
    static const char *const notes[] = {"$schema", "$id",      "title", "description",
                                        "default", "examples", "format"};
    static const char *const sizes[] = {"minItems", "maxItems", "minLength", "maxLength",
                                        "minProperties"};
    static const char *const bounds[] = {"minimum", "maximum", "exclusiveMinimum"};

    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (strcmp(name, notes[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(name, sizes[i]) == 0)
            return is_size(v) ? true : refuse(l, "not a size", name);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (strcmp(name, bounds[i]) == 0)
            return is_number(v) ? true : refuse(l, "not a number", name);
    if (strcmp(name, "type") == 0)
        return is_word(v) || all(v, is_word) ? true : refuse(l, "unknown type", name);
    if (strcmp(name, "required") == 0)
        return all(v, is_string) ? true : refuse(l, "not a list of names", name);
    if (strcmp(name, "enum") == 0)
        return all(v, is_literal) ? true : refuse(l, "not a list of literals", name);
    if (strcmp(name, "const") == 0)
        return v != NULL && is_literal(v) ? true : refuse(l, "not a literal", name);
    if (strcmp(name, "additionalProperties") == 0 || strcmp(name, "writeOnly") == 0)
        return json_object_is_type(v, json_type_boolean) ? true : refuse(l, "not a boolean", name);
    if (strcmp(name, "properties") == 0 || strcmp(name, "$defs") == 0)
        return lint_map(l, v, name);
    if (strcmp(name, "items") == 0)
        return lint_schema(l, v, name);
    if (strcmp(name, "oneOf") == 0 || strcmp(name, "anyOf") == 0)
        return lint_list(l, v, name);
    return refuse(l, "unknown keyword", name);
}

static bool lint_schema(struct lint *l, struct json_object *schema, const char *where)
{
    struct json_object *ref;

    if (!json_object_is_type(schema, json_type_object))
        return refuse(l, "not a schema", where);
    if (json_object_object_get_ex(schema, "$ref", &ref)) {
        json_object_object_foreach(schema, beside, unused)
        {
            (void)unused;
            if (strcmp(beside, "$ref") != 0 && strcmp(beside, "description") != 0)
                return refuse(l, "keyword beside $ref", beside);
        }
        return lint_ref(l, ref, where);
    }
    json_object_object_foreach(schema, name, v)
    {
        if (!lint_keyword(l, name, v))
            return false;
    }
    return true;
}

static enum vx_err read_one(const struct contract_file *f, struct json_object **root)
{
    struct json_fault fault;
    struct lint l = {0};
    enum vx_err err = json_read(parsed.arena, f->text, f->len, root, &fault);

    if (err == VX_ERR_JSON_INVALID) {
        log_msg(LOG_ERROR_, "contract_broken", "%s.json: %s (character %zu)", f->name,
                fault.message, fault.pos);
        return VX_ERR_INTERNAL;
    }
    if (err != VX_OK)
        return err;
    l.root = *root;
    if (lint_schema(&l, *root, ""))
        return VX_OK;
    log_msg(LOG_ERROR_, "contract_broken", "%s.json: %s: \"%s\"", f->name, l.why, l.where);
    return VX_ERR_INTERNAL;
}

enum vx_err contracts_init(void)
{
    enum vx_err err = VX_OK;

    if (parsed.arena != NULL)
        return VX_OK;
    parsed.arena = arena_new((size_t)4 << 20);
    if (parsed.arena == NULL)
        return VX_ERR_NO_MEMORY;
    parsed.roots = arena_alloc(parsed.arena, contract_files_count * sizeof(struct json_object *));
    if (parsed.roots == NULL)
        err = VX_ERR_NO_MEMORY;
    for (size_t i = 0; err == VX_OK && i < contract_files_count; i++)
        err = read_one(&contract_files[i], &parsed.roots[i]);
    if (err != VX_OK)
        contracts_free();
    return err;
}

void contracts_free(void)
{
    if (parsed.arena != NULL)
        arena_free(parsed.arena);
    parsed.arena = NULL;
    parsed.roots = NULL;
}

static int by_name(const void *name, const void *file)
{
    return strcmp(name, ((const struct contract_file *)file)->name);
}

struct json_object *contract_find(const char *name)
{
    const struct contract_file *f;

    if (parsed.roots == NULL)
        return NULL;
    f = bsearch(name, contract_files, contract_files_count, sizeof *contract_files, by_name);
    return f != NULL ? parsed.roots[f - contract_files] : NULL;
}

const char *contract_name(size_t i)
{
    return i < contract_files_count ? contract_files[i].name : NULL;
}
