# title: Identity preference optimisation (IPO)
# paper: Azar et al. 2023, "A General Theoretical Paradigm to Understand Learning from Human Preferences", eq. 17, https://arxiv.org/abs/2310.12036
# equation: (rho - 1/(2 beta))^2
# scores: MT-Bench 7.84


def ipo(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps, beta):
    policy_margin = policy_chosen_logps - policy_rejected_logps
    reference_margin = reference_chosen_logps - reference_rejected_logps
    return (policy_margin - reference_margin - 1 / (2 * beta)) ** 2
