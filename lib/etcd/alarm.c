#include "internal.h"

static enum etcd_alarm_type type_of(Etcdserverpb__AlarmType from)
{
    switch (from) {
    case ETCDSERVERPB__ALARM_TYPE__NOSPACE:
        return ETCD_ALARM_NOSPACE;
    case ETCDSERVERPB__ALARM_TYPE__CORRUPT:
        return ETCD_ALARM_CORRUPT;
    default:
        return ETCD_ALARM_OTHER;
    }
}

int etcd_alarms(struct etcd *e, int deadline_ms, struct etcd_alarm_list *ret, struct error *err)
{
    Etcdserverpb__AlarmRequest q = ETCDSERVERPB__ALARM_REQUEST__INIT;
    q.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET;
    _reply_ Etcdserverpb__AlarmResponse *reply = NULL;
    int rc = etcd_call(e, METHOD_ALARM, &q, deadline_ms, "alarms", NULL, &reply, err);
    if (rc < 0)
        return rc;
    if (reply->n_alarms > ETCD_ALARMS_MAX)
        return error_set(err, ERR_TOO_LARGE, "etcd %.300s has %zu alarms; at most %d are read", e->name,
                         reply->n_alarms, ETCD_ALARMS_MAX);
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < reply->n_alarms; i++)
        ret->alarms[ret->count++] = (struct etcd_alarm){
            .member = reply->alarms[i]->memberid,
            .type = type_of(reply->alarms[i]->alarm),
        };
    return 0;
}

const char *etcd_alarm_name(enum etcd_alarm_type type)
{
    static const char *const names[] = {
        [ETCD_ALARM_NOSPACE] = "nospace",
        [ETCD_ALARM_CORRUPT] = "corrupt",
        [ETCD_ALARM_OTHER] = "other",
    };
    return names[type];
}
