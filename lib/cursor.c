/* Event ids as text. An id is ours only in the one form we print, so that two spellings never
 * name one event: a word, a dash, a decimal number without leading zeros. */
#include "lib/cursor.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define EPOCH_MAX  32
#define DIGITS_MAX 19 /* INT64_MAX has 19; one more is a number past any tip */

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Reads all of s as a number; one past int64 saturates, which is past every tip as well. */
static bool read_number(const char *s, int64_t *n)
{
    size_t len = strlen(s);
    if (len == 0 || len > CURSOR_TEXT_MAX || (s[0] == '0' && len > 1))
        return false;
    int64_t v = 0;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        int d = s[i] - '0';
        v = v > (INT64_MAX - d) / 10 ? INT64_MAX : v * 10 + d;
    }
    *n = len > DIGITS_MAX ? INT64_MAX : v;
    return true;
}

enum cursor_kind cursor_parse(const char *text, const char *epoch, int64_t tip, int64_t *n)
{
    if (!text || !*text)
        return CURSOR_NONE;
    size_t word = 0;
    while (word <= EPOCH_MAX && is_word(text[word]))
        word++;
    int64_t v;
    if (word == 0 || word > EPOCH_MAX || text[word] != '-' || !read_number(text + word + 1, &v))
        return CURSOR_GARBAGE;
    if (strlen(epoch) != word || memcmp(text, epoch, word) != 0)
        return CURSOR_FOREIGN;
    if (v > tip)
        return CURSOR_FUTURE;
    *n = v;
    return CURSOR_OK;
}

const char *cursor_format(const char *epoch, int64_t n, char out[CURSOR_TEXT_MAX])
{
    snprintf(out, CURSOR_TEXT_MAX, "%.*s-%" PRId64, EPOCH_MAX, epoch, n);
    return out;
}
