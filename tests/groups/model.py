"""What is right of tasks and groups, whatever is done to them, in few lines."""

from collections import Counter
from collective.background.model.states import CANCELLED
from collective.background.model.states import FAILED
from collective.background.model.states import SUCCEEDED
from collective.background.scheduling.endings import GIVEN_UP


class Member:
    """A task, or a group (``members``: those that are known, in their order).

    ``missing``: ids of those that have still to succeed before it; ``ended``: how many
    members have ended how; ``total``: how many there were.
    """

    def __init__(self, id, above=None, missing=(), members=None):
        self.id, self.above, self.missing = id, above, set(missing)
        self.members, self.ended, self.total = members, Counter(), 0
        self.ending = None
        self.is_silent = False


class Model:
    """``known``: Members by their id; ``told``: (id, whether it was a success)."""

    def __init__(self):
        self.known = {}
        self.told = Counter()

    def add(self, member):
        self.known[member.id] = member
        if member.above is not None:
            member.above.members.append(member)
            member.above.total += 1

    def tasks(self, member):
        if member.members is None:
            return [member]
        return [task for each in member.members for task in self.tasks(each)]

    def startable(self):
        tasks = (each for each in self.known.values() if each.members is None)
        return {t.id for t in tasks if t.ending is None and not t.missing}

    def end(self, member, ending):
        member.ending = ending
        if ending != CANCELLED and not member.is_silent:
            self.told[member.id, ending == SUCCEEDED] += 1
        for other in list(self.known.values()):
            if member.id in other.missing and ending == SUCCEEDED:
                other.missing.remove(member.id)
            elif member.id in other.missing and other.ending is None:
                self.end(other, CANCELLED if ending == CANCELLED else GIVEN_UP)
        if member.above is not None:
            member.above.ended[ending] += 1
            self.end_whole(member.above)

    def end_whole(self, group):
        if group.ending is None and group.ended.total() == group.total:
            found = [end for end in (FAILED, GIVEN_UP, CANCELLED) if group.ended[end]]
            ending = found[0] if found else SUCCEEDED
            if ending == CANCELLED and group.ended[SUCCEEDED]:
                ending = GIVEN_UP
            self.end(group, ending)

    def cancel(self, member):
        for task in self.tasks(member):
            if task.ending is None:
                self.end(task, CANCELLED)

    def retry(self, member):
        tasks = [
            task for task in self.tasks(member) if task.ending not in (None, SUCCEEDED)
        ]
        for task in tasks:
            self.reopen(task)
        for task in tasks:
            self.line_up(task)
        return bool(tasks)

    def line_up(self, task):
        others = [self.known.get(id) for id in task.missing]
        endings = {GIVEN_UP if each is None else each.ending for each in others}
        if task.ending is None and endings - {None}:
            is_wanted = endings <= {None, CANCELLED}
            self.end(task, CANCELLED if is_wanted else GIVEN_UP)

    def reopen(self, member):
        ending, member.ending = member.ending, None
        if member.above is not None:
            member.above.ended[ending] -= 1
            if member.above.ending is not None:
                self.reopen(member.above)

    def remove(self, member):
        member.is_silent |= member.members is not None
        for each in list(member.members or ()):
            self.remove(each)
        if member.members is None and member.ending is None:
            self.end(member, CANCELLED)
        if member.id in self.known and not member.members:
            self.forget(member)

    def forget(self, member):
        del self.known[member.id]
        group = member.above
        if group is not None:
            group.members.remove(member)
            if (
                not group.members
                and group.ending is not None
                and group.id in self.known
            ):
                self.forget(group)
