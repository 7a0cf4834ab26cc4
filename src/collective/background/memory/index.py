"""The index: tasks by site, user, queue and state, the newest first.

So the newest tasks of a state, or their number, are found without a look at all
the others. Plain data, changed under the scheduler's lock only.
"""

from BTrees.LOBTree import LOBTree
from heapq import merge
from operator import itemgetter


class Index:
    """Comes in: tasks, when they are committed, and before and after each change.

    Goes out: tasks that a Selection wants.
    """

    def __init__(self):
        self._trees = {}  # tasks by their number, negative: the newest is the first

    def add(self, task):
        self._trees.setdefault(_key(task), LOBTree())[-task.number] = task

    def discard(self, task):
        """Take a task out; return whether it was in."""
        key = _key(task)
        tree = self._trees.get(key)
        if tree is None or tree.pop(-task.number, None) is None:
            return False
        if not tree:
            del self._trees[key]
        return True

    def select(self, selection):
        """Return an iterable of the wanted tasks in their order."""
        tasks = merge(
            *(tree.items() for tree in self._matching(selection)), key=itemgetter(0)
        )
        return selection.pick(task for _, task in tasks)

    def count(self, selection):
        if selection.is_coarse:
            return sum(len(tree) for tree in self._matching(selection))
        return sum(
            1
            for tree in self._matching(selection)
            for task in tree.values()
            if selection.matches(task)
        )

    def _matching(self, selection):
        return [
            tree
            for (site_path, user_path, user_id, queue, state), tree in (
                self._trees.items()
            )
            if selection.may_contain(
                site_path=site_path,
                user_path=user_path,
                user_id=user_id,
                queue=queue,
                state=state,
            )
        ]


def _key(task):
    return task.site_path, task.user_path, task.user_id, task.queue, task.state
