/* Private to lib/contracts.c: the table that contracts/embed.sh makes of the contracts. */
#ifndef VX_CONTRACTS_DATA_H
#define VX_CONTRACTS_DATA_H

#include <stddef.h>

struct contract_file {
    const char *name; /* file name without ".json" */
    const char *text; /* the file's bytes, NUL after them */
    size_t len;
};

/* Sorted by name (bytes). */
extern const struct contract_file contract_files[];
extern const size_t contract_files_count;

#endif
