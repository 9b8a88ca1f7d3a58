"""An adapter against its merge, its copy in a fresh process, its base, and itself with padding."""

from __future__ import annotations

from harness.engine.precision import FLOORS
from harness.findings import Note
from harness.handover.delivery import Delivery
from harness.handover.equality import QUANTISED, SHARE_LOST, told_apart
from harness.handover.probes import Distance, distance, logits_of
from harness.handover.tried import Merged, Tried, tried
from harness.records import Finding

LOGIC = 1e-6
"""Nats of mean divergence in float32: rounding alone stays far below (measured: less than 1e-8 after a merge)."""

SCORED_ALIKE = 1e-4
"""How far log-likelihoods of one text may be apart, relative; batches move them by 1e-6 in float32."""


def merging_keeps_the_model(delivery: Delivery, note: Note) -> list[Finding]:
    """Merged into its base the adapter computes what it did beside it, also in the dtype that the base is stored in."""
    if not delivery.is_adapter:
        return []
    seen = tried(delivery)
    merged = _merged(seen, note)
    if merged is None:
        return []
    apart = distance(seen.live, merged.logits)
    tuned = distance(seen.live, seen.base).kl
    allowed = max(LOGIC, 1e-3 * tuned)
    if apart.kl > allowed:
        lost = apart.kl / tuned if tuned else 0.0
        found = _apart("the merged model is not the adapter's", delivery, seen, apart, allowed, lost)
        return [_with_the_embedding(found) if merged.embedding_moved else found]
    if merged.rounded is None:
        return []
    return _rounding(delivery, merged, distance(seen.live, merged.rounded), tuned, note)


def _merged(seen: Tried, note: Note) -> Merged | None:
    """The adapter's merge; why there is none is noted."""
    if seen.merged is None:
        note(f"not merged: {seen.cannot}")
    return seen.merged


def _rounding(delivery: Delivery, merged: Merged, apart: Distance, tuned: float, note: Note) -> list[Finding]:
    """What is left of the adapter, merged in the dtype of its base: ``apart`` is how far that is from it."""
    dtype = merged.dtype
    share = apart.kl / tuned if tuned else 0.0
    note(
        f"merged in {dtype}: {merged.lost:.1%} of the change of the weights is rounded away, {share:.1%} of the "
        "change of what the model says"
    )
    if share <= SHARE_LOST or tuned <= LOGIC:
        return []
    return [
        Finding(
            f"the adapter is too small for a merge in {dtype}",
            f"{delivery.files.name}, merged into {delivery.files.base_name}",
            f"at most {SHARE_LOST:.0%} of what tuning changed lost to rounding",
            f"{share:.0%} lost (divergence {apart.kl:.2e} nats of {tuned:.2e}), and {merged.lost:.0%} of the "
            "change of the weights",
            "merge in float32 and keep it so, or hand the adapter over unmerged",
        )
    ]


def a_fresh_process_loads_the_same_model(delivery: Delivery, note: Note) -> list[Finding]:
    """Merged, saved, and loaded by a process that knows nothing of this one, the model is still the adapter's."""
    if not delivery.is_adapter:
        return []
    seen = tried(delivery)
    merged = _merged(seen, note)
    if merged is None:
        return []
    if merged.reloaded is None:
        note(f"not loaded again: {merged.not_reloaded}")
        return []
    apart = distance(merged.logits, merged.reloaded)
    if apart.kl <= LOGIC:
        return []
    return [_apart("the merged model is another one after saving and loading", delivery, seen, apart, LOGIC, 0.0)]


def the_adapter_changes_something(delivery: Delivery, note: Note) -> list[Finding]:
    """With the adapter the model says something else than without it."""
    if not delivery.is_adapter:
        return []
    seen = tried(delivery)
    tuned = distance(seen.live, seen.base).kl
    note(f"the adapter moves the model by {tuned:.2e} nats from its base")
    if tuned > 0:
        return []
    return [
        Finding(
            "the adapter changes nothing",
            delivery.files.name,
            f"other probabilities than those of {delivery.files.base_name}",
            "the same on every probe, to the last bit",
            "see that it was trained (its second matrices are zero before the first step), that saving gathered its "
            "weights, and that their names are those of this base",
        )
    ]


def the_base_without_its_adapter_is_the_base(delivery: Delivery, note: Note) -> list[Finding]:  # noqa: ARG001
    """The adapter switched off leaves its base, and what the run compares with is that base, untouched."""
    if not delivery.is_adapter:
        return []
    seen = tried(delivery)
    if delivery.compared_with is None:
        return []
    module = delivery.compared_with()
    compared = logits_of(module, seen.probes)
    apart, near = distance(seen.base, compared), distance(seen.live, compared)
    if apart.kl <= FLOORS.get(str(module.dtype).removeprefix("torch."), QUANTISED):
        return []
    return [
        Finding(
            "what the model is compared with is not its base",
            f"{delivery.files.name}, beside the base model of this run",
            f"the probabilities of {delivery.files.base_name} without the adapter",
            f"a mean divergence of {apart.kl:.2e} nats from it, {near.kl:.2e} from the tuned model",
            "load the base anew for the comparison: an adapter is put into the very object that it is given, and "
            "another revision is another model",
        )
    ]


def padding_does_not_change_the_model(delivery: Delivery, note: Note) -> list[Finding]:
    """A text has the same likelihood in a batch with a longer one as alone.

    Virtual tokens are told of in a note: with them a plain forward pass counts padding as positions, and
    ``generate()`` and this package do not.
    """
    if not delivery.is_adapter:
        return []
    seen = tried(delivery)
    base_shifts = distance(seen.base[:1], seen.base_padded).kl > LOGIC
    if not base_shifts and distance(seen.live[:1], seen.padded).kl > LOGIC:
        note(
            "a plain forward pass is changed by padding on the left, as its base is not: pass position_ids that do not "
            "count padding, pad on the right, or use generate()"
        )
    return [
        Finding(
            "padding changes what the tuned model says",
            f"{delivery.files.name}, text {number} of a batch of unequal lengths",
            f"a log-likelihood of {alone:.4f}, as alone",
            f"{together:.4f}",
            "see that the attention mask and the positions leave padding out, also behind virtual tokens",
        )
        for number, (alone, together) in enumerate(zip(seen.alone, seen.together, strict=True))
        if not abs(alone - together) <= SCORED_ALIKE * max(1.0, abs(alone))
    ]


def _apart(what: str, delivery: Delivery, seen: Tried, apart: Distance, allowed: float, lost: float) -> Finding:
    return told_apart(what, delivery.files.name, delivery.files, seen.probes, apart, allowed, lost)


def _with_the_embedding(found: Finding) -> Finding:
    return Finding(
        f"{found.what}: the merge has changed the embedding too",
        found.where,
        found.expected,
        found.found,
        "the head is tied to the embedding, so what was learned for one is written into both: leave lm_head out of "
        "target_modules, or untie the two before the training",
    )
