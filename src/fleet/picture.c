#include "fleet/picture.h"

bool obs_fleet_always_lazy(const obs_nats_server *s) {
  return s->version[0] != '\0' && obs_nats_is_older(s, 2, 10, 0);
}

bool obs_fleet_is_old(const obs_nats_server *s) {
  return s->version[0] != '\0' && obs_nats_is_older(s, 2, 10, 27);
}

static void put_spool(obs_json_writer *w, uint64_t ops, uint64_t bytes, uint64_t most, uint64_t age_ms) {
  obs_json_u64(w, "spool_ops", ops);
  obs_json_u64(w, "spool_bytes", bytes);
  obs_json_u64(w, "spool_max_bytes", most);
  obs_json_u64(w, "spool_age_ms", age_ms);
}

/* This daemon, which it knows also while NATS is away. */
void obs_fleet_picture_put_self(const obs_fleet_picture *p, const char *name, obs_json_writer *w) {
  obs_json_object(w, name);
  obs_json_array(w, "roles");
  if (p->is_edge) obs_json_cstr(w, NULL, "edge");
  if (p->is_worker) obs_json_cstr(w, NULL, "worker");
  obs_json_end(w);
  obs_json_bool(w, "records", p->records);
  if (p->is_edge) {
    obs_json_object(w, "edge");
    obs_json_id(w, "id", p->edge_id);
    obs_json_u64(w, "seq", p->edge.seq);
    obs_json_u64(w, "forwarded_seq", p->edge.forwarded_seq);
    put_spool(w, p->edge.spool_ops, p->edge.spool_bytes, p->edge.spool_max, p->edge.spool_age_ms);
    obs_json_u64(w, "linger_ms", p->linger_ms);
    obs_json_end(w);
  }
  if (p->is_worker) {
    obs_json_object(w, "worker");
    obs_json_id_or_null(w, "id", p->worker_id);
    obs_json_u64(w, "partitions", p->worker.held);
    obs_json_u64(w, "rebuilding", p->worker.rebuilding);
    obs_json_u64(w, "pending", p->worker.pending);
    obs_json_u64(w, "lag_ms", p->worker.lag_ms);
    obs_json_end(w);
  }
  obs_json_cstr(w, "hindered", p->hindered[0] != '\0' ? p->hindered : NULL);
  obs_json_end(w);
}

static void put_nats(const obs_fleet_picture *p, obs_json_writer *w) {
  bool known = p->connected && p->server.version[0] != '\0';
  obs_json_object(w, "nats");
  obs_json_bool(w, "connected", p->connected);
  obs_json_cstr(w, "why", p->why[0] != '\0' ? p->why : NULL);
  obs_json_u64(w, "away_ms", p->away_ms);
  obs_json_cstr(w, "version", known ? p->server.version : NULL);
  obs_json_bool(w, "old", known && obs_fleet_is_old(&p->server));
  obs_json_cstr(w, "syncs", !known ? NULL : obs_fleet_always_lazy(&p->server) ? "lazily" : "lazily unless always");
  obs_json_end(w);
}

static void put_stream(const obs_roster *r, obs_json_writer *w) {
  if (!r->has_stream) {
    obs_json_null(w, "stream");
    return;
  }
  obs_json_object(w, "stream");
  obs_json_cstr(w, "name", OBS_FLEET_STREAM);
  obs_json_u64(w, "messages", r->stream.messages);
  obs_json_u64(w, "bytes", r->stream.bytes);
  obs_json_u64(w, "replicas", r->stream.replicas);
  obs_json_u64(w, "first_seq", r->stream.first_seq);
  obs_json_u64(w, "last_seq", r->stream.last_seq);
  obs_json_time(w, "created", r->stream.created_ns / INT64_C(1000000));
  obs_json_bool(w, "discards_old", r->stream.discards_old);
  obs_json_end(w);
}

/* What is told of each daemon, and then what is its own. */
static void begin_daemon(obs_json_writer *w, uint64_t id, const char *name, const char *version, const char *state,
                         int64_t age_ms) {
  obs_json_object(w, NULL);
  obs_json_id(w, "id", id);
  obs_json_bytes(w, "name", name, strlen(name));
  obs_json_bytes(w, "version", version, strlen(version));
  obs_json_cstr(w, "state", state);
  obs_json_i64(w, "seen_ms", age_ms);
}

static const char *state_of(bool stopped, bool away) {
  return stopped ? "stopped" : away ? "away" : "here";
}

static void put_edges(const obs_roster *r, obs_json_writer *w) {
  obs_json_array(w, "edges");
  for (uint32_t i = 0; i < r->nedges; i++) {
    const obs_roster_edge *e = &r->edges[i];
    begin_daemon(w, e->id, e->name, e->version, state_of(e->stopped, e->away), e->age_ms);
    obs_json_u64(w, "seq", e->seq);
    obs_json_u64(w, "forwarded_seq", e->forwarded_seq);
    put_spool(w, e->spool_ops, e->spool_bytes, e->spool_max, e->spool_age_ms);
    obs_json_u64(w, "linger_ms", e->linger_ms);
    obs_json_u64(w, "outages", e->outages);
    obs_json_u64(w, "outage_ms", e->outage_ms);
    obs_json_end(w);
  }
  obs_json_end(w);
  obs_json_u64(w, "more_edges", r->more_edges);
}

static void put_workers(const obs_roster *r, obs_json_writer *w) {
  obs_json_array(w, "workers");
  for (uint32_t i = 0; i < r->nworkers; i++) {
    const obs_roster_worker *x = &r->workers[i];
    begin_daemon(w, x->id, x->name, x->version, state_of(x->stopped, x->away), x->age_ms);
    obs_json_u64(w, "partitions", x->held);
    obs_json_u64(w, "rebuilding", x->rebuilding);
    obs_json_u64(w, "pending", x->pending);
    obs_json_i64(w, "lag_ms", x->behind_ms);
    obs_json_end(w);
  }
  obs_json_end(w);
  obs_json_u64(w, "more_workers", r->more_workers);
}

static void put_partitions(const obs_roster *r, obs_json_writer *w) {
  obs_json_array(w, "partitions");
  for (uint32_t p = 0; p < r->npartitions; p++) {
    const obs_roster_partition *x = &r->partitions[p];
    obs_json_object(w, NULL);
    obs_json_u64(w, "p", p);
    obs_json_id_or_null(w, "worker", x->worker != UINT32_MAX ? r->workers[x->worker].id : 0);
    obs_json_i64_if_known(w, "checkpoint_ms", x->checkpoint_seq > 0, x->checkpoint_age_ms);
    obs_json_u64(w, "pending", x->pending);
    obs_json_bool(w, "rebuilding", x->rebuilding);
    obs_json_end(w);
  }
  obs_json_end(w);
  obs_json_array(w, "missing");
  for (uint32_t p = 0; p < r->npartitions; p++)
    if (r->partitions[p].worker == UINT32_MAX) obs_json_u64(w, NULL, p);
  obs_json_end(w);
}

void obs_fleet_picture_put(const obs_fleet_picture *p, obs_json_writer *w) {
  const obs_roster *r = &p->roster;
  obs_fleet_picture_put_self(p, "self", w);
  put_nats(p, w);
  obs_json_bool(w, "complete", p->has_roster);
  put_stream(r, w);
  put_edges(r, w);
  put_workers(r, w);
  put_partitions(r, w);
  if (r->has_leader) {
    obs_json_object(w, "leader");
    obs_json_id(w, "worker", r->leader);
    obs_json_i64(w, "written_ms", r->leader_age_ms);
    obs_json_end(w);
  } else
    obs_json_null(w, "leader");
}

void obs_fleet_picture_fini(obs_fleet_picture *p) {
  obs_roster_fini(&p->roster);
}
