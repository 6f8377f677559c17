#include "metrics.h"

int page_metrics(const struct cluster_snapshot *s, struct buf *out, struct error *err)
{
    return buf_addf(out, err,
                    "# TYPE secrets_encrypt_state_store_read gauge\n"
                    "secrets_encrypt_state_store_read %d\n"
                    "# EOF\n",
                    s ? 1 : 0);
}
