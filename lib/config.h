/* vexa.conf: one key table (lib/config_keys.h) that reads, checks and documents every key. An
 * unknown key, a bad value or a line of 199 bytes or more is an error that names its line. */
#ifndef VX_CONFIG_H
#define VX_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/err.h"
#include "lib/config_keys.h"

struct config;

/* Reads path. On failure *out is NULL and why (size bytes) tells "vexa.conf:12: unknown key …". */
enum vx_err config_load(const char *path, struct config **out, char *why, size_t size);
/* A config of defaults only. */
struct config *config_defaults(void);
void config_free(struct config *c);

/* Text of a key, never NULL ("" when unset). Valid as long as c. */
const char *config_str(const struct config *c, enum config_key key);
int64_t config_int(const struct config *c, enum config_key key);
bool config_bool(const struct config *c, enum config_key key);
bool config_is_set(const struct config *c, enum config_key key);

/* Every key: "section.name", type, default, what it does. For the reference page. */
struct config_key_info {
    const char *section, *name, *type, *def;
    int64_t min, max;
    const char *doc;
};
const struct config_key_info *config_key_info(enum config_key key);

#endif
