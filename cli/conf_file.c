/* vexa.conf as text. */
#include "cli/conf_file.h"

#include <stdbool.h>
#include <string.h>

#include "lib/config.h"

static void hint(struct buf *out, enum config_key key)
{
    const struct config_key_info *k = config_key_info(key);
    buf_printf(out, "; %s\n;%s = %s\n", k->doc, k->name, k->def);
}

/* The key with a value, or its hint when there is none. */
static void line_or_hint(struct buf *out, enum config_key key, const char *value)
{
    const struct config_key_info *k = config_key_info(key);
    if (value)
        buf_printf(out, "; %s\n%s = %s\n", k->doc, k->name, value);
    else
        hint(out, key);
}

int conf_make(struct buf *out, const struct conf_secrets *secrets, const char *base_url,
              const char *speed)
{
    buf_append_str(out, "; vexa.conf: made by vexa init. It holds secrets: keep it 0600.\n"
                        "; A line is at most 198 bytes; after a blank, ';' starts a comment.\n"
                        "; Lines that begin with ';' show defaults. Restart after a change.\n"
                        "\n[server]\n");
    line_or_hint(out, CFG_SERVER_BASE_URL, base_url);
    hint(out, CFG_SERVER_BASE_PATH);
    hint(out, CFG_SERVER_THREADS);
    line_or_hint(out, CFG_SERVER_ADMIN_TOKEN, secrets->admin_token);
    line_or_hint(out, CFG_SERVER_SIGNING_KEY, secrets->signing_key);
    line_or_hint(out, CFG_SERVER_INTERNAL_SECRET, secrets->internal_secret);
    buf_append_str(out, "\n[bots]\n");
    for (int key = CFG_BOTS_GOOGLE_MEET; key <= CFG_BOTS_JITSI_HOSTS; key++)
        hint(out, (enum config_key)key);
    hint(out, CFG_BOTS_STOP_GRACE_SECONDS);
    hint(out, CFG_BOTS_LOBBY_SECONDS);
    line_or_hint(out, CFG_BOTS_REPLAY_SPEED, speed);
    buf_append_str(out, "\n[stream]\n");
    hint(out, CFG_STREAM_MAX);
    hint(out, CFG_STREAM_STALL_SECONDS);
    buf_append_str(out, "\n[log]\n");
    hint(out, CFG_LOG_LEVEL);
    return out->failed ? -1 : 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Is this line (n bytes) the heading "[section]"? NULL section: any heading. */
static bool is_heading(const char *line, size_t n, const char *section)
{
    while (n && is_blank(*line))
        line++, n--;
    if (!n || *line != '[')
        return false;
    if (!section)
        return true;
    size_t len = strlen(section);
    return n >= len + 2 && !memcmp(line + 1, section, len) && line[len + 1] == ']';
}

/* Does this line set key? */
static bool sets_key(const char *line, size_t n, const char *key)
{
    while (n && is_blank(*line))
        line++, n--;
    size_t len = strlen(key);
    if (n <= len || memcmp(line, key, len))
        return false;
    for (line += len, n -= len; n && is_blank(*line); n--)
        line++;
    return n && (*line == '=' || *line == ':');
}

static size_t line_length(const char *text)
{
    size_t n = strcspn(text, "\n");
    return text[n] ? n + 1 : n;
}

int conf_set(struct buf *out, const char *text, const char *section, const char *key,
             const char *value)
{
    const char *heading = NULL, *old = NULL; /* the lines to change or to add below */
    bool inside = false;
    for (const char *p = text; *p; p += line_length(p)) {
        size_t n = strcspn(p, "\n");
        if (is_heading(p, n, NULL)) {
            inside = is_heading(p, n, section);
            if (inside && !heading)
                heading = p;
        } else if (inside && !old && sets_key(p, n, key)) {
            old = p;
        }
    }
    for (const char *p = text; *p; p += line_length(p)) {
        size_t n = line_length(p);
        if (p != old)
            buf_append(out, p, n);
        if (p != old && p[n - 1] != '\n')
            buf_append_char(out, '\n');
        if (p == old || (!old && p == heading))
            buf_printf(out, "%s = %s\n", key, value);
    }
    if (!old && !heading)
        buf_printf(out, "\n[%s]\n%s = %s\n", section, key, value);
    return out->failed ? -1 : 0;
}
