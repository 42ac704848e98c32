/* Traits of a word that tell how soon it is taken for one that varies (alike.h).
 * Pure functions of their input: any thread. */
#ifndef OBS_CLUSTER_TRAITS_H
#define OBS_CLUSTER_TRAITS_H

#include "cluster/mask.h"

/* It has a word that says the contrary (up, denied, started): a difference that matters. */
bool obs_trait_has_opposite(const obs_mask_token *t);
/* LOOKING, ECONNREFUSED, an exception's class: one of a few that code knows by name. */
bool obs_trait_is_label(const obs_mask_token *t);
/* A verb, a participle, an adjective, by its ending: it says what happened, and two of them are two things. */
bool obs_trait_is_said(const obs_mask_token *t);
/* get_weather, SearchArgs, (in) Berlin, integer: a name, hardly a word of the sentence. `before`: NULL at the begin. */
bool obs_trait_is_name(const obs_mask_token *t, const obs_mask_token *before);

#endif
