/* Python's view of a text. Characters that Python escapes in repr() as unprintable are the
 * controls, formats, separators and private ones listed below; unassigned code points are not
 * tracked, as that table changes with every Unicode version. */
#include "lib/py_text.h"

#include <stdio.h>
#include <string.h>

size_t utf8_read(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *p = (const unsigned char *)s;
    if (n == 0)
        return 0;
    if (p[0] < 0x80) {
        *cp = p[0];
        return 1;
    }
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    uint32_t c = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *cp = c;
    return len;
}

size_t utf8_write(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[len] | cp);
    return len;
}

size_t utf8_check(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint32_t cp;
        size_t len = utf8_read(s + i, n - i, &cp);
        if (len == 0)
            return i;
        i += len;
    }
    return n;
}

bool py_is_space(uint32_t cp)
{
    return cp == ' ' || (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1f) || cp == 0x85 ||
           cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 ||
           cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

/* As utf8_read, but a broken byte is one character of its own, marked by *cp = UINT32_MAX. */
static size_t read_any(const char *s, size_t n, uint32_t *cp)
{
    size_t len = utf8_read(s, n, cp);
    if (len == 0 && n > 0) {
        *cp = UINT32_MAX;
        len = 1;
    }
    return len;
}

size_t py_len(const char *s)
{
    size_t n = strlen(s), count = 0;
    for (size_t i = 0; i < n; count++) {
        uint32_t cp;
        i += read_any(s + i, n - i, &cp);
    }
    return count;
}

char *py_strip(struct arena *a, const char *s)
{
    size_t n = strlen(s), start = n, end = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = read_any(s + i, n - i, &cp);
        if (!py_is_space(cp)) {
            if (start == n)
                start = i;
            end = i + len;
        }
        i += len;
    }
    return end > start ? arena_strndup(a, s + start, end - start) : arena_strdup(a, "");
}

static bool is_printable(uint32_t cp)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x00, 0x1f},       {0x7f, 0xa0},          {0xad, 0xad},       {0x600, 0x605},
        {0x61c, 0x61c},     {0x6dd, 0x6dd},        {0x70f, 0x70f},     {0x890, 0x891},
        {0x8e2, 0x8e2},     {0x1680, 0x1680},      {0x180e, 0x180e},   {0x2000, 0x200f},
        {0x2028, 0x202f},   {0x205f, 0x206f},      {0x3000, 0x3000},   {0xd800, 0xf8ff},
        {0xfeff, 0xfeff},   {0xfff0, 0xfffb},      {0xfffe, 0xffff},   {0x110bd, 0x110bd},
        {0x110cd, 0x110cd}, {0x13430, 0x1343f},    {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
        {0xe0000, 0xe00ff}, {0xf0000, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        if (cp >= hidden[i].first && cp <= hidden[i].last)
            return false;
    }
    return true;
}

/* Writes the escape of one character; out has room for ten bytes and NUL. */
static size_t put_escape(char *out, uint32_t cp, char quote, unsigned char raw)
{
    const char *fmt = cp == UINT32_MAX ? "\\x%02x" : cp <= 0xff ? "\\x%02x" : "\\u%04x";
    if (cp == '\n' || cp == '\r' || cp == '\t' || cp == '\\' || cp == (unsigned char)quote) {
        char c = cp == '\n' ? 'n' : cp == '\r' ? 'r' : cp == '\t' ? 't' : (char)cp;
        out[0] = '\\';
        out[1] = c;
        return 2;
    }
    if (cp > 0xffff && cp != UINT32_MAX)
        fmt = "\\U%08x";
    int n = snprintf(out, 11, fmt, (unsigned)(cp == UINT32_MAX ? raw : cp));
    return n > 0 ? (size_t)n : 0;
}

char *py_repr(struct arena *a, const char *s)
{
    size_t n = strlen(s);
    /* A byte grows to at most four ("\x7f"); 11 more for quotes and snprintf's NUL. */
    char *out = arena_alloc(a, 4 * n + 16);
    if (!out)
        return NULL;
    char quote = strchr(s, '\'') && !strchr(s, '"') ? '"' : '\'';
    char *p = out;
    *p++ = quote;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = read_any(s + i, n - i, &cp);
        if (!is_printable(cp) || cp == '\\' || cp == (unsigned char)quote) {
            p += put_escape(p, cp, quote, (unsigned char)s[i]);
        } else {
            memcpy(p, s + i, len);
            p += len;
        }
        i += len;
    }
    *p++ = quote;
    *p = '\0';
    return out;
}
