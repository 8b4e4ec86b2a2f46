"""Bilevel search of training loss and architecture for image restoration (HBL, Zhu et al., IJCAI 2022).

Where things live, from what is run to what it stands on:

- a run and its stages: `runs`, `stages`, `inputs`, `loop`, `checkpoint`, `manifest`, `lock`, `progress`, `seeding`,
  `notebooks`
- the searches: `search`, `bilevel`, `supernet`, `classifier`, `losses`, `ssim`, `perceptual`, `weights`
- the network: `operations`, `network`, `genotype`, `restorer`, `training`, `deploy`, `strips`, `inference`, `baselines`
- beside the main run: `ablations`, `random_search`, `studies`, `variants`
- pictures: `pairs`, `soundness`, `overlap`, `splits`, `data`, `images`, `modes`, `embedded`, `degradations`
- scores: `evaluation`, `metrics`, `given_methods`
- what the numbers say: `outcomes`, `effects`, `paired`, `claims`, `dominance`, `findings`, `ledger`, `search_quality`,
  `references`, `speed`
- what is shown: `tables`, `paper`, `publish`, `figures`, `paper_figures`, `drawings`, `markup`, `report`,
  `references_page`, `page`
- parameters: `parameters`, `config`, `settings`
- the rest: `files`, `errors`, `export`, `verify`, `plan`, `memory`

What a stage leaves, beside its own files, in results/PROFILE/TASK/STAGE. Every `metrics.json` begins with profile,
task, stage, seed, data and images (how many pictures it stands on); `history.json` has a record for each step.

- 00_data: source, lists (how many pairs), joined, held_out
- 01_classifier: network, parameters, negatives, classes, confusion, accuracy; a record: loss, accuracy
- 02_loss_search: search, trunk, lpips_term, upper_steps, moved, resolved, judged_clear_first, judged_clear_last,
  clear_from, saturated_share, faint_share; a record: weights, choices (shares of the layers of each group), upper_loss,
  hypergradient (its norm), lower_loss
- 03_architecture_search: search, parameters, operations, skip_collapse, steps, moved, resolved; a record: upper_loss,
  lower_loss, hnu and fcm (mean shares), moved
- 04_retrain: steps, crop, parameters, validation_psnr, best_step; a record: loss, at times validation_psnr
- 05_evaluate: search, steps, parameters, macs, given, protocol, degraded, color_matrix, restored, compared, per_image,
  protocols, color_matrix_values, crop_against_whole
- members of 06 and 07: as 05, of restored alone; and label, network, loss, architecture, crop, weights, search,
  validation_psnr, best_step; a record, in train: as of 04
- studies of 12: steps, crop, lpips_of, settings, ranks

A score is {"psnr" in dB, "ssim", "lpips" or null}, a mean over whole test pictures. A record of a step that was not
taken has `skipped`, with the reason.
"""
