#include "fleet/row.h"

#include "base/fleet_seq.h"

observer_err obs_fleet_row_get(obs_nats *nats, uint64_t seq, obs_buf *data, obs_fleet_row *row, uint64_t *edge) {
  obs_fleet_seq_parts at = obs_fleet_seq_split(seq);
  obs_fleet_batch_view v;
  char reason[OBS_FLEET_REASON_MAX];
  observer_err err = obs_nats_stream_get(nats, OBS_FLEET_STREAM, at.stream_seq, data, NULL);
  if (err != OBSERVER_E_OK) return err;
  if (!obs_fleet_batch_read(data->p, data->len, &v, reason) || v.p != at.partition) return OBSERVER_E_NOTFOUND;
  for (uint32_t i = 0; i <= at.row; i++)
    if (!obs_fleet_batch_next(&v, row)) return OBSERVER_E_NOTFOUND;
  *edge = v.edge;
  return OBSERVER_E_OK;
}
