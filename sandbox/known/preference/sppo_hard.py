# title: Self-play preference optimisation with hard labels (SPPO)
# paper: Wu et al. 2024, "Self-Play Preference Optimization for Language Model Alignment", eq. 4.7, https://arxiv.org/abs/2405.00675
# equation: (h_w - 1/(2 beta))^2 + (h_l + 1/(2 beta))^2
# trl: sppo_hard


def sppo_hard(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    chosen = policy_chosen_logps - reference_chosen_logps
    rejected = policy_rejected_logps - reference_rejected_logps
    target = 0.5 / beta
    return (chosen - target) ** 2 + (rejected + target) ** 2
