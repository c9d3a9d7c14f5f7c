# title: Binary classifier optimisation on pairs (BCO), without the running mean of the reward
# paper: Jung et al. 2024, "Binary Classifier Optimization for Large Language Model Alignment", https://arxiv.org/abs/2404.04656
# equation: softplus(-beta h_w) + softplus(beta h_l)
# trl: bco_pair

import torch.nn.functional as F


def bco_pair(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = beta * (policy_chosen_logps - reference_chosen_logps)
    rejected = beta * (policy_rejected_logps - reference_rejected_logps)
    return -F.logsigmoid(chosen) - F.logsigmoid(-rejected)
