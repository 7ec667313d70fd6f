"""When a training ends and when it validates."""

import math
from dataclasses import dataclass

from dnalm.config.recipes import Recipe
from dnalm.training.engine.feeds import Examples, Feed


@dataclass(frozen=True)
class Budget:
    """The steps of a training, known before it begins, so that the learning rate's schedule has the right length.

    last_step: the training ends with it; of_epoch: steps of an epoch; every: steps between validations, None for one
    after each epoch. There is always one after the last step.
    """

    last_step: int
    of_epoch: int
    every: int | None

    def validates_at(self, step: int) -> bool:
        """Whether there is a validation after this step."""
        return step >= self.last_step or step % (self.every or self.of_epoch) == 0

    def next_stop(self, step: int) -> int:
        """The step after `step` at which its epoch ends or a validation is due, whichever is first."""
        ends = [(step // size + 1) * size for size in (self.of_epoch, self.every or self.of_epoch)]
        return min(*ends, self.last_step)


def budget_of(recipe: Recipe, train: Examples, feed: Feed) -> Budget:
    """The budget of a recipe: of `epochs`, `max_steps` and `max_tokens`, the one that is used up first.

    Tokens are those of the windows trained on, special ones included and padding not, over all processes. The last step
    is the first with which they reach `max_tokens`. They are counted in the batches of the epochs in question, which
    depend on the seed (and on `feed`) alone.
    """
    of_epoch = -(-len(train) // recipe.batch_size)
    last = math.ceil(recipe.epochs * of_epoch)
    if recipe.max_steps is not None:
        last = min(last, recipe.max_steps)
    if recipe.max_tokens is not None:
        last = min(last, _steps_of_tokens(recipe.max_tokens, last, of_epoch, train, feed))
    return Budget(last, of_epoch, recipe.validate_every)


def _steps_of_tokens(budget: int, most: int, of_epoch: int, train: Examples, feed: Feed) -> int:
    """The first step with which `budget` tokens are reached; `most` if that many steps have fewer."""
    left = budget
    for epoch in range(-(-most // of_epoch)):
        train.start_epoch(epoch)  # draws the strands, whose tokens differ in number
        if (tokens := int(train.lengths.sum())) < left:
            left -= tokens
            continue
        for step, batch in enumerate(feed.batches(epoch), epoch * of_epoch + 1):
            left -= int(train.lengths_of(batch).sum())
            if left <= 0:
                return min(step, most)
    return most
