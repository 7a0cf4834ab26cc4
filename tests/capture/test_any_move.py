"""Whatever is created, moved and renamed at random is found by tasks."""

from collective.background import schedule
from helpers import jar_of
from helpers import result_of
from helpers import task_jar
from helpers import waiting
from itertools import count
from OFS.Folder import Folder
from plone import api
from random import Random

import pytest
import transaction


CONTENT = ("Dexterity Container", "Dexterity Item")


def places_of(*objects):
    """Return where each is, and whether it belongs to the object above, and here."""
    return [
        (
            "/".join(obj.getPhysicalPath()),
            obj.aq_parent.getPhysicalPath() == obj.getPhysicalPath()[:-1],
            jar_of(obj) == task_jar(),
        )
        for obj in objects
    ]


class World:
    """Content, and objects without UIDs in it.

    ``folders`` and ``documents``: UIDs; ``plain``: lists of the UID of the folder and
    the id; ``scheduled``: the id of each task, and its arguments as they are here.
    """

    def __init__(self, site, random):
        self._site = site
        self._random = random
        self._names = map("name-{}".format, count())
        self.folders, self.documents, self.plain, self.scheduled = [], [], [], []
        for _ in range(3):
            self.folders.append(self._create(site, "Folder"))

    def find(self, uid):
        """Return content, as those find it who go through all of it."""
        containers = [self._site]
        for container in containers:
            for obj in container.objectValues(("Dexterity Container",)):
                containers.append(obj)
        for container in containers:
            for obj in container.objectValues(CONTENT):
                if obj.UID() == uid:
                    return obj
        raise KeyError(uid)

    def find_plain(self, plain):
        uid, name = plain
        return self.find(uid)._getOb(name)

    def _create(self, container, portal_type):
        return api.content.create(container, portal_type, next(self._names)).UID()

    def _any_content(self):
        return self.find(self._random.choice(self.folders + self.documents))

    def _any_folder(self):
        return self.find(self._random.choice(self.folders))

    # What happens.

    def create_document(self):
        self.documents.append(self._create(self._any_folder(), "Document"))

    def create_folder(self):
        self.folders.append(self._create(self._any_folder(), "Folder"))

    def create_plain(self):
        folder, name = self._any_folder(), next(self._names)
        folder._setObject(name, Folder(name))
        self.plain.append([folder.UID(), name])

    def rename(self):
        api.content.rename(self._any_content(), next(self._names))

    def rename_plain(self):
        if self.plain:
            transaction.savepoint()  # without which it is not allowed
            plain = self._random.choice(self.plain)
            name = next(self._names)
            self.find(plain[0]).manage_renameObject(plain[1], name)
            plain[1] = name

    def move(self):
        obj, folder = self._any_content(), self._any_folder()
        path = obj.getPhysicalPath()
        if folder.getPhysicalPath()[: len(path)] != path:  # not into itself
            api.content.move(obj, folder, id=next(self._names))

    def savepoint(self):
        transaction.savepoint()

    def commit(self):
        transaction.commit()

    def schedule(self):
        uids, plain = [*self.folders, *self.documents], [*self.plain]
        objects = [*map(self.find, uids), *map(self.find_plain, plain)]
        self.scheduled.append((schedule(places_of, *objects), uids, plain))


STEPS = [name for name in vars(World) if name[0] != "_" and "find" not in name]


@pytest.mark.parametrize("seed", range(6))
def test_any_move(site, seed):
    random = Random(seed)
    world = World(site, random)
    with waiting():
        for name in random.choices(STEPS, k=12):
            getattr(world, name)()
        world.schedule()
        transaction.commit()
        world.move()
        transaction.commit()
    for task_id, uids, plain in world.scheduled:
        objects = [*map(world.find, uids), *map(world.find_plain, plain)]
        assert result_of(task_id) == [
            ("/".join(obj.getPhysicalPath()), True, True) for obj in objects
        ]
