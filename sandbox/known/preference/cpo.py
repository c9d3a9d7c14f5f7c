# title: Contrastive preference optimisation (CPO): no reference, with a likelihood term
# paper: Xu et al. 2024, "Contrastive Preference Optimization", https://arxiv.org/abs/2401.08417
# equation: softplus(-beta (policy_chosen - policy_rejected)) - policy_chosen

import torch.nn.functional as F


def cpo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    margin = policy_chosen_logps - policy_rejected_logps
    return -F.logsigmoid(beta * margin) - policy_chosen_logps
