#include "internal.h"

#include <base/text.h>

int etcd_member_list(struct etcd *e, int deadline_ms, struct etcd_members *ret, struct error *err)
{
    Etcdserverpb__MemberListRequest q = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    q.linearizable = true; /* 3.5 and later; 3.4 does not know the field */
    _reply_ Etcdserverpb__MemberListResponse *reply = NULL;
    int rc = etcd_call(e, METHOD_MEMBER_LIST, &q, deadline_ms, "member list", NULL, &reply, err);
    if (rc < 0)
        return rc;
    if (reply->n_members > ETCD_ENDPOINT_MAX)
        return error_set(err, ERR_TOO_LARGE, "etcd %.300s has %zu members; at most %d are supported", e->name,
                         reply->n_members, ETCD_ENDPOINT_MAX);
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < reply->n_members; i++) {
        const Etcdserverpb__Member *from = reply->members[i];
        struct etcd_member *m = &ret->members[ret->count++];
        m->id = from->id;
        m->learner = from->islearner;
        text_copy(m->name, sizeof(m->name), from->name);
        if (from->n_clienturls)
            text_copy(m->client_url, sizeof(m->client_url), from->clienturls[0]);
    }
    return 0;
}

int etcd_member_status(struct etcd *e, size_t endpoint, int deadline_ms, struct etcd_status *ret,
                       struct error *err)
{
    if (endpoint >= e->count)
        return error_set(err, ERR_INVALID, "etcd %.300s: there is no endpoint %zu", e->name, endpoint);
    Etcdserverpb__StatusRequest q = ETCDSERVERPB__STATUS_REQUEST__INIT;
    _reply_ Etcdserverpb__StatusResponse *reply = NULL;
    int rc = etcd_call_at(e, (int)endpoint, METHOD_STATUS, &q, deadline_ms, "status", NULL, &reply, err);
    if (rc < 0)
        return rc;
    *ret = (struct etcd_status){
        .db_size = reply->dbsize,
        .db_size_in_use = reply->dbsizeinuse,
        .leader = reply->leader,
        .member = reply->header ? reply->header->member_id : 0,
        .cluster = reply->header ? reply->header->cluster_id : 0,
        .revision = revision_of(reply->header),
        .raft_index = reply->raftindex,
        .raft_applied_index = reply->raftappliedindex,
        .raft_term = reply->raftterm,
        .learner = reply->islearner,
    };
    text_copy(ret->version, sizeof(ret->version), reply->version);
    return 0;
}
