/* Counted snapshots of the configuration: see settings.h. */
#include "fcgi/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "vexa/" -> "/vexa", "/" -> "". False when it is too long. */
static bool base_path_of(const struct config *cfg, char *out, size_t size)
{
    const char *p = config_str(cfg, CFG_SERVER_BASE_PATH);
    p += strspn(p, "/");
    int n = snprintf(out, size, "%s%s", *p ? "/" : "", p);
    if (n < 0 || (size_t)n >= size)
        return false;
    for (; n > 0 && out[n - 1] == '/'; n--)
        out[n - 1] = '\0';
    return true;
}

static struct settings *settings_new(void)
{
    struct settings *s = calloc(1, sizeof *s);
    if (s)
        atomic_init(&s->refs, 1);
    return s;
}

void settings_unref(struct settings *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    instance_free(&s->in);
    free(s);
}

enum vx_err settings_load(const char *dir, struct settings **out, char *why, size_t size)
{
    *out = NULL;
    struct settings *s = settings_new();
    if (!s) {
        snprintf(why, size, "out of memory");
        return VX_ERR_BAD_CONFIG;
    }
    enum vx_err err = instance_load(&s->in, dir, why, size);
    if (!err && !base_path_of(s->in.cfg, s->base_path, sizeof s->base_path)) {
        snprintf(why, size, "%s: server.base_path is too long", s->in.conf);
        err = VX_ERR_BAD_CONFIG;
    }
    if (err) {
        settings_unref(s);
        return VX_ERR_BAD_CONFIG;
    }
    s->app = (struct app){.in = &s->in, .cfg = s->in.cfg};
    *out = s;
    return VX_OK;
}

enum vx_err settings_default(const char *dir, struct settings **out)
{
    *out = NULL;
    struct settings *s = settings_new();
    if (!s)
        return VX_ERR_NO_MEMORY;
    enum vx_err err = instance_init(&s->in, dir);
    if (!err && !(s->in.cfg = config_defaults()))
        err = VX_ERR_NO_MEMORY;
    if (err) {
        settings_unref(s);
        return err;
    }
    s->app = (struct app){.in = &s->in, .cfg = s->in.cfg};
    *out = s;
    return VX_OK;
}

void settings_restart_keys(const struct settings *old, const struct settings *new, char *out,
                           size_t size)
{
    static const enum config_key fixed[] = {CFG_SERVER_SOCKET, CFG_SERVER_SOCKET_MODE,
                                            CFG_SERVER_THREADS, CFG_STORE_BUSY_MS};
    size_t at = 0;
    *out = '\0';
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        const struct config_key_info *k = config_key_info(fixed[i]);
        if (!strcmp(config_str(old->in.cfg, fixed[i]), config_str(new->in.cfg, fixed[i])) ||
            at >= size)
            continue;
        int n = snprintf(out + at, size - at, "%s%s.%s", at ? " " : "", k->section, k->name);
        at += n > 0 ? (size_t)n : 0;
    }
}

void settings_cell_init(struct settings_cell *c, struct settings *s)
{
    pthread_mutex_init(&c->lock, NULL);
    c->now = s;
    atomic_init(&c->version, 1);
}

void settings_cell_free(struct settings_cell *c)
{
    settings_unref(c->now);
    c->now = NULL;
    pthread_mutex_destroy(&c->lock);
}

void settings_put(struct settings_cell *c, struct settings *s)
{
    pthread_mutex_lock(&c->lock);
    struct settings *old = c->now;
    c->now = s;
    atomic_fetch_add(&c->version, 1);
    pthread_mutex_unlock(&c->lock);
    settings_unref(old);
}

void settings_follow(struct settings_cell *c, struct settings **held, unsigned *version)
{
    if (*held && atomic_load(&c->version) == *version)
        return;
    struct settings *old = *held;
    pthread_mutex_lock(&c->lock);
    *held = c->now;
    atomic_fetch_add(&c->now->refs, 1);
    *version = atomic_load(&c->version);
    pthread_mutex_unlock(&c->lock);
    settings_unref(old);
}
