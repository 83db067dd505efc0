"""The transducer loss, without the table of all its logits."""

from eartune.families.parakeet.transducer.loss import transducer_losses

__all__ = ["transducer_losses"]
