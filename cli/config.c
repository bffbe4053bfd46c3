/* vexa config check|show: what the configuration says, and whether it can be read. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"

static const char usage[] =
    "usage: vexa config check [--dir D]\n"
    "       vexa config show [SECTION.KEY] [--dir D]\n"
    "check reads vexa.conf and names the first line that is wrong. show prints every key with its\n"
    "value (secrets as ***), or the bare value of one key, secrets included.\n";

/* Value in use; server.socket shows the path that is derived where it is not set. */
static void print_value(const struct instance *in, enum config_key key)
{
    if (key == CFG_SERVER_SOCKET)
        puts(in->socket);
    else
        puts(config_str(in->cfg, key));
}

static int show_one(const struct instance *in, const char *name)
{
    for (int i = 0; i < CFG_COUNT; i++) {
        const struct config_key_info *k = config_key_info((enum config_key)i);
        size_t n = strlen(k->section);
        if (strncmp(name, k->section, n) || name[n] != '.' || strcmp(name + n + 1, k->name))
            continue;
        print_value(in, (enum config_key)i);
        return cli_finish();
    }
    cli_complain("there is no key %s", name);
    return 2;
}

static int show_all(const struct instance *in)
{
    const char *section = "";
    for (int i = 0; i < CFG_COUNT; i++) {
        const struct config_key_info *k = config_key_info((enum config_key)i);
        if (strcmp(section, k->section))
            printf("%s[%s]\n", *section ? "\n" : "", k->section);
        section = k->section;
        bool secret = strcmp(k->type, "secret") == 0;
        printf("%s%s = ", config_is_set(in->cfg, (enum config_key)i) ? "" : "# ", k->name);
        if (secret)
            puts(*config_str(in->cfg, (enum config_key)i) ? "***" : "");
        else
            print_value(in, (enum config_key)i);
    }
    return cli_finish();
}

int cmd_config(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *dir = NULL;
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (o != 'd')
            return cli_usage(o == 'h' ? 0 : EXIT_USAGE, usage);
        dir = optarg;
    }
    int words = argc - optind;
    const char *verb = words > 0 ? argv[optind] : "";
    bool check = strcmp(verb, "check") == 0 && words == 1;
    bool show = strcmp(verb, "show") == 0 && words <= 2;
    if (!check && !show)
        return cli_usage(EXIT_USAGE, usage);
    struct instance in;
    int status = cli_load(&in, dir);
    if (!status && check)
        printf("%s: fine\n", in.conf);
    else if (!status && words == 2)
        status = show_one(&in, argv[optind + 1]);
    else if (!status)
        status = show_all(&in);
    instance_free(&in);
    return status;
}
