#include "fleet/lease.h"

#include "base/map.h"
#include "base/vec.h"

#include <string.h>

typedef struct {
  uint64_t run; /* who holds it, as last seen; 0: nobody */
  uint64_t revision;
  bool mine;   /* this process has taken it, or gone on with it */
  bool giving; /* it is being given up: still mine */
} partition;

typedef struct {
  uint64_t worker, run, revision;
  uint64_t seen_ms; /* when its heartbeat changed */
  bool takes, leads, stopped;
} peer;

/* One that takes part, in the plan of a turn. */
typedef struct {
  uint64_t worker;
  uint32_t held, target;
  bool me;
} member;

struct obs_lease {
  obs_lease_opts opts;
  partition *partitions;
  uint32_t *unheld; /* of the turn: partitions that are free, ascending */
  uint32_t nunheld;
  OBS_VEC(peer) peers;
  obs_map by_worker, by_run; /* places in peers */
  OBS_VEC(member) members;   /* of the turn */
  uint32_t *member_of;       /* of the turn: by place in peers, UINT32_MAX: none */
  uint32_t member_of_cap;
  bool takes, leads, superseded, rereading;
  bool unproved; /* behind a gap: others may have taken over what it holds, until it has seen what was written */
  uint64_t beat_ms, beat_revision; /* of the last heartbeat; beat_ms 0: none yet */
  uint64_t former_revision;        /* while the bucket is read again: of the last heartbeat before */
  uint64_t proof_ms;               /* when the last heartbeat that has come back was begun; 0: none has */
  uint64_t base_ms;                /* since when proofs have come without a gap */
  uint64_t alive_hash, changed_ms, unrest_ms;
  uint64_t taken, given, lost;
};

obs_lease *obs_lease_open(const obs_lease_opts *opts) {
  obs_lease *l = calloc(1, sizeof *l);
  if (l == NULL) return NULL;
  l->opts = *opts;
  l->partitions = calloc(opts->partitions, sizeof *l->partitions);
  l->unheld = calloc(opts->partitions, sizeof *l->unheld);
  if (l->partitions != NULL && l->unheld != NULL && obs_map_init(&l->by_worker, 16) && obs_map_init(&l->by_run, 16))
    return l;
  obs_lease_close(l);
  return NULL;
}

void obs_lease_close(obs_lease *l) {
  if (l == NULL) return;
  free(l->partitions);
  free(l->unheld);
  free(l->member_of);
  OBS_VEC_FINI(&l->peers);
  OBS_VEC_FINI(&l->members);
  obs_map_fini(&l->by_worker);
  obs_map_fini(&l->by_run);
  free(l);
}

/* ---- what the bucket says ---- */

static void end(partition *p, uint64_t *count) {
  if (p->mine) (*count)++;
  p->mine = p->giving = false;
}

void obs_lease_see(obs_lease *l, uint32_t at, uint64_t run, uint64_t revision) {
  partition *p = &l->partitions[at];
  if (revision <= p->revision) return; /* older than what this worker wrote itself */
  if (run != l->opts.run) end(p, p->giving && run == 0 ? &l->given : &l->lost);
  p->run = run;
  p->revision = revision;
}

static bool is_alive(const obs_lease *l, const peer *w) {
  uint64_t since_ms = w->seen_ms > l->base_ms ? w->seen_ms : l->base_ms;
  return !w->stopped && (l->proof_ms < since_ms || l->proof_ms - since_ms < OBS_LEASE_DEAD_MS);
}

/* A new place, or that of the dead one that was seen longest ago. */
static observer_err add_peer(obs_lease *l, uint64_t worker, uint32_t *place) {
  uint32_t at = l->peers.n;
  if (at == OBS_LEASE_WORKERS) {
    at = UINT32_MAX;
    for (uint32_t i = 0; i < l->peers.n; i++) {
      if (!is_alive(l, &l->peers.at[i]) && (at == UINT32_MAX || l->peers.at[i].seen_ms < l->peers.at[at].seen_ms))
        at = i;
    }
    if (at == UINT32_MAX) return OBSERVER_E_FULL;
    obs_map_remove(&l->by_worker, l->peers.at[at].worker);
    obs_map_remove(&l->by_run, l->peers.at[at].run);
  } else if (OBS_VEC_PUSH(&l->peers) == NULL)
    return OBSERVER_E_NOMEM;
  l->peers.at[at] = (peer){.worker = worker, .stopped = true};
  if (!obs_map_put(&l->by_worker, worker, at)) return OBSERVER_E_NOMEM;
  *place = at;
  return OBSERVER_E_OK;
}

/* Behind a gap, time begins anew for those who were alive before it; who was dead is. */
static void begin_proofs(obs_lease *l) {
  for (uint32_t i = 0; i < l->peers.n; i++) l->peers.at[i].stopped |= !is_alive(l, &l->peers.at[i]);
  l->base_ms = l->beat_ms;
}

/* All keys have come: those that did not are not there. */
static void end_reread(obs_lease *l) {
  for (uint32_t i = 0; i < l->opts.partitions; i++) {
    partition *p = &l->partitions[i];
    if (p->revision != 0) continue;
    end(p, &l->lost);
    p->run = 0;
  }
  l->rereading = false;
}

/* Its own heartbeat has come back, and with it all that was written before. */
static void see_self(obs_lease *l, uint64_t run, uint64_t revision) {
  uint64_t known = l->beat_revision != 0 ? l->beat_revision : l->former_revision;
  if (run != l->opts.run) {
    if (l->beat_ms != 0 && revision > known) l->superseded = true;
  } else if (revision == l->beat_revision) {
    if (l->proof_ms == 0 || l->beat_ms - l->proof_ms >= OBS_LEASE_HOLD_MS) begin_proofs(l);
    l->proof_ms = l->beat_ms;
    l->unproved = false;
    if (l->rereading) end_reread(l);
  }
  if (revision > l->beat_revision) l->beat_revision = revision; /* a write whose answer was lost, or an earlier run */
}

observer_err obs_lease_see_worker(obs_lease *l, uint64_t now_ms, uint64_t worker, uint64_t run, bool takes,
                                  uint64_t revision) {
  uint32_t at;
  if (worker == l->opts.worker) {
    see_self(l, run, revision);
    return OBSERVER_E_OK;
  }
  observer_err err = obs_map_get(&l->by_worker, worker, &at) ? OBSERVER_E_OK : add_peer(l, worker, &at);
  if (err != OBSERVER_E_OK) return err;
  peer *w = &l->peers.at[at];
  if (revision == w->revision || (revision < w->revision && !l->rereading)) return OBSERVER_E_OK;
  if (w->run != run) {
    obs_map_remove(&l->by_run, w->run);
    if (!obs_map_put(&l->by_run, run, at)) return OBSERVER_E_NOMEM;
  }
  *w = (peer){.worker = worker, .run = run, .revision = revision, .seen_ms = now_ms, .takes = takes};
  return OBSERVER_E_OK;
}

void obs_lease_see_leads(obs_lease *l, uint64_t worker, bool leads) {
  uint32_t at;
  if (obs_map_get(&l->by_worker, worker, &at)) l->peers.at[at].leads = leads;
}

void obs_lease_see_stopped(obs_lease *l, uint64_t now_ms, uint64_t worker) {
  uint32_t at;
  if (!obs_map_get(&l->by_worker, worker, &at)) return;
  l->peers.at[at].stopped = true;
  l->peers.at[at].seen_ms = now_ms;
}

void obs_lease_forget(obs_lease *l) {
  for (uint32_t i = 0; i < l->opts.partitions; i++) {
    end(&l->partitions[i], &l->lost);
    l->partitions[i] = (partition){0};
  }
  l->peers.n = 0;
  obs_map_clear(&l->by_worker);
  obs_map_clear(&l->by_run);
  l->beat_ms = l->beat_revision = l->former_revision = l->proof_ms = 0;
  l->rereading = false;
}

void obs_lease_reread(obs_lease *l) {
  for (uint32_t i = 0; i < l->opts.partitions; i++) l->partitions[i].revision = 0;
  if (l->beat_revision != 0) l->former_revision = l->beat_revision;
  l->beat_revision = 0;
  l->rereading = true;
}

bool obs_lease_is_rereading(const obs_lease *l) {
  return l->rereading;
}

/* ---- this worker ---- */

bool obs_lease_is_due(const obs_lease *l, uint64_t now_ms) {
  uint64_t pause_ms = l->rereading ? OBS_LEASE_REREAD_MS : OBS_LEASE_BEAT_MS;
  return !l->superseded && (l->beat_ms == 0 || now_ms - l->beat_ms >= pause_ms);
}

uint64_t obs_lease_beat_revision(const obs_lease *l) {
  return l->beat_revision;
}

void obs_lease_beat(obs_lease *l, uint64_t begun_ms, uint64_t revision) {
  if (begun_ms - l->beat_ms >= OBS_LEASE_HOLD_MS) l->unproved = true;
  l->beat_ms = begun_ms;
  l->beat_revision = revision;
}

void obs_lease_set_takes(obs_lease *l, bool takes) {
  l->takes = takes;
}

bool obs_lease_takes(const obs_lease *l) {
  return l->takes;
}

uint64_t obs_lease_valid_until(const obs_lease *l) {
  return l->superseded || l->unproved || l->beat_ms == 0 ? 0 : l->beat_ms + OBS_LEASE_HOLD_MS;
}

bool obs_lease_is_valid(const obs_lease *l, uint64_t now_ms) {
  return now_ms < obs_lease_valid_until(l);
}

bool obs_lease_is_superseded(const obs_lease *l) {
  return l->superseded;
}

void obs_lease_set_leads(obs_lease *l, bool leads) {
  l->leads = leads;
}

bool obs_lease_would_lead(const obs_lease *l) {
  return l->leads;
}

bool obs_lease_leads(const obs_lease *l, uint64_t now_ms) {
  if (!l->leads || !obs_lease_is_valid(l, now_ms)) return false;
  for (uint32_t i = 0; i < l->opts.partitions; i++) {
    const partition *p = &l->partitions[i];
    uint32_t at;
    if (p->mine) return !p->giving;
    if (p->run == 0 || !obs_map_get(&l->by_run, p->run, &at) || !is_alive(l, &l->peers.at[at])) return false;
    if (l->peers.at[at].leads) return false;
  }
  return false;
}

bool obs_lease_is_run_alive(const obs_lease *l, uint64_t run) {
  uint32_t at;
  return obs_map_get(&l->by_run, run, &at) && is_alive(l, &l->peers.at[at]);
}

bool obs_lease_holds(const obs_lease *l, uint32_t at) {
  return l->partitions[at].mine && !l->partitions[at].giving;
}

bool obs_lease_gives(const obs_lease *l, uint32_t at) {
  return l->partitions[at].giving;
}

uint64_t obs_lease_revision(const obs_lease *l, uint32_t at) {
  return l->partitions[at].revision;
}

/* ---- the plan ---- */

/* Those who hold most come first, and so keep the ones that are left over; equal ones by their ids. */
static int by_held(const void *a, const void *b) {
  const member *x = a, *y = b;
  if (x->held != y->held) return x->held > y->held ? -1 : 1;
  return x->worker < y->worker ? -1 : x->worker > y->worker;
}

static bool gather_members(obs_lease *l) {
  if (l->member_of_cap < l->peers.n) {
    uint32_t *more = realloc(l->member_of, l->peers.cap * sizeof *more);
    if (more == NULL) return false;
    l->member_of = more;
    l->member_of_cap = l->peers.cap;
  }
  if (!OBS_VEC_RESERVE(&l->members, l->peers.n + 1)) return false;
  l->members.n = 0;
  l->members.at[l->members.n++] = (member){.worker = l->opts.worker, .me = true};
  for (uint32_t i = 0; i < l->peers.n; i++) {
    const peer *w = &l->peers.at[i];
    bool takes = w->takes && is_alive(l, w);
    l->member_of[i] = takes ? l->members.n : UINT32_MAX;
    if (takes) l->members.at[l->members.n++] = (member){.worker = w->worker};
  }
  return true;
}

/* Counts what each holds, and lists what nobody does. What is being given up belongs to nobody, and is not free yet. */
static void count_held(obs_lease *l) {
  l->nunheld = 0;
  for (uint32_t i = 0; i < l->opts.partitions; i++) {
    const partition *p = &l->partitions[i];
    uint32_t at;
    if (p->giving) continue;
    if (p->mine || p->run == l->opts.run)
      l->members.at[0].held++;
    else if (p->run != 0 && obs_map_get(&l->by_run, p->run, &at) && is_alive(l, &l->peers.at[at])) {
      if (l->member_of[at] != UINT32_MAX) l->members.at[l->member_of[at]].held++;
    } else
      l->unheld[l->nunheld++] = i;
  }
}

/* Whether it has been quiet long enough for giving up what is too much. */
static bool is_quiet(obs_lease *l, uint64_t now_ms) {
  uint64_t hash = 0;
  for (uint32_t i = 0; i < l->members.n; i++) {
    uint64_t x = (l->members.at[i].worker ^ (l->members.at[i].worker >> 29)) * UINT64_C(0x9e3779b97f4a7c15);
    hash += x ^ (x >> 32); /* in any order */
  }
  if (hash != l->alive_hash) {
    if (l->unrest_ms == 0) l->unrest_ms = now_ms;
    l->alive_hash = hash;
    l->changed_ms = now_ms;
  }
  if (now_ms - l->changed_ms >= OBS_LEASE_QUIET_MS) l->unrest_ms = 0;
  return l->unrest_ms == 0 || now_ms - l->unrest_ms >= OBS_LEASE_UNREST_MS;
}

static uint32_t give(obs_lease *l, uint32_t count, obs_lease_action out[OBS_LEASE_TURN]) {
  uint32_t n = 0;
  for (uint32_t i = l->opts.partitions; i-- > 0 && n < count && n < OBS_LEASE_TURN;) {
    partition *p = &l->partitions[i];
    if (!p->mine || p->giving) continue;
    p->giving = true;
    out[n++] = (obs_lease_action){OBS_LEASE_GIVE, i, p->revision};
  }
  return n;
}

/* The free ones are dealt out in order, those who have least first: this worker's are those behind what others get. */
static uint32_t take(const obs_lease *l, obs_lease_action out[OBS_LEASE_TURN]) {
  uint32_t n = 0, from = 0;
  for (uint32_t i = l->members.n; i-- > 0;) {
    const member *m = &l->members.at[i];
    uint32_t wants = m->target > m->held ? m->target - m->held : 0;
    if (!m->me) {
      from += wants;
      continue;
    }
    for (uint32_t k = from; k < from + wants && k < l->nunheld && n < OBS_LEASE_TURN; k++)
      out[n++] = (obs_lease_action){OBS_LEASE_TAKE, l->unheld[k], l->partitions[l->unheld[k]].revision};
    break;
  }
  return n;
}

/* What this run has taken without hearing of it. */
static uint32_t take_own(const obs_lease *l, obs_lease_action out[OBS_LEASE_TURN]) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < l->opts.partitions && n < OBS_LEASE_TURN; i++) {
    const partition *p = &l->partitions[i];
    if (!p->mine && p->run == l->opts.run) out[n++] = (obs_lease_action){OBS_LEASE_TAKE, i, p->revision};
  }
  return n;
}

uint32_t obs_lease_turn(obs_lease *l, uint64_t now_ms, obs_lease_action out[OBS_LEASE_TURN]) {
  bool sees = l->proof_ms != 0 && now_ms - l->proof_ms < OBS_LEASE_HOLD_MS;
  if (!sees || l->rereading || !obs_lease_is_valid(l, now_ms)) return 0;
  if (!l->takes) return obs_lease_leave(l, out);
  if (!gather_members(l)) return 0; /* no memory: at the next turn */
  bool quiet = is_quiet(l, now_ms);
  uint32_t n = take_own(l, out);
  if (n > 0) return n;
  count_held(l);
  qsort(l->members.at, l->members.n, sizeof *l->members.at, by_held);
  const member *me = l->members.at;
  for (uint32_t i = 0; i < l->members.n; i++) {
    member *m = &l->members.at[i];
    m->target = l->opts.partitions / l->members.n + (i < l->opts.partitions % l->members.n);
    if (m->me) me = m;
  }
  if (me->held > me->target) return quiet ? give(l, me->held - me->target, out) : 0;
  /* One that has just come waits for who comes with it. */
  return l->proof_ms - l->base_ms >= OBS_LEASE_QUIET_MS ? take(l, out) : 0;
}

uint32_t obs_lease_leave(obs_lease *l, obs_lease_action out[OBS_LEASE_TURN]) {
  return give(l, l->opts.partitions, out);
}

void obs_lease_took(obs_lease *l, uint32_t at, uint64_t revision) {
  partition *p = &l->partitions[at];
  *p = (partition){.run = l->opts.run, .revision = revision, .mine = true};
  l->taken++;
}

void obs_lease_gave(obs_lease *l, uint32_t at, uint64_t revision) {
  partition *p = &l->partitions[at];
  end(p, &l->given);
  if (revision > p->revision) *p = (partition){.revision = revision};
}

void obs_lease_kept(obs_lease *l, uint32_t at, uint64_t revision) {
  partition *p = &l->partitions[at];
  if (p->mine && revision > p->revision) p->revision = revision;
}

void obs_lease_lost(obs_lease *l, uint32_t at) {
  end(&l->partitions[at], &l->lost);
}

void obs_lease_get_counts(const obs_lease *l, uint64_t now_ms, obs_lease_counts *out) {
  *out = (obs_lease_counts){
      .workers = 1, .taken = l->taken, .given = l->given, .lost = l->lost, .valid = obs_lease_is_valid(l, now_ms)};
  for (uint32_t i = 0; i < l->peers.n; i++) out->workers += is_alive(l, &l->peers.at[i]);
  for (uint32_t i = 0; i < l->opts.partitions; i++) {
    const partition *p = &l->partitions[i];
    uint32_t at;
    out->held += p->mine && !p->giving;
    out->giving += p->giving;
    bool others = p->run != 0 && obs_map_get(&l->by_run, p->run, &at) && is_alive(l, &l->peers.at[at]);
    out->free += !p->mine && !others && p->run != l->opts.run;
  }
}
