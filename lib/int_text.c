/* Lenient integers and booleans; see int_text.h for what is accepted. */
#include "lib/int_text.h"

#include <stddef.h>
#include <strings.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Skips ".000"; NULL when the point is followed by anything but zeros. */
static const char *skip_zero_fraction(const char *s)
{
    if (*s != '.')
        return s;
    s++;
    if (*s != '0')
        return NULL;
    while (*s == '0')
        s++;
    return s;
}

enum int_text int_text_parse(const char *s, int64_t *out)
{
    if (!s)
        return INT_TEXT_BAD;
    while (is_space(*s))
        s++;
    bool negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (!is_digit(*s))
        return INT_TEXT_BAD;

    /* Counted downwards, as INT64_MIN has no positive twin. */
    int64_t v = 0;
    bool range = false;
    while (is_digit(*s) || (*s == '_' && is_digit(s[1]))) {
        if (*s == '_')
            s++;
        int64_t next;
        if (__builtin_mul_overflow(v, (int64_t)10, &next) ||
            __builtin_sub_overflow(next, (int64_t)(*s - '0'), &next))
            range = true;
        else
            v = next;
        s++;
    }
    s = skip_zero_fraction(s);
    if (!s)
        return INT_TEXT_BAD;
    while (is_space(*s))
        s++;
    if (*s)
        return INT_TEXT_BAD;
    if (range || (!negative && v == INT64_MIN))
        return INT_TEXT_RANGE;
    *out = negative ? v : -v;
    return INT_TEXT_OK;
}

int bool_text_parse(const char *s, bool *out)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {
        {"0", false}, {"1", true},  {"t", true},   {"f", false},  {"true", true}, {"false", false},
        {"y", true},  {"n", false}, {"yes", true}, {"no", false}, {"on", true},   {"off", false},
    };
    for (size_t i = 0; s && i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(s, words[i].word) == 0) {
            *out = words[i].value;
            return 0;
        }
    }
    return -1;
}
