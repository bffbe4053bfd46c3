/* Owns the strict look at a JSON text before json-c builds anything from it, and the building.
 *
 * json-c accepts overlong UTF-8, single quotes and NaN, turns the key "a\u0000z" into "a",
 * saturates big integers and needs 237 MiB for 1 MiB of [{},{},…]; so this scan walks the text
 * first, allocates nothing, and refuses all of that with CPython's words and positions where
 * CPython refuses it too. Recursion is bounded by DEPTH_MAX. */
#include "lib/json_scan.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX  32
#define VALUES_MAX 20000
#define NUMBER_MAX 128

struct scan {
    const unsigned char *p; /* start, end and reading position */
    const unsigned char *end;
    const unsigned char *at;
    const unsigned char *fault_at; /* byte position of the fault */
    const char *message;
    unsigned values;
};

static int scan_value(struct scan *s, unsigned depth);

static int fail(struct scan *s, const unsigned char *at, const char *message)
{
    s->fault_at = at;
    s->message = message;
    return -1;
}

static void skip_blank(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool next_is(const struct scan *s, unsigned char c)
{
    return s->at < s->end && *s->at == c;
}

static bool is_digit(const struct scan *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

/* Length of the well-formed UTF-8 sequence at p (Unicode table 3-7), 0 when there is none. */
static size_t utf8_len(const unsigned char *p, const unsigned char *end)
{
    size_t left = (size_t)(end - p);
    unsigned char low = 0x80, high = 0xBF;
    size_t n;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        n = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        n = 3;
        if (p[0] == 0xE0)
            low = 0xA0;
        else if (p[0] == 0xED) /* surrogates */
            high = 0x9F;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        n = 4;
        if (p[0] == 0xF0)
            low = 0x90;
        else if (p[0] == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    if (left < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xBF)
            return 0;
    return n;
}

/* The value of four hex digits at p, or -1. */
static int hex4(const unsigned char *p, const unsigned char *end)
{
    int v = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int d;
        if (p[i] >= '0' && p[i] <= '9')
            d = p[i] - '0';
        else if (p[i] >= 'a' && p[i] <= 'f')
            d = p[i] - 'a' + 10;
        else if (p[i] >= 'A' && p[i] <= 'F')
            d = p[i] - 'A' + 10;
        else
            return -1;
        v = v * 16 + d;
    }
    return v;
}

/* at stands on the backslash of a \u; moves behind the escape (behind both of a pair). A text that
 * ends right behind the digits is called an invalid escape, not an open string, as in CPython. */
static int scan_unicode(struct scan *s)
{
    static const char invalid[] = "Invalid \\uXXXX escape";
    const unsigned char *slash = s->at;
    int hi = hex4(slash + 2, s->end), lo;

    if (hi < 0 || s->end - slash == 6)
        return fail(s, slash + 1, invalid);
    if (hi == 0)
        return fail(s, slash, "U+0000 is not allowed");
    s->at += 6;
    if (hi < 0xD800 || hi > 0xDFFF)
        return 0;
    lo = s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? hex4(s->at + 2, s->end) : -1;
    if (hi > 0xDBFF || lo < 0xDC00 || lo > 0xDFFF)
        return fail(s, slash, "Unpaired surrogate escape");
    if (s->end - s->at == 6)
        return fail(s, s->at + 1, invalid);
    s->at += 6;
    return 0;
}

static int scan_string(struct scan *s)
{
    static const char unterminated[] = "Unterminated string starting at";
    const unsigned char *open = s->at++;

    while (s->at < s->end) {
        unsigned char c = *s->at;
        if (c == '"') {
            s->at++;
            return 0;
        }
        if (c < 0x20)
            return fail(s, s->at, "Invalid control character at");
        if (c != '\\') {
            size_t n = utf8_len(s->at, s->end);
            if (n == 0)
                return fail(s, s->at, "Invalid UTF-8");
            s->at += n;
            continue;
        }
        if (s->at + 1 == s->end)
            break;
        if (s->at[1] == 'u') {
            if (scan_unicode(s) != 0)
                return -1;
        } else if (s->at[1] != 0 && strchr("\"\\/bfnrt", s->at[1]) != NULL) {
            s->at += 2;
        } else {
            return fail(s, s->at, "Invalid \\escape");
        }
    }
    return fail(s, open, unterminated);
}

/* Whether the number of n bytes at p is one we can hold: int64, or a finite double. */
static const char *number_fault(const unsigned char *p, size_t n, bool integer)
{
    char text[NUMBER_MAX + 1];

    if (n > NUMBER_MAX)
        return "Number is too long";
    memcpy(text, p, n);
    text[n] = '\0';
    errno = 0;
    if (integer) {
        (void)strtoll(text, NULL, 10);
        return errno == ERANGE ? "Integer out of range" : NULL;
    }
    return isfinite(strtod(text, NULL)) ? NULL : "Number out of range";
}

/* Reads the longest number the grammar allows, as CPython does: what follows it is the fault. */
static int scan_number(struct scan *s)
{
    const unsigned char *start = s->at;
    const char *message;
    bool integer = true;

    if (*s->at == '-')
        s->at++;
    if (!is_digit(s))
        return fail(s, start, "Expecting value");
    if (*s->at == '0')
        s->at++;
    else
        while (is_digit(s))
            s->at++;
    if (s->end - s->at >= 2 && s->at[0] == '.' && s->at[1] >= '0' && s->at[1] <= '9') {
        integer = false;
        s->at++;
        while (is_digit(s))
            s->at++;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        const unsigned char *before = s->at++;
        if (next_is(s, '+') || next_is(s, '-'))
            s->at++;
        if (is_digit(s)) {
            integer = false;
            while (is_digit(s))
                s->at++;
        } else {
            s->at = before;
        }
    }
    message = number_fault(start, (size_t)(s->at - start), integer);
    return message != NULL ? fail(s, start, message) : 0;
}

static int scan_word(struct scan *s, const char *word, size_t n)
{
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return fail(s, s->at, "Expecting value");
    s->at += n;
    return 0;
}

static int scan_object(struct scan *s, unsigned depth)
{
    s->at++;
    skip_blank(s);
    if (next_is(s, '}')) {
        s->at++;
        return 0;
    }
    for (;;) {
        if (!next_is(s, '"'))
            return fail(s, s->at, "Expecting property name enclosed in double quotes");
        if (scan_string(s) != 0)
            return -1;
        skip_blank(s);
        if (!next_is(s, ':'))
            return fail(s, s->at, "Expecting ':' delimiter");
        s->at++;
        skip_blank(s);
        if (scan_value(s, depth) != 0)
            return -1;
        skip_blank(s);
        if (next_is(s, '}')) {
            s->at++;
            return 0;
        }
        if (!next_is(s, ','))
            return fail(s, s->at, "Expecting ',' delimiter");
        s->at++;
        skip_blank(s);
    }
}

static int scan_array(struct scan *s, unsigned depth)
{
    s->at++;
    skip_blank(s);
    if (next_is(s, ']')) {
        s->at++;
        return 0;
    }
    for (;;) {
        if (scan_value(s, depth) != 0)
            return -1;
        skip_blank(s);
        if (next_is(s, ']')) {
            s->at++;
            return 0;
        }
        if (!next_is(s, ','))
            return fail(s, s->at, "Expecting ',' delimiter");
        s->at++;
        skip_blank(s);
    }
}

/* depth: containers already open around this value. */
static int scan_value(struct scan *s, unsigned depth)
{
    if (s->at == s->end)
        return fail(s, s->at, "Expecting value");
    if (++s->values > VALUES_MAX)
        return fail(s, s->at, "Too many values");
    switch (*s->at) {
    case '{':
    case '[':
        if (depth >= DEPTH_MAX)
            return fail(s, s->at, "Nested too deeply");
        return *s->at == '{' ? scan_object(s, depth + 1) : scan_array(s, depth + 1);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true", 4);
    case 'f':
        return scan_word(s, "false", 5);
    case 'n':
        return scan_word(s, "null", 4);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return scan_number(s);
    default:
        if (utf8_len(s->at, s->end) == 0)
            return fail(s, s->at, "Invalid UTF-8");
        return fail(s, s->at, "Expecting value");
    }
}

static int scan_text(struct scan *s)
{
    if (s->end - s->at >= 3 && memcmp(s->at, "\xEF\xBB\xBF", 3) == 0)
        return fail(s, s->at, "Unexpected UTF-8 BOM (decode using utf-8-sig)");
    skip_blank(s);
    if (scan_value(s, 0) != 0)
        return -1;
    skip_blank(s);
    return s->at == s->end ? 0 : fail(s, s->at, "Extra data");
}

int json_scan(const char *text, size_t n, struct json_fault *fault)
{
    const unsigned char *p = (const unsigned char *)text;
    struct scan s = {.p = p, .end = p + n, .at = p};

    *fault = (struct json_fault){0};
    if (n > INT_MAX) { /* json-c takes an int */
        fault->message = "Text is too long";
        return -1;
    }
    if (scan_text(&s) == 0)
        return 0;
    fault->message = s.message;
    /* All before the fault is well-formed: characters are the bytes that continue none. */
    for (const unsigned char *q = s.p; q < s.fault_at; q++)
        fault->pos += (*q & 0xC0) != 0x80;
    return -1;
}

enum vx_err json_read(struct arena *a, const char *text, size_t n, struct json_object **out,
                      struct json_fault *fault)
{
    struct json_tokener *tok;
    struct json_object *o;
    enum json_tokener_error err;

    *out = NULL;
    if (json_scan(text, n, fault) != 0)
        return VX_ERR_JSON_INVALID;
    tok = json_tokener_new_ex(DEPTH_MAX + 2); /* json-c counts scalars as a level */
    if (tok == NULL)
        return VX_ERR_NO_MEMORY;
    o = json_tokener_parse_ex(tok, text, (int)n);
    err = json_tokener_get_error(tok);
    if (err == json_tokener_continue) { /* a bare number or word ends only with the text */
        o = json_tokener_parse_ex(tok, "", 1);
        err = json_tokener_get_error(tok);
    }
    json_tokener_free(tok);
    if (err != json_tokener_success) /* the scan passed it, so only memory can be at fault */
        return VX_ERR_NO_MEMORY;
    if (o == NULL)
        return VX_OK;
    *out = arena_own_json(a, o);
    return *out != NULL ? VX_OK : VX_ERR_NO_MEMORY;
}
