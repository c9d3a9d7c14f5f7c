# title: Supervised fine-tuning on the chosen completion: a floor, not a preference loss
# paper: Ouyang et al. 2022, "Training language models to follow instructions with human feedback", https://arxiv.org/abs/2203.02155
# equation: -policy_chosen


def sft(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    return -policy_chosen_logps
