/* Where a resource's objects stand in the datastore. */
#ifndef COORDINATOR_RESOURCE_PREFIX_H
#define COORDINATOR_RESOURCE_PREFIX_H

#include <stddef.h>

/* Writes the prefix of a resource's keys, with the closing slash: ("/registry", "secrets") gives
 * "/registry/secrets/", ("/registry", "widgets.example.org") "/registry/example.org/widgets/". */
void resource_prefix(const char *root, const char *resource, char *out, size_t size);

#endif
