/* Any bytes as a configuration file, for each role: parsed, or refused with one line that names the file. */
#include <stddef.h>
#include <stdint.h>

#include <config/config.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct config *c = NULL;
    struct error err = ERROR_INIT;
    enum config_role role = (enum config_role)(data[0] % 3);
    int rc = config_parse((const char *)data + 1, size - 1, "config.yaml", role, &c, &err);
    if ((rc == 0) != (c != NULL) || (rc < 0 && (err.code != rc || strncmp(err.text, "config.yaml", 11) != 0)))
        abort();
    if (c && (!c->path || !c->token_file || c->servers_count == 0 || c->datastore.endpoints_count == 0))
        abort();
    config_free(c);
    return 0;
}
