/* The contracts: contracts/<name>.json compiled into the binary, parsed once at start. They are
 * the single source for validation, for /openapi.json and for the reference page. */
#ifndef VX_CONTRACTS_H
#define VX_CONTRACTS_H

#include <json-c/json.h>

#include "lib/err.h"

/* Parses all of them; a broken one is a programming error: VX_ERR_INTERNAL and a log line. Call
 * once before threads start. */
enum vx_err contracts_init(void);
void contracts_free(void);
/* The schema by file name without ".json" ("bots.create.v1"); NULL when there is none. Never
 * changed after contracts_init(); callers must not take references across threads. */
struct json_object *contract_find(const char *name);
/* All names in alphabetical order; NULL past the end. */
const char *contract_name(size_t i);

#endif
