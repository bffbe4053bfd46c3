/* The configuration in force, replaced while requests run. A snapshot is counted: a worker holds
 * the one its request began with, and lets go of it when it begins another request under a newer
 * one. */
#ifndef VX_SETTINGS_H
#define VX_SETTINGS_H

#include <pthread.h>
#include <stdatomic.h>

#include "handlers/http.h"

struct settings {
    struct app app;     /* what handlers see; app.in and app.cfg point into this snapshot */
    struct instance in; /* owns its cfg */
    char base_path[256];
    atomic_uint refs;
};

struct settings_cell {
    pthread_mutex_t lock;
    struct settings *now;
    atomic_uint version;
};

/* Reads the instance in dir. *out has one reference; app.store is NULL. VX_ERR_BAD_CONFIG with the
 * reason in why. */
enum vx_err settings_load(const char *dir, struct settings **out, char *why, size_t size);
/* Paths of the instance and default values: what is in force while vexa.conf cannot be read. */
enum vx_err settings_default(const char *dir, struct settings **out);
void settings_unref(struct settings *s);
/* Names of the keys that differ and only count after a restart, separated by blanks. */
void settings_restart_keys(const struct settings *old, const struct settings *new, char *out,
                           size_t size);

/* The cell takes over the caller's reference. */
void settings_cell_init(struct settings_cell *c, struct settings *s);
void settings_cell_free(struct settings_cell *c);
/* Puts s in the place of what is there; takes over the caller's reference. */
void settings_put(struct settings_cell *c, struct settings *s);
/* Makes *held the snapshot in force; *version is what the holder saw last. Begin with NULL and 0.
 */
void settings_follow(struct settings_cell *c, struct settings **held, unsigned *version);

#endif
