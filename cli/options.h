/* What the operator's commands share: usage texts, the instance of --dir, numbers, a store. */
#ifndef VX_CLI_OPTIONS_H
#define VX_CLI_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/instance.h"
#include "lib/store.h"

/* Prints a usage text: to stdout for status 0 (--help), else to stderr. Returns status. */
int cli_usage(int status, const char *text);
/* "vexa: <message>" on stderr. */
void cli_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The instance with its config. 0, or the exit status after a message; free it in both cases. */
int cli_load(struct instance *in, const char *dir);
/* cli_load() plus its database, which must exist. */
int cli_open(struct instance *in, const char *dir, struct store **st, struct store_conn **rd);
void cli_close(struct instance *in, struct store *st, struct store_conn *rd);
/* A whole decimal number within min..max. 0, or EXIT_USAGE after a message that names the option.
 */
int cli_number(const char *option, const char *text, int64_t min, int64_t max, int64_t *out);
/* Flushes stdout: 0, or EXIT_SYSTEM after a message (a full disk, a closed pipe). */
int cli_finish(void);

#endif
