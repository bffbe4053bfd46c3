/* vexa.conf as text: the first one of an instance, and changing single lines of an old one. Pure.
 */
#ifndef VX_CLI_CONF_FILE_H
#define VX_CLI_CONF_FILE_H

#include "lib/buf.h"

struct conf_secrets {
    char admin_token[49], signing_key[49], internal_secret[49];
};

/* The first vexa.conf. base_url and speed may be NULL (then commented hints). 0 or -1. */
int conf_make(struct buf *out, const struct conf_secrets *secrets, const char *base_url,
              const char *speed);
/* Copies text to out with section.key set to value: the line that sets it is replaced, else one is
 * added below the section's heading, else the section is added at the end. Comments and all other
 * lines stay. 0, or -1 when out is full. */
int conf_set(struct buf *out, const char *text, const char *section, const char *key,
             const char *value);

#endif
