/* What backup.c needs of its folder. All names are relative to the open folder. */
#ifndef COORDINATOR_BACKUP_FOLDER_H
#define COORDINATOR_BACKUP_FOLDER_H

#include <dirent.h>

#include "backup.h"

#define BACKUP_PART ".part"
#define BACKUP_SUM  ".sha256"

/* Opens the folder (made if need be) and takes its lock, which goes with the descriptor. */
int backup_folder_open(const char *folder, int *ret_fd, struct error *err) _must_check_;

/* Bytes that a plain user may still write there. */
int backup_folder_free(int fd, uint64_t *ret, struct error *err) _must_check_;

/* Removes what a crashed call left: every "<name of ours>.part". */
int backup_folder_clean(int fd, struct error *err) _must_check_;

/* Removes the oldest backups (by modification time) so that `keep` are left. `newest` always stays.
 * Files with other names are never touched. *ret_removed counts also when it fails. */
int backup_folder_prune(int fd, const char *newest, size_t keep, size_t *ret_removed,
                        struct error *err) _must_check_;

#endif
