/* vexa version */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/options.h"

#ifndef VEXA_VERSION
#define VEXA_VERSION "0"
#endif

int cmd_version(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return cli_usage(EXIT_USAGE, "usage: vexa version\n");
    puts("vexa " VEXA_VERSION);
    return cli_finish();
}
