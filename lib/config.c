/* The config reader: inih reads lines, the key table decides. */
#include "lib/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES 65536
#define LINE_MAX_BYTES 198 /* inih cuts at 199 */

struct config {
    char *text[CFG_COUNT]; /* NULL = default */
    int64_t num[CFG_COUNT];
};

static const struct config_key_info keys[CFG_COUNT] = {
#define X(key, section, name, type, def, min, max, doc)                                            \
    [CFG_##key] = {section, name, type, def, min, max, doc},
    CONFIG_KEYS(X)
#undef X
};

struct reading {
    struct config *c;
    char *why;
    size_t size;
    bool failed;
};

const struct config_key_info *config_key_info(enum config_key key)
{
    return (unsigned)key < CFG_COUNT ? &keys[key] : NULL;
}

/* The value as a number, checked against the key's bounds. 0, or -1. */
static int number_of(const struct config_key_info *k, const char *value, int64_t *out)
{
    if (strcmp(k->type, "bool") == 0) {
        static const char *const yes[] = {"true", "yes", "on", "1"};
        static const char *const no[] = {"false", "no", "off", "0"};
        for (size_t i = 0; i < 4; i++) {
            if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
                *out = strcasecmp(value, yes[i]) == 0;
                return 0;
            }
        }
        return -1;
    }
    char *end;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (errno || end == value || *end || v < k->min || v > k->max)
        return -1;
    *out = v;
    return 0;
}

static bool is_number(const struct config_key_info *k)
{
    return strcmp(k->type, "int") == 0 || strcmp(k->type, "bool") == 0;
}

static int refuse(struct reading *r, const char *fmt, const char *a, const char *b, const char *c)
{
    if (!r->failed)
        snprintf(r->why, r->size, fmt, a, b, c);
    r->failed = true;
    return 0; /* tells inih that this line is an error */
}

static int on_line(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    for (int i = 0; i < CFG_COUNT; i++) {
        const struct config_key_info *k = &keys[i];
        if (strcmp(k->section, section) || strcmp(k->name, name))
            continue;
        if (r->c->text[i])
            return refuse(r, "%s.%s is given twice%s", section, name, "");
        if (is_number(k) && number_of(k, value, &r->c->num[i])) {
            char bounds[96] = "";
            if (k->max)
                snprintf(bounds, sizeof bounds, ", an integer from %lld to %lld", (long long)k->min,
                         (long long)k->max);
            return refuse(r, "%s.%s is not a valid value%s", section, name, bounds);
        }
        r->c->text[i] = strdup(value);
        return r->c->text[i] ? 1 : refuse(r, "out of memory%s%s%s", "", "", "");
    }
    return refuse(r, "unknown key %s.%s%s", section, name, "");
}

struct config *config_defaults(void)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    for (int i = 0; i < CFG_COUNT; i++)
        if (is_number(&keys[i]))
            number_of(&keys[i], keys[i].def, &c->num[i]);
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (int i = 0; i < CFG_COUNT; i++) {
        if (c->text[i] && strcmp(keys[i].type, "secret") == 0)
            explicit_bzero(c->text[i], strlen(c->text[i]));
        free(c->text[i]);
    }
    free(c);
}

/* The whole file as text, or NULL and why. */
static char *read_file(const char *path, char *why, size_t size)
{
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        snprintf(why, size, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
        snprintf(why, size, "%s: not a file of at most %d bytes", path, FILE_MAX_BYTES);
        goto out;
    }
    text = calloc(1, (size_t)st.st_size + 1);
    if (!text) {
        snprintf(why, size, "%s: out of memory", path);
        goto out;
    }
    size_t have = 0;
    while (have < (size_t)st.st_size) {
        ssize_t n = read(fd, text + have, (size_t)st.st_size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    if (memchr(text, '\0', have)) {
        snprintf(why, size, "%s: contains a NUL byte", path);
        free(text);
        text = NULL;
    }
out:
    if (fd >= 0)
        close(fd);
    return text;
}

/* inih would silently cut such a line. 0 when all are short enough, else the line's number. */
static int long_line(const char *text)
{
    int line = 1;
    for (const char *p = text; *p; line++) {
        size_t n = strcspn(p, "\n");
        if (n > LINE_MAX_BYTES)
            return line;
        p += n;
        if (*p)
            p++;
    }
    return 0;
}

static int trim_base_url(struct config *c)
{
    char *url = c->text[CFG_SERVER_BASE_URL];
    if (!url)
        return 0;
    if (strncmp(url, "http://", 7) && strncmp(url, "https://", 8))
        return -1;
    for (size_t n = strlen(url); n && url[n - 1] == '/'; n--)
        url[n - 1] = '\0';
    return 0;
}

enum vx_err config_load(const char *path, struct config **out, char *why, size_t size)
{
    *out = NULL;
    char *text = read_file(path, why, size);
    if (!text)
        return VX_ERR_BAD_CONFIG;
    enum vx_err err = VX_ERR_BAD_CONFIG;
    struct config *c = config_defaults();
    int line = long_line(text);
    if (!c) {
        snprintf(why, size, "%s: out of memory", path);
        goto out;
    }
    if (line) {
        snprintf(why, size, "%s:%d: the line has 199 bytes or more", path, line);
        goto out;
    }
    char reason[300] = "not a [section] or key = value line";
    struct reading r = {.c = c, .why = reason, .size = sizeof reason};
    line = ini_parse_string(text, on_line, &r);
    if (line) {
        snprintf(why, size, "%s:%d: %s", path, line, reason);
        goto out;
    }
    if (trim_base_url(c)) {
        snprintf(why, size, "%s: server.base_url must start with http:// or https://", path);
        goto out;
    }
    *out = c;
    c = NULL;
    err = VX_OK;
out:
    config_free(c);
    explicit_bzero(text, strlen(text));
    free(text);
    return err;
}

const char *config_str(const struct config *c, enum config_key key)
{
    return c->text[key] ? c->text[key] : keys[key].def;
}

int64_t config_int(const struct config *c, enum config_key key)
{
    return c->num[key];
}

bool config_bool(const struct config *c, enum config_key key)
{
    return c->num[key] != 0;
}

bool config_is_set(const struct config *c, enum config_key key)
{
    return c->text[key] != NULL;
}
