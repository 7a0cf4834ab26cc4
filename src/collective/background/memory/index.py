"""The index: tasks by site, user, queue and state, the newest first.

So the newest tasks of a state, or their number, are found without a look at all the
others, nor at all users. Plain data, changed under the scheduler's lock only.
"""

from BTrees.LOBTree import LOBTree
from heapq import merge
from operator import itemgetter


class Index:
    """Comes in: tasks, when they are committed, and before and after each change.

    Goes out: tasks that a Selection wants.
    """

    def __init__(self):
        # Trees by queue, state and path of the user, which are None in the first.
        # In a tree are tasks by their number, negative: the newest is the first.
        self._of_sites = {}  # by the path of the site
        self._of_users = {}  # by that and the id of the user

    def add(self, task):
        for trees, place, key in self._places(task):
            tree = trees.setdefault(place, {}).setdefault(key, LOBTree())
            tree[-task.number] = task

    def discard(self, task):
        """Take a task out; return whether it was in."""
        was_in = False
        for trees, place, key in self._places(task):
            tree = trees.get(place, {}).get(key)
            if tree is None or tree.pop(-task.number, None) is None:
                continue
            was_in = True
            if not tree:
                del trees[place][key]
            if not trees[place]:
                del trees[place]
        return was_in

    def select(self, selection):
        """Return an iterable of the wanted tasks in their order."""
        found = merge(
            *(tree.items() for tree in self._matching(selection)), key=itemgetter(0)
        )
        tasks = (task for _, task in found)
        if not _is_known(selection):
            path = selection.user_path
            tasks = (task for task in tasks if task.user_path == path)
        return selection.pick(tasks)

    def count(self, selection):
        if selection.is_coarse and _is_known(selection):
            return selection.limited(sum(map(len, self._matching(selection))))
        return sum(1 for _ in self.select(selection))

    def _places(self, task):
        key = task.queue, task.state
        return (
            (self._of_sites, task.site_path, (*key, None)),
            (self._of_users, (task.site_path, task.user_id), (*key, task.user_path)),
        )

    def _matching(self, selection):
        """Yield the trees with all that is wanted."""
        site, user = selection.site_path, selection.user_id
        for place in list(self._of_sites) if site is None else [site]:
            if user is None:
                trees = self._of_sites.get(place, {})
            else:
                trees = self._of_users.get((place, user), {})
            for (queue, state, path), tree in trees.items():
                if (
                    state in selection.states
                    and selection.queue in (None, queue)
                    and (user is None or selection.user_path in (None, path))
                ):
                    yield tree


def _is_known(selection):
    """Whether the trees that match have nothing else."""
    return selection.user_path is None or selection.user_id is not None
