/* Reads configurations as the programs do: `docs_load FILE…`, a line for each that they would refuse. */
#include <stdio.h>

#include <base/cleanup.h>
#include <config/config.h>

int main(int argc, char **argv)
{
    int refused = argc < 2;
    for (int i = 1; i < argc; i++) {
        for (int role = CONFIG_FOR_AGENT; role <= CONFIG_FOR_CLI; role++) {
            _cleanup_(config_freep) struct config *config = NULL;
            struct error err = ERROR_INIT;
            if (config_load(argv[i], (enum config_role)role, &config, &err) == 0)
                continue;
            printf("%s\n", err.text);
            refused = 1;
            break;
        }
    }
    return refused;
}
