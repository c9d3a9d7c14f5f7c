"""Archives with given scores, for tests of claims."""

from make_archive import finding, logistic, verdict

from analysis.steering import Provenance
from archive.records import RunRow
from archive.store import Archive
from sandbox.identity.relation import Kind, Relation


def tiny(
    tmp_path, scores, *, seeds=("dpo",), baseline=None, final=None, relations=None, contract="preference", notes=None,
    given=(), by_person=(), fingerprints=None,
):  # fmt: skip
    """An archive with the seed losses, one proposal per further key of `scores`: {name: {rung: {seed: fitness}}}.

    A rung may be (rung, beta); a fitness of None is a training that diverged. `relations` by name; a finalist is new else. `notes`
    are rules of the sandbox by name, `given` names of seed losses of the user, `by_person` names of injected losses.
    """
    path = tmp_path / "archive.db"
    with Archive.create(path, RunRow("tiny", 0, "task", contract, baseline=baseline or seeds[0])) as archive:
        ids = {}
        for step, name in enumerate(scores):
            if name in seeds:
                payload = Provenance(f"sha256:{name}", f"{name}.py").to_json() if name in given else None
                ids[name] = archive.add_candidate("seed", name, "", "", contract, payload=payload)
            elif name in by_person:
                proposal = archive.receive_injected(step, {}, 0, "r")
                ids[name] = archive.add_candidate("proposal", name, "", "", contract, proposal)
            else:
                proposal = archive.request_proposal(step, 1, "explore", "builtin", None, None, "t", {}, 0)
                archive.receive_proposal(proposal, "r")
                ids[name] = archive.add_candidate("proposal", name, "", "", contract, proposal)
            noted = [finding((notes or {})[name], "noted", "note")] if name in (notes or {}) else []
            archive.record_verdict(
                ids[name], verdict(logistic(), noted) | {"fingerprint": (fingerprints or {}).get(name)}
            )
        for rung in dict.fromkeys(rung for rungs in scores.values() for rung in rungs):
            for name, rungs in scores.items():
                for seed, fitness in rungs.get(rung, {}).items():
                    trained, beta = rung if isinstance(rung, tuple) else (rung, None)
                    evaluation = archive.queue_evaluation(ids[name], "task", trained, seed, beta)
                    if fitness is None:
                        archive.fail_evaluation(evaluation, "diverged", "")
                    else:
                        archive.score_evaluation(evaluation, fitness)
        if isinstance(final, dict):
            kin = {name: Relation(Kind.NEW) for name in scores} | (relations or {})
            final = final | {"relations": {str(ids[name]): kin[name] and kin[name].to_json() for name in scores}}
        if final is not None:
            archive.event("final", final)
    return path
